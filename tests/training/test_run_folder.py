"""Reading a run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from hir.config.schema import Config
from hir.errors import UserError
from hir.training.run_folder import read_run

METRICS = """\
iteration,samples,updates,seconds,test/accuracy,val/accuracy,val/accuracy_p_wrong
0,0,0,0,0.125,0.25,0.5
1,64,3,2.5,,,
"""
ANSWER = {"query": "How many?", "target": "3", "output": "4", "correct": False}
SAMPLE = {**ANSWER, "iteration": 1, "relabeled_instruction": None}
SECONDS = {"total": 9.5, "sampling": 1, "training": 1.5, "setup": 4, "evaluation": 2}
SUMMARY = {"iterations": 1, "test": {"accuracy": 0.0}, "seconds": SECONDS}


def write_run(folder: Path, iterations: int | None = None) -> Path:
    """A run that has finished one iteration, and had ended when it had finished so many."""
    (folder / "config.yaml").write_text("seed: 7\ntrainer: {max_epochs: 2}\n")
    (folder / "metrics.csv").write_text(METRICS)
    (folder / "samples.jsonl").write_text(json.dumps(SAMPLE) + "\n" + json.dumps(SAMPLE) + "\n")
    if iterations is not None:
        (folder / "answers.jsonl").write_text(json.dumps(ANSWER) + "\n")
        (folder / "summary.json").write_text(json.dumps({**SUMMARY, "iterations": iterations}))
    return folder


def test_a_run_that_goes_on_is_read(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    assert run.config.seed == 7
    first = {"test/accuracy": 0.125, "val/accuracy": 0.25, "val/accuracy_p_wrong": 0.5}
    assert run.history == [
        {"iteration": 0, "samples": 0, "updates": 0, "seconds": 0, **first},
        {"iteration": 1, "samples": 64, "updates": 3, "seconds": 2.5},
    ]
    assert run.samples == [SAMPLE, SAMPLE]
    assert run.answers == [] and run.summary is None


def test_what_a_run_ended_with_is_read_until_it_goes_on(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, iterations=1))
    assert run.answers == [ANSWER] and run.summary == SUMMARY
    run = read_run(write_run(tmp_path, iterations=0))
    assert run.answers == [] and run.summary is None


def test_a_run_that_goes_on_deletes_what_it_had_ended_with(tmp_path: Path) -> None:
    from hir.callbacks.recorder import ENDED, RunRecorder
    from hir.training.module import HIRModule

    write_run(tmp_path, iterations=1)
    (tmp_path / "learning_curve.png").touch()
    evaluation = Mock(results={"val/accuracy": 0.5}, latest_seconds=0.0)
    recorder = RunRecorder(Config(), tmp_path, evaluation, 0.0)
    history = [*read_run(tmp_path).history]
    recorder.load_state_dict({"history": history, "samples": [], "seconds": SECONDS})
    report = Mock(fraction_correct=0.5, fraction_unique=0.5, num_samples=64, seconds=1.0, logged=[])
    module = Mock(spec=HIRModule, num_samples=128, report=report)
    trainer = Mock(is_global_zero=True, current_epoch=1, global_step=6, callback_metrics={})
    recorder.on_train_start(trainer, module)
    assert read_run(tmp_path).summary == SUMMARY  # still of these weights
    recorder.on_train_epoch_end(trainer, module)
    assert [row["iteration"] for row in read_run(tmp_path).history] == [0, 1, 2]
    assert not [name for name in ENDED if (tmp_path / name).exists()]


def test_a_folder_without_a_run_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        read_run(tmp_path)
    for file, content, message in (
        ("metrics.csv", METRICS.splitlines()[0], "it has no row"),
        ("metrics.csv", METRICS + "2,128,6", "more or fewer fields"),
        ("metrics.csv", METRICS + "2,128,six,5,,,\n", "could not convert"),
        ("answers.jsonl", json.dumps(ANSWER)[:-5], "Expecting value"),
    ):
        write_run(tmp_path, iterations=1)
        (tmp_path / file).write_text(content)
        with pytest.raises(UserError, match=f"^{tmp_path}: a file of the run is damaged: .*{message}"):
            read_run(tmp_path)
