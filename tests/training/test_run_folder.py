"""Reading a run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from hir.callbacks.recorder import ENDED, WRITTEN, RunRecorder
from hir.config.schema import Config
from hir.errors import UserError
from hir.training.module import HIRModule
from hir.training.run_folder import read_run

METRICS = """\
iteration,samples,updates,seconds,test/accuracy,val/accuracy,val/accuracy_p_wrong
0,0,0,0,0.125,0.25,0.5
1,64,3,2.5,,,
"""
ANSWER = {"query": "How many?", "target": "3", "output": "4", "correct": False}
SAMPLE = {**ANSWER, "iteration": 1, "relabeled_instruction": None}
SUMMARY = {"iterations": 1, "test": {"accuracy": 0.0}}


def write_run(folder: Path, ended: bool) -> Path:
    """A run of one iteration."""
    (folder / "config.yaml").write_text("seed: 7\ntrainer: {max_epochs: 2}\n")
    (folder / "metrics.csv").write_text(METRICS)
    (folder / "samples.jsonl").write_text(json.dumps(SAMPLE) + "\n" + json.dumps(SAMPLE) + "\n")
    if ended:
        (folder / "answers.jsonl").write_text(json.dumps(ANSWER) + "\n")
        (folder / "summary.json").write_text(json.dumps(SUMMARY))
    return folder


def test_a_run_is_read_before_and_after_its_end(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path} holds no run"):
        read_run(tmp_path)
    run = read_run(write_run(tmp_path, ended=False))
    assert run.config.seed == 7
    first = {"test/accuracy": 0.125, "val/accuracy": 0.25, "val/accuracy_p_wrong": 0.5}
    assert run.history == [
        {"iteration": 0, "samples": 0, "updates": 0, "seconds": 0, **first},
        {"iteration": 1, "samples": 64, "updates": 3, "seconds": 2.5},
    ]
    assert run.samples == [SAMPLE, SAMPLE]
    assert run.answers == [] and run.summary is None
    run = read_run(write_run(tmp_path, ended=True))
    assert run.answers == [ANSWER] and run.summary == SUMMARY


def test_a_run_has_files_after_an_iteration_and_those_of_its_end_no_longer(tmp_path: Path) -> None:
    folder, module = tmp_path / "run", Mock(spec=HIRModule, num_samples=64)
    shares = {"fraction_correct": 0.5, "fraction_unique": 0.5, "mean_score": 0.5}
    module.report = Mock(**shares, num_samples=64, seconds=1.0, logged=[], unjudged=())
    trainer = Mock(is_global_zero=True, current_epoch=0, global_step=3, callback_metrics={})
    recorder = RunRecorder(Config(), folder, Mock(base={}, results={}, latest_seconds=0.0), 0.0)
    recorder.on_train_start(trainer, module)
    assert not [*folder.iterdir()]
    recorder.on_exception(trainer, module, KeyboardInterrupt())
    assert not folder.exists()
    recorder.on_train_start(trainer, module)
    for name in ENDED:
        (folder / name).touch()
    recorder.on_train_epoch_end(trainer, module)
    recorder.on_exception(trainer, module, KeyboardInterrupt())
    assert {path.name for path in folder.iterdir()} == {*WRITTEN}
    assert [row["iteration"] for row in read_run(folder).history] == [0, 1]
