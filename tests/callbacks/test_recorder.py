"""What a run that fails before its first iteration ends leaves of its folder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hir.callbacks.evaluation import BigBenchEvaluation
from hir.callbacks.recorder import STARTED, RunRecorder
from hir.config.schema import Config, EvaluationConfig, InstructionConfig
from hir.feedback.match import Match, exact_match
from hir.relabel.correctness import Correctness
from hir.tasks.base import Task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with the files that training starts with."""
    for name in STARTED:
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text("a run's")
    return tmp_path / "run"


def fail(folder: Path) -> None:
    """Tell a recorder that has not restored any history that training failed."""
    task = Task("none", (), (), (), Match(exact_match))
    evaluation = BigBenchEvaluation(
        EvaluationConfig(), Correctness(InstructionConfig("right", "wrong")), task
    )
    recorder = RunRecorder(Config(), folder, evaluation, started=0.0)
    recorder.on_exception(SimpleNamespace(is_global_zero=True), None, KeyboardInterrupt())


def test_a_new_run_that_fails_leaves_nothing(folder: Path) -> None:
    fail(folder)
    assert not folder.exists()


def test_what_is_not_the_runs_stays(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    fail(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_resumed_run_that_fails_keeps_its_files(folder: Path) -> None:
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_text("weights")
    fail(folder)
    assert {path.name for path in folder.iterdir()} == {*STARTED, "checkpoints"}
    assert all((folder / name).read_text() == "a run's" for name in STARTED)
