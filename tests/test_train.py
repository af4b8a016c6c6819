"""The command line as a user runs it, on runs small enough to take seconds each."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path

import pytest
import torch

from hir.errors import UserError
from hir.trainer import run_folder
from hir.training import checkpoints
from hir.training.checkpoints import check_resume
from hir.training.run_folder import findings, read_run
from hir.training.settings import load_run_config
from tests.command_line import SMALL, assert_same_run, run

pytestmark = pytest.mark.slow


def train(environment: dict[str, str], folder: Path, *arguments: str) -> dict:
    done = run(environment, *SMALL, f"run_dir={folder}", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "summary.json").read_text())


def test_run_folder_holds_what_the_contract_names(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.yaml", "metrics.csv", "samples.jsonl", "answers.jsonl", "summary.json", "learning_curve.png",
        "checkpoints",
    }  # fmt: skip
    run = read_run(finished)
    summary, history, answers = run.summary, run.history, run.answers
    assert summary and summary["task"] == "object_counting"
    assert (summary["method"], summary["model"]) == ("hir", "tiny")
    assert (summary["iterations"], summary["samples"], summary["updates"]) == (3, 3 * 32 * 4, 3 * 3)
    assert (finished / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    # A row for the base and each iteration
    assert [row["iteration"] for row in history] == [0, 1, 2, 3]
    assert [row["samples"] for row in history] == [0, 128, 256, 384]
    first, last, spent = history[0], history[3], summary["seconds"]
    assert first["seconds"] == 0
    assert last["seconds"] == pytest.approx(spent["sampling"] + spent["training"], abs=0.02)
    assert last["val/gap"] == pytest.approx(last["val/accuracy"] - last["val/accuracy_p_wrong"], abs=1e-5)
    # Answers to the test rows
    assert len({row["query"] for row in answers}) == 30
    assert all(row["correct"] == (row["output"].strip() == row["target"]) for row in answers)
    assert summary["test"]["accuracy"] == round(sum(row["correct"] for row in answers) / 30, 6)


def test_logged_samples_are_judged_and_relabeled_by_the_answer(finished: Path) -> None:
    rows = read_run(finished).samples
    assert [row["iteration"] for row in rows] == [1] * 4 + [2] * 4 + [3] * 4
    for row in rows:
        assert row["instruction"] == "Solve the question with correct answer."
        assert row["correct"] == (row["output"].replace(" ", "").strip(".") == row["target"])
        if row["relabeled_instruction"] is not None:
            word = "correct" if row["correct"] else "wrong"
            assert row["relabeled_instruction"] == f"Solve the question with {word} answer."


def test_saved_config_repeats_the_run(finished: Path, environment: dict[str, str], tmp_path: Path) -> None:
    done = run(environment, f"config={finished / 'config.yaml'}", f"run_dir={tmp_path / 'again'}")
    assert done.returncode == 0, done.stderr
    assert_same_run(finished, tmp_path / "again")


def test_output_is_plain_text_with_header_lines_and_result(finished: Path) -> None:
    text = finished.with_suffix(".out").read_text()
    assert "\x1b" not in text
    for begins in ("task    object_counting: 200 training queries", "1/3  correct ", "saved in "):
        assert f"\n{begins}" in text
    for holds in ("it only hears what the judge says", "trained as Solve the question with"):
        assert holds in text
    for title, said in findings(read_run(finished)):
        assert f"note    {title}: {said}\n" in text


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("trainer.devcies=2", "trainer.*: Lightning refuses these arguments"),
        ("task=logical_deduction", "unknown task 'logical_deduction'"),
        ("resume=nowhere", "nowhere holds no run to go on with"),
        ("method=hri", "method.name=hri: hir.methods holds farl, "),
    ],
)
def test_mistakes_exit_2_with_one_line_and_leave_nothing(
    argument: str, told: str, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    done = run(environment, *SMALL, f"run_dir={folder}", argument)
    assert done.returncode == 2 and not folder.exists()
    assert done.stderr.startswith(f"error: {told}") and done.stderr.count("\n") == 1


def test_a_run_goes_on_in_its_folder_alone_as_it_began_and_for_more_iterations(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "summary.json").write_text("{}")
    resume = f"resume={finished}"
    for arguments, told in (
        ([f"run_dir={finished}"], "holds another run"),
        ([resume], "raise trainer.max_epochs"),
        ([resume, "trainer.max_epochs=5", "method.alpha=0.7"], "method.alpha is 0.7 here and was 0.25"),
        ([resume, "trainer.max_epochs=5", f"run_dir={tmp_path}"], "holds another run"),
    ):
        with pytest.raises(UserError, match=told):
            config = load_run_config(arguments)
            run_folder(config)
            check_resume(config)
    older = checkpoints.read_checkpoint(finished / "checkpoints/last.ckpt")
    del older["hir"]["config"]["model"]["base"]["lr"]  # as if the key were newer than the run
    monkeypatch.setattr(checkpoints, "read_checkpoint", lambda path: older)
    assert check_resume(load_run_config([resume, "trainer.max_epochs=5"]))


def test_no_correct_sample_is_said_and_ends_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    """Two tokens cannot spell the targets: the run goes on, on wrong rows, and says so. Not on other rows."""
    folder = tmp_path / "run"
    examples = [{"input": f"What is {i}?", "target": f"never {i}"} for i in range(60)]
    (tmp_path / "impossible.json").write_text(json.dumps({"examples": examples}))
    arguments = ["task=impossible", f"task.data_dir={tmp_path}", "task.num_train=null"]
    arguments += ["model.base.max_updates=1", "sampling.max_queries=16", "sampling.max_new_tokens=2"]
    done = run(environment, *SMALL, *arguments, "trainer.max_epochs=1", f"run_dir={folder}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("No correct sample: In 1 of 1 iterations, first in 1, nothing was right") == 2
    assert "note    no answer is as long as 60 of 60 targets of impossible: the longest has" in done.stdout
    examples.append({"input": "What is 60?", "target": "never 60"})
    (tmp_path / "impossible.json").write_text(json.dumps({"examples": examples}))
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    done = run(environment, f"resume={folder}", "trainer.max_epochs=2")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "a task's rows, or their split, are others than in training: restore" in done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    done = run(environment, f"run={folder}", program="-m hir evaluate")
    assert done.stdout.startswith("the rows of impossible are not split as in training: some may have been")


@pytest.mark.parametrize("model", ["tiny", "tiny_causal"])
@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_each_baseline_trains(environment: dict[str, str], tmp_path: Path, method: str, model: str) -> None:
    folder = tmp_path / "run"
    summary = train(environment, folder, f"model={model}", f"method={method}", "trainer.max_epochs=1")
    answers = 1 if method == "sft" else 4  # it draws none, and reads a target a query
    assert summary["samples"] == 32 * answers and summary["updates"] == 3
    assert all(isfinite(row["train/loss"]) and row["train/loss"] for row in read_run(folder).history[1:])


@pytest.mark.parametrize("model", ["tiny", "tiny_causal"])
def test_ppo_resumes_with_its_value_head_and_is_evaluated_without(
    environment: dict[str, str], tmp_path: Path, model: str
) -> None:
    settings = [f"model={model}", "method=ppo", "method.kl=0.05", "training.final_lr=null"]
    whole, part = tmp_path / "whole", tmp_path / "part"
    summary = train(environment, whole, *settings, "trainer.max_epochs=2")
    train(environment, part, *settings, "trainer.max_epochs=1")
    done = run(environment, f"resume={part}", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, part)
    saved = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["state_dict"]["method.value_head.weight"].any()
    done = run(environment, f"run={whole}", program="-m hir evaluate")
    assert done.returncode == 0 and "split as in training" not in done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["object_counting"]
    assert found["rows"] == 30 and found["accuracy"] == summary["test"]["accuracy"]
    done = run(environment, f"run={whole}", "task=word_sorting", program="-m hir evaluate")
    assert "word_sorting (30 test rows)" in done.stdout, done.stderr  # whose settings are others


def test_any_seq2seq_folder_trains_under_bf16_and_evaluates_on_another_task(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A T5 1.1 shape with a tokenizer of its own, lettered options, the loss in all its parts."""
    from transformers import T5Config, T5ForConditionalGeneration

    from hir.training.tiny import build_tokenizer

    tokenizer = build_tokenizer(["Which is it?\nOptions:\n(A) cat\n(B) dog"])
    shape = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    model = tmp_path / "model"
    T5ForConditionalGeneration(shape).save_pretrained(model)
    tokenizer.save_pretrained(model)
    rows = [{"input": f"Which of {i} is it?\nOptions:\n(A) cat\n(B) dog", "target": "(A)"} for i in range(40)]
    for name in ("pets", "more_pets"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"examples": rows}))
    folder = tmp_path / "run"
    arguments = [
        "task=pets", f"task.data_dir={tmp_path}", "evaluation.tasks=[more_pets]",
        "model=hub", f"model.path={model}", "method.sub_output=decoder", "method.contrast=set",
        "instructions.others=[Solve the question somehow.]", "training.num_updates=2",
        "training.batch_size=8", "trainer.accelerator=cpu", "trainer.devices=1",
        "trainer.max_epochs=2", "trainer.gradient_clip_val=1.0", f"run_dir={folder}",
    ]  # fmt: skip
    done = run(environment, *arguments)
    assert done.returncode == 0, done.stderr
    assert "bf16-mixed" in done.stdout and "more_pets (8)" in done.stdout
    assert all(0 < row["train/contrast"] < 10 for row in read_run(folder).history[1:])
    done = run(environment, f"run={folder}", "task=more_pets", program="-m hir evaluate")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["more_pets"]["rows"] == 8
