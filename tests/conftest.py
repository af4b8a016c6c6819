import fcntl
import os
import shutil
from collections import Counter
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before any test imports transformers: no test may ask the network
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models here are too small to share among threads

import pytest  # noqa: E402
import torch  # noqa: E402

from tests.command_line import SMALL, run  # noqa: E402
from tests.endpoint import endpoint as endpoint  # noqa: E402

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

WORDS = ["<pad>", "</s>", "<unused>", "Q:", "A:", "right", "wrong", "cat", "dog", "one", "two"]


@pytest.fixture
def word_tokenizer():
    """One token a word, numbered by its place in WORDS: prompts can be encoded by hand."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", WORDS.index("</s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


@pytest.fixture
def tiny_t5():
    """A random T5 of one layer over WORDS; weights large enough that prompts get different answers."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0,
        initializer_factor=3.0, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return T5ForConditionalGeneration(config)


@pytest.fixture
def policy(tiny_t5, word_tokenizer):
    """A Seq2SeqPolicy of both, in training mode as a new module is."""
    from hir.policies.seq2seq import Seq2SeqPolicy

    return Seq2SeqPolicy(tiny_t5, word_tokenizer).train()


@pytest.fixture
def folder(tmp_path, policy):
    """The policy as a whole checkpoint."""
    path = tmp_path / "checkpoint"
    policy.model.save_pretrained(path)
    policy.tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder of this session, the same for all its workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def environment(shared):
    """Environment of a command line: one cache for all, so that the base is made once, and no network."""
    return {**os.environ, "HIR_CACHE": str(shared / "cache"), "WANDB_MODE": "offline"}


@pytest.fixture(scope="session")
def made_once(shared, environment):
    """Makes a run of train.py by that name once a session, whichever test asks first; others wait for it."""

    def make(name: str, *arguments: str, program: str = "train.py") -> Path:
        folder = shared / "runs" / name
        folder.parent.mkdir(exist_ok=True)
        with (folder.parent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "summary.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                done = run(environment, *SMALL, *arguments, f"run_dir={folder}", program=program)
                assert done.returncode == 0 and not done.stderr, done.stderr
                folder.with_suffix(".out").write_text(done.stdout)
        return folder

    return make


@pytest.fixture(scope="session")
def finished(made_once):
    """A finished run of three iterations; tests read it and write to copies."""
    return made_once("finished", "trainer.max_epochs=3")


TWO_DEVICES = [
    "trainer.devices=2", "trainer.accelerator=cpu", "task.num_test=31", "buffer.window=1",
    "sampling.retry_temperature=2.0", "training.final_lr=null",
]  # fmt: skip
"""With a constant learning rate, so that the steps of a run are the first ones of a longer run."""


@pytest.fixture(scope="session")
def on_two_devices(made_once):
    """A run of one iteration on two devices, whose second process Lightning starts."""
    return made_once("on_two_devices", *TWO_DEVICES, "trainer.max_epochs=1")


@pytest.fixture(scope="session")
def two_iterations(made_once, shared):
    """The same of two iterations, and a folder with what tests/probe.py noted of each rank."""
    notes = shared / "notes"
    notes.mkdir(exist_ok=True)
    program = f"tests/probe.py {notes}"
    return made_once("two_iterations", *TWO_DEVICES, "trainer.max_epochs=2", program=program), notes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left alone with one at the end."""
    seconds: Counter[Path] = Counter()
    for item in items:
        mark = item.get_closest_marker("slow")
        seconds[item.path] += mark.kwargs.get("seconds", 5) if mark else 0
    items.sort(key=lambda item: seconds[item.path], reverse=True)
