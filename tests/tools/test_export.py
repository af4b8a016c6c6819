"""python -m hir export: the folder answers as the run did, its card is true, and it is whole or absent."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from hir.__main__ import main
from hir.config.load import load_config, save_config
from hir.files import write_json, write_lines
from hir.policies.escape import TextEscape
from hir.training.build import build_policy
from hir.training.run_folder import read_run
from tests.command_line import run

pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # peft

ROWS = [{"input": f"{n} <b>{{x}}</b>\n&lt; ~ \\ é", "target": f"<{n}>"} for n in range(12)]
"""Queries and answers with characters that the tokenizer below does not know, and an entity of their own."""
CORRECT = 'Say "no"\\ {{ eos_token }}\n%} 🙂'
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&#;:,.()/>'\"?!=-+*_$%@[]| \n"
WORDS = ["<pad>", "</s>", "<unk>", *CHARACTERS]


def export(*arguments: str) -> int:
    return main(["export", *arguments])


def names_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the card's own code makes, run beside the folder as its reader would: model, tokenizer, answer."""
    monkeypatch.chdir(folder.parent)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def make_tokenizer():
    """A token a character, of which it knows CHARACTERS."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def make_run(folder: Path, rank: int, *arguments: str) -> tuple[Path, torch.nn.Module]:
    """What a run leaves that started from a T5 like FLAN-T5, with a head of its own; and its model."""
    torch.manual_seed(1)
    (folder / "strange.json").write_text(json.dumps({"examples": ROWS}))
    shape = dict.fromkeys(("d_model", "d_kv", "d_ff"), 8) | dict.fromkeys(("num_layers", "num_heads"), 1)
    base = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(WORDS), feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0,
            eos_token_id=1, decoder_start_token_id=0, **shape,
        )
    )  # fmt: skip
    base.lm_head.weight = torch.nn.Parameter(torch.randn_like(base.shared.weight))
    base.all_tied_weights_keys.pop("lm_head.weight", None)
    base.save_pretrained(folder / "base")
    make_tokenizer().save_pretrained(folder / "base")
    config = load_config(
        [
            "task=strange", f"task.data_dir={folder}", "model=hub", f"model.path={folder / 'base'}",
            f"model.lora.r={rank}", "model.lora.target_modules=[v]", "sampling.max_new_tokens=20",
            "trainer.max_epochs=3", f"instructions.correct={CORRECT}", *arguments,
        ]
    )  # fmt: skip
    policy, _ = build_policy(config)
    for weight in policy.parameters():
        if weight.requires_grad:  # as if trained: adapters begin at 0
            torch.nn.init.normal_(weight, std=0.5)
    made = folder / "run"
    (made / "checkpoints").mkdir(parents=True)
    save_config(config, made / "config.yaml")
    (made / "metrics.csv").write_text(
        "iteration,samples,updates,seconds,test/accuracy,val/accuracy,val/accuracy_p_wrong\n"
        "0,0,0,0,0.125,0.25,0.5\n1,64,4,1.5,,0.375,0.0625\n2,128,9,3,,0.75,0.0\n"
    )
    write_lines(made / "answers.jsonl", ({"query": r["input"], "output": r["target"]} for r in ROWS))
    write_json(made / "summary.json", {"iterations": 2, "test": {"accuracy": 0.625}})
    state = {f"policy.{name}": weight for name, weight in policy.state_dict().items()}
    state["method.value_head.weight"] = torch.ones(1)
    checkpoint = {"epoch": 1, "state_dict": state, "hir": {"config": asdict(config)}}
    torch.save(checkpoint, made / "checkpoints/last.ckpt")
    return made, policy.model.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of full weights."""
    return make_run(tmp_path_factory.mktemp("full"), 0, "logger=wandb")[0]


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where to export to; nothing is left beside it."""
    yield tmp_path / "exports" / "out"
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


@pytest.fixture
def exported(made: Path, out: Path) -> Path:
    """The run of full weights, exported."""
    assert export(f"run={made}", f"to={out}") == 0
    return out


@pytest.mark.parametrize("rank", [0, 4])
@torch.no_grad()
def test_the_card_s_code_loads_the_trained_model(
    rank: int, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, trained = make_run(tmp_path, rank)
    assert export(f"run={folder}", f"to={out}") == 0
    card = names_of(out, monkeypatch)
    model, tokenizer = card["model"], card["tokenizer"]
    ids = tokenizer("How many?", return_tensors="pt")["input_ids"]
    logits, expected = (m(input_ids=ids, decoder_input_ids=ids).logits for m in (model, trained))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert load_file(out / "model.safetensors")["lm_head.weight"].dtype == torch.float32
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    settings = json.loads((out / "generation_config.json").read_text())
    wanted = {"max_new_tokens": 20, "do_sample": False, "num_beams": 1, "decoder_start_token_id": 0}
    assert {name: settings[name] for name in wanted} == wanted
    answered = tokenizer("&lt;R>&amp;lt;")["input_ids"]
    model.generate = Mock(return_value=torch.tensor([[0, *answered]]))  # after the start token
    assert card["answer"]("Which?") == "<R>&lt;"  # as characters travel that the tokenizer does not know


def test_the_card_s_code_writes_what_the_encoder_was_trained_on(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = names_of(exported, monkeypatch)
    tokenizer = card["tokenizer"]
    escape = TextEscape(tokenizer).escape
    model = card["model"].generate = Mock(return_value=torch.tensor([[0, 1]]))
    for query in (*(row["input"] for row in ROWS), "a & b", "&amp; &#126; &nbsp;", "{{ x }} {% y %}", ""):
        for instruction in (CORRECT, "Solve the question with wrong answer."):
            assert card["answer"](query, *([instruction] if instruction != CORRECT else [])) == ""
            ids = model.call_args.kwargs["input_ids"][0].tolist()
            assert ids == tokenizer(escape(f"{instruction}\nQ: {query}\nA:"))["input_ids"], query
            assert tokenizer.unk_token_id not in ids


def test_what_lies_beside_the_folder_stays(made: Path, tmp_path: Path) -> None:
    mine = tmp_path / ".mine.tmp"
    mine.touch()
    os.utime(mine, (0, 0))  # old, as what a killed process left behind in a folder of the project's would be
    assert export(f"run={made}", f"to={tmp_path / 'out'}") == 0
    assert {*tmp_path.iterdir()} == {mine, tmp_path / "out"}


def test_card_and_configuration_tell_of_the_run(made: Path, exported: Path) -> None:
    card = (exported / "README.md").read_text()
    data = ModelCard(card).data
    assert data.base_model is None and "hir" in data.tags
    assert "| test, p_correct | 2 | 0.125 | 0.625 |" in card  # a fifth of 12
    assert "| validation, p_wrong | 1 | 0.500 | 0.000 |" in card  # a tenth
    assert "iteration 2 of 3:\n128 answers sampled to 9 training queries, 9 updates." in card
    assert "method `hir`" in card and "the run's answer: '<0>'" in card
    assert "a local folder" in card and str(made.parent) not in card
    before, after = (
        load_config([f"config={file}"]) for file in (made / "config.yaml", exported / "hir_config.yaml")
    )
    assert before.logger == "wandb" and after == replace(before, logger="csv")  # no part of the model


def test_a_run_that_has_not_ended_says_so(
    made: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """One that was resumed, and stands an iteration behind what its summary and metrics say."""
    folder = shutil.copytree(made, tmp_path / "run")
    checkpoint = torch.load(made / "checkpoints/last.ckpt", weights_only=True)
    torch.save({**checkpoint, "epoch": 0}, folder / "checkpoints/last.ckpt")
    assert export(f"run={folder}", f"to={out}") == 0
    assert "after iteration 1 to" in capsys.readouterr().out
    card = (out / "README.md").read_text()
    assert "| not measured |" in card and "the run's answer" not in card
    assert "iteration 1 of 3:\n64 answers sampled" in card
    assert "| validation, p_correct | 1 | 0.250 | 0.375 |" in card


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run=X", "to= is missing"),
        ("run=nowhere to=out", "nowhere holds no run"),
        ("run=MADE to=.", "is no empty folder"),
        ("run=MADE to=file", "is no empty folder"),
        ("run=MADE to=file/out", "cannot be written"),
    ],
)
def test_mistakes_end_with_2(
    arguments: str, words: str, made: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    (tmp_path / "file").write_text("kept")
    refused(words, "export", *arguments.replace("MADE", str(made)).split())


def test_a_break_in_the_middle_leaves_nothing(made: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out.mkdir(parents=True)  # an empty folder may be given
    monkeypatch.setattr("hir.tools.export.save_config", Mock(side_effect=KeyboardInterrupt))
    assert export(f"run={made}", f"to={out}") == 130
    assert [path.name for path in out.parent.iterdir()] == ["out"] and not list(out.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tiny", "tiny_causal"])
def test_a_trained_tiny_model_is_exported_by_the_command_line(
    model: str, made_once: Any, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny base has a tokenizer of its own: the code of the card, and no network, are all it needs."""
    out = tmp_path / "out"
    name = "finished" if model == "tiny" else model
    finished = made_once(name, f"model={model}", "trainer.max_epochs=3")
    done = run(environment, f"run={finished}", f"to={out}", program="-m hir export")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"exported the model of {finished} after iteration 3 to {out}\n"
    answers = read_run(finished).answers
    answer = names_of(out, monkeypatch)["answer"]
    assert [answer(row["query"]) for row in answers] == [row["output"] for row in answers]
    assert re.search(r"it had \d+ supervised updates", (out / "README.md").read_text())
