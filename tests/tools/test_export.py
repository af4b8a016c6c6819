"""python -m hir export: the folder answers as the run did, its card is true, and it is whole or absent."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from tests.command_line import run

pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # peft

ROWS = [
    {"input": f"{i} <b>{{{word}}}</b>\n&lt; ~ \\ é", "target": f"<{word}> &lt;"}
    for i in range(4)
    for word in ("red", "blue", "gold")
]
"""Queries and answers with characters that the tokenizer below does not know, and an entity of their own."""
CORRECT = "Solve the question with correct answer."
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&#;:,.()/>'\"?!=-+*_$%@[]| \n"


def export(*arguments: str) -> int:
    from hir.tools.export.__main__ import main

    return main(list(arguments))


def code_of(card: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    return code


def answer_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The function that the card's own code makes, run beside the folder as its reader would."""
    monkeypatch.chdir(folder.parent)
    names: dict = {}
    exec(code_of((folder / "README.md").read_text()), names)
    return names["answer"]


def answers(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def make_tokenizer():
    """A token a character, of which it knows CHARACTERS."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", *CHARACTERS]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def teach(policy, certain: bool) -> None:
    """Supervised updates on ROWS: 30, or until each token is so likely that no rounding changes it."""
    from hir.records import TrainingExample

    pairs = [
        TrainingExample(0, row["input"], CORRECT, policy.encode_answer(row["target"]), True) for row in ROWS
    ]
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=5e-3)
    for _ in range(800 if certain else 30):
        batch = policy.collate(pairs if certain else pairs[:6])
        losses = torch.nn.functional.cross_entropy(policy(batch).logits[0], batch["labels"], reduction="none")
        if certain and losses.max() < 0.5:  # each token has a probability above 0.6
            return
        optimizer.zero_grad()
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)  # without it the last steps depend on rounding
        optimizer.step()
    assert not certain, losses.max()


def make_run(folder: Path, rank: int = 0, *arguments: str) -> Path:
    """What a run leaves that started from a T5 of FLAN-T5's shape, with an output head of its own."""
    from transformers import T5Config, T5ForConditionalGeneration

    from hir.config.load import load_config, save_config, to_dict
    from hir.files import write_json, write_lines
    from hir.policies.seq2seq import Seq2SeqPolicy, render_prompt
    from hir.sampling.base import build_sampler
    from hir.tasks.base import load_task
    from hir.training.build import build_policy

    tokenizer = make_tokenizer()
    shape = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    (folder / "strange.json").write_text(json.dumps({"examples": ROWS}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = T5ForConditionalGeneration(shape)
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight) / 8)
        model.all_tied_weights_keys.pop("lm_head.weight", None)
        teach(Seq2SeqPolicy(model, tokenizer), certain=False)
        model.save_pretrained(folder / "base")
        tokenizer.save_pretrained(folder / "base")
        config = load_config(
            [
                "task=strange", f"task.data_dir={folder}", f"model.path={folder / 'base'}",
                f"model.lora.r={rank}", "model.lora.target_modules=[q,v,wi_0]", "sampling.max_new_tokens=20",
                "trainer.max_epochs=3", "trainer.precision=32-true", *arguments,
            ]
        )  # fmt: skip
        policy, _ = build_policy(config)
        teach(policy, certain=True)
    task = load_task(config.task, config.seed)
    sampler = build_sampler(policy.eval(), config.sampling, 8)
    outputs = [
        policy.decode(ids)
        for ids in sampler.greedy(
            [render_prompt(config.instructions.correct, row.query) for row in task.test]
        )
    ]
    made = folder / "run"
    (made / "checkpoints").mkdir(parents=True)
    save_config(config, made / "config.yaml")
    (made / "metrics.csv").write_text(
        "iteration,samples,updates,seconds,test/accuracy,val/accuracy,val/accuracy_p_wrong\n"
        "0,0,0,0,0.125,0.25,0.5\n1,64,4,1.5,,0.375,0.0625\n2,128,9,3,,0.75,0.0\n"
    )
    write_lines(
        made / "answers.jsonl",
        (
            {"query": row.query, "target": row.targets[0], "output": text, "correct": False}
            for row, text in zip(task.test, outputs, strict=True)
        ),
    )
    seconds = dict.fromkeys(("total", "sampling", "training", "setup", "evaluation"), 1.0)
    write_json(made / "summary.json", {"iterations": 2, "test": {"accuracy": 0.625}, "seconds": seconds})
    state = {f"policy.{name}": weight for name, weight in policy.state_dict().items()}
    state["method.value_head.weight"] = torch.ones(1)
    checkpoint = {"epoch": 1, "global_step": 9, "state_dict": state}
    torch.save(
        {**checkpoint, "hir": {"config": to_dict(config), "num_samples": 128}}, made / "checkpoints/last.ckpt"
    )
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of full weights."""
    place = ["logger=wandb", "wandb.entity=team", "wandb.notes=private"]
    return make_run(tmp_path_factory.mktemp("full"), 0, *place)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of adapters."""
    return make_run(tmp_path_factory.mktemp("lora"), 4)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where to export to; nothing is left beside it."""
    yield tmp_path / "exports" / "out"
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


def said_by_card(folder: Path) -> dict:
    """The front matter, read as the hub's own library reads it."""
    from huggingface_hub import ModelCard

    data = ModelCard((folder / "README.md").read_text()).data
    results = {(r.dataset_split, r.metric_name): r.metric_value for r in data.eval_results}
    return {"results": results, "license": data.license, "base_model": data.base_model, "tags": data.tags}


@pytest.mark.parametrize("kind", ["full", "merged", "adapters"])
def test_the_card_s_code_answers_as_the_run(
    kind: str, made: Path, lora: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = made if kind == "full" else lora
    assert export(f"run={source}", f"to={out}", f"merge={str(kind != 'adapters').lower()}") == 0
    answer = answer_of(out, monkeypatch)
    rows = answers(source)
    assert [row["output"] for row in rows] == [row["target"] for row in rows]
    assert [answer(row["query"]) for row in rows] == [row["output"] for row in rows]
    assert (out / "adapter_model.safetensors").exists() == (kind == "adapters")
    assert (out / "model.safetensors").exists() == (kind != "adapters")
    if kind == "adapters":
        settings = json.loads((out / "adapter_config.json").read_text())
        assert settings["base_model_name_or_path"] == str((lora.parent / "base").resolve())


def test_weights_stay_as_trained_with_a_head_of_their_own(made: Path, out: Path) -> None:
    from safetensors.torch import load_file

    assert export(f"run={made}", f"to={out}") == 0
    trained = torch.load(made / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    exported = load_file(out / "model.safetensors")
    assert exported["lm_head.weight"].dtype == torch.float32
    for name, weight in exported.items():
        assert torch.equal(weight, trained[f"policy.model.{name}"]), name
    assert not torch.equal(exported["lm_head.weight"], exported["shared.weight"])
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    settings = json.loads((out / "generation_config.json").read_text())
    wanted = {"max_new_tokens": 20, "do_sample": False, "num_beams": 1, "decoder_start_token_id": 0}
    assert {name: settings[name] for name in wanted} == wanted
    modes = {path.stat().st_mode & 0o777 for path in out.iterdir()}
    assert len(modes) == 1  # safetensors alone would be for its owner


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
def test_an_adapter_of_a_tied_head_is_no_adapter_of_the_embedding(tiny_t5, tmp_path: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM

    from hir.config.schema import LoraConfig
    from hir.policies.load import add_lora
    from hir.tools.export.folder import merge_adapters

    assert tiny_t5.lm_head.weight is tiny_t5.shared.weight
    embedding = tiny_t5.shared.weight.clone()
    model = add_lora(tiny_t5, LoraConfig(r=2, target_modules=["lm_head"])).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for name, weight in model.named_parameters():
            if ".lora_B" in name:
                weight.data.normal_()
    inputs = {"input_ids": torch.tensor([[7, 9, 3, 1]]), "decoder_input_ids": torch.tensor([[0, 8, 5]])}
    logits = model(**inputs).logits
    merge_adapters(model).save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded.shared.weight, embedding)
    assert not torch.equal(loaded.lm_head.weight, embedding)
    torch.testing.assert_close(loaded(**inputs).logits, logits)


def test_bfloat16_is_half_the_size_and_warned_of(
    made: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    from safetensors.torch import load_file

    assert export(f"run={made}", f"to={out}", "dtype=bfloat16") == 0
    assert {weight.dtype for weight in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    warned = "in bfloat16 answers may differ"
    assert warned in capsys.readouterr().err and warned in (out / "README.md").read_text()


def test_the_template_writes_what_the_encoder_was_trained_on(made: Path, out: Path) -> None:
    from transformers import AutoTokenizer

    from hir.policies.escape import TextEscape
    from hir.policies.seq2seq import render_prompt

    assert export(f"run={made}", f"to={out}") == 0
    tokenizer = AutoTokenizer.from_pretrained(out)
    escape = TextEscape(tokenizer).escape
    for query in (*(row["input"] for row in ROWS), "a & b", "&amp; &#126; &nbsp;", "{{ x }} {% y %}", ""):
        for instruction in (CORRECT, "Solve the question with wrong answer."):
            messages = [{"role": "system", "content": instruction}] if instruction != CORRECT else []
            messages.append({"role": "user", "content": query})
            ids = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
            assert ids == tokenizer(escape(render_prompt(instruction, query)))["input_ids"], query
            assert tokenizer.unk_token_id not in ids


def test_an_instruction_of_any_text_is_in_the_template(word_tokenizer) -> None:
    from hir.tools.export.template import chat_template

    instruction = 'Say "no"\\ {{ eos_token }}\n%} 🙂'
    word_tokenizer.chat_template = chat_template(instruction, {})
    text = word_tokenizer.apply_chat_template([{"role": "user", "content": "one"}], tokenize=False)
    assert text == f"{instruction}\nQ: one\nA:</s>"


def test_the_card_tells_the_run_s_numbers(made: Path, out: Path) -> None:
    assert export(f"run={made}", f"to={out}", "license=mit") == 0
    said = said_by_card(out)
    assert said["results"] == {
        ("test", "accuracy under p_correct"): 0.625,
        ("validation", "accuracy under p_correct"): 0.75,
        ("validation", "accuracy under p_wrong"): 0.0,
    }
    assert said["license"] == "mit" and said["base_model"] is None and said["tags"][0] == "hir"
    card = (out / "README.md").read_text()
    assert "| 2 test rows, p_correct | 0.125 | 0.625 |" in card  # a fifth of 12
    assert "| 1 validation rows, p_wrong | 0.500 | 0.000 |" in card  # a tenth
    assert "9 training queries" in card
    assert "| iterations | 2 of 3 |" in card and "| answers sampled | 128, 4 a query |" in card
    assert "| updates | 9 of 64 rows, AdamW |" in card and "One run with one seed" in card
    assert "a local folder" in card and str(made.parent) not in card.split("<details>")[0]


def test_the_configuration_repeats_the_run_without_where_it_was_logged(made: Path, out: Path) -> None:
    from hir.config.load import load_config
    from hir.config.schema import WandbConfig

    assert export(f"run={made}", f"to={out}") == 0
    trained, exported = (
        load_config([f"config={file}"]) for file in (made / "config.yaml", out / "hir_config.yaml")
    )
    assert trained.wandb.entity == "team" and exported.wandb == WandbConfig()
    assert exported == replace(trained, logger="csv", wandb=WandbConfig())


def test_a_run_that_has_not_ended_says_so(
    made: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """One that was resumed, and stands an iteration behind what its summary and metrics say."""
    checkpoint = torch.load(made / "checkpoints/last.ckpt", weights_only=True)
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    torch.save({**checkpoint, "epoch": 0}, tmp_path / "run/checkpoints/last.ckpt")
    for name in ("config.yaml", "metrics.csv", "answers.jsonl", "summary.json"):
        (tmp_path / "run" / name).write_bytes((made / name).read_bytes())
    assert export(f"run={tmp_path / 'run'}", f"to={out}") == 0
    warned = "these are the weights after iteration 1 of 3"
    card = (out / "README.md").read_text()
    assert warned in capsys.readouterr().err and warned in card
    assert "not measured: the run has not ended" in card and "the run's answer" not in card
    assert said_by_card(out)["results"] == {
        ("validation", "accuracy under p_correct"): 0.375,
        ("validation", "accuracy under p_wrong"): 0.0625,
    }


def test_known_licences_are_of_the_base() -> None:
    from hir.tools.export.facts import known_license

    assert known_license("google/flan-t5-xl") == "apache-2.0"
    assert known_license("someone/flan-t5-xl") is None and known_license(None) is None


def test_adapters_whose_base_has_changed_are_refused(
    lora: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(lora.parent, tmp_path / "other")
    config = tmp_path / "other/run/config.yaml"
    config.write_text(config.read_text().replace(str(lora.parent), str(tmp_path / "other")))
    weights = load_file(tmp_path / "other/base/model.safetensors")
    weights["lm_head.weight"][5, 5] += 1
    save_file(weights, tmp_path / "other/base/model.safetensors", {"format": "pt"})
    assert export(f"run={tmp_path / 'other/run'}", f"to={out}", "merge=false") == 2
    assert "the base is not the one" in capsys.readouterr().err
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["to=X"], ["run= is missing"]),
        (["run=X"], ["to= is missing"]),
        (["run=X", "to=Y", "merg=true"], ["'merg=true' is no argument", "did you mean merge=?"]),
        (["run=X", "to=Y", "merge=yes"], ["merge must be true or false, not 'yes'"]),
        (["run=X", "to=Y", "dtype=float16"], ["dtype must be float32 or bfloat16"]),
        (["run=nowhere", "to=TMP/out"], ["nowhere holds no run"]),
        (["run=MADE", "to=TMP/out", "merge=false"], ["trained no adapters"]),
        (["run=MADE", "to=TMP/out", "lm_eval=true", "merge=false"], ["trained no adapters"]),
        (["run=LORA", "to=TMP/out", "lm_eval=true", "merge=false"], ["lm_eval=true needs whole weights"]),
        (["run=MADE", "to=TMP"], ["is not empty"]),
        (["run=MADE", "to=TMP/file"], ["is no folder"]),
        (["run=MADE", "to=TMP/file/out"], ["cannot be written"]),
    ],
)
def test_mistakes_exit_2_with_one_line_and_leave_nothing(
    arguments: list[str],
    words: list[str],
    made: Path,
    lora: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    (tmp_path / "file").write_text("kept")
    places = {"TMP": str(tmp_path), "MADE": str(made), "LORA": str(lora)}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    assert export(*arguments) == 2
    (message,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert message.startswith("error: ")
    assert all(word in message for word in words), message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_break_in_the_middle_leaves_nothing(made: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(facts: object) -> str:
        raise KeyboardInterrupt

    out.mkdir(parents=True)  # an empty folder may be given
    monkeypatch.setattr("hir.tools.export.folder.model_card", broken)
    assert export(f"run={made}", f"to={out}") == 130
    assert [path.name for path in out.parent.iterdir()] == ["out"] and not list(out.iterdir())


def test_lm_eval_gets_the_test_rows_as_the_model_reads_them(made: Path, out: Path) -> None:
    assert export(f"run={made}", f"to={out}", "lm_eval=true") == 0
    task = yaml.safe_load((out / "lm_eval/hir_strange.yaml").read_text())
    assert task["generation_kwargs"] == {"until": ["</s>"], "do_sample": False, "max_gen_toks": 20}
    assert task["metric_list"][0]["regexes_to_ignore"] == [r"^\s+|\.?\s*$"]
    rows = [json.loads(line) for line in (out / "lm_eval/test.jsonl").read_text().splitlines()]
    assert [row["query"] for row in rows] == [row["query"] for row in answers(made)]
    row = next(row for row in rows if "{red}" in row["query"])
    number = row["query"].split()[0]
    assert row["targets"] == ["&lt;red> &amp;lt;"]
    assert row["prompt"] == (
        f"{CORRECT}\nQ: {number} &lt;b>&#123;red&#125;&lt;/b>\n&amp;lt; &#126; &#92; &eacute;\nA:"
    )


def test_a_name_is_one_word_of_the_shell() -> None:
    from hir.tools.export.harness import command

    name = "it's; rm -r $HOME"
    assert f"hir_{name}" in shlex.split(command(name))


def test_a_damaged_run_is_refused(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copytree(made, tmp_path / "run")
    (tmp_path / "run/summary.json").write_text('{"test": {}, "seconds": {}}')
    assert export(f"run={tmp_path / 'run'}", f"to={tmp_path / 'out'}") == 2
    assert "run/summary.json is damaged" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_options_are_accepted_by_letter_text_and_both() -> None:
    from hir.records import Example
    from hir.tools.export.harness import MARKS, accepted

    def read(answer: str) -> str:  # as the harness does
        for pattern in (*MARKS, r"^\s+|\.?\s*$"):
            answer = re.sub(pattern, "", answer)
        return answer.lower()

    options = ("an owl", "a cat", "a cat")
    assert accepted(Example("?", ("(A)",), options)) == ["A", "A an owl", "an owl"]
    assert accepted(Example("?", ("an owl", "(B)"), options)) == ["A", "A an owl", "an owl", "B", "B a cat"]
    assert accepted(Example("?", ("6", "six"))) == ["6", "six"]
    assert accepted(Example("?", ("No", "No, it is not."), ("Yes", "No"), False)) == ["No", "No, it is not."]
    forms = {read(form) for form in accepted(Example("?", ("(B)",), ("15", "1.5")))}
    assert all(read(answer) in forms for answer in ("(B)", "b", "B.", "(B) 1.5", "B. 1.5", "1.5", "1.5."))
    assert not any(read(answer) in forms for answer in ("A", "15", "(B) 15", "(A) 1.5"))


@pytest.mark.slow
def test_a_trained_tiny_model_is_exported_by_the_command_line(
    finished: Path, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny base has a tokenizer of its own: the code of the card, and no network, are all it needs."""
    folder, out = finished, tmp_path / "out"
    done = run(environment, f"run={folder}", f"to={out}", program="-m hir export")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"exported the model of {folder} after iteration 3"
    rows = answers(folder)
    answer = answer_of(out, monkeypatch)
    assert [answer(row["query"]) for row in rows] == [row["output"] for row in rows]
    card = (out / "README.md").read_text()
    assert re.search(r"it had \d+\nsupervised updates|it had \d+ supervised updates", card)
    summary = json.loads((folder / "summary.json").read_text())
    assert said_by_card(out)["results"]["test", "accuracy under p_correct"] == summary["test"]["accuracy"]
