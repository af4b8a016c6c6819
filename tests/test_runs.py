"""Reading a run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from hir.errors import UserError
from hir.runs import read_run


def write_run(folder: Path) -> Path:
    """A run that has finished one iteration and not ended."""
    (folder / "config.yaml").write_text("seed: 7\ntrainer: {max_epochs: 2}\n")
    (folder / "metrics.csv").write_text("iteration,samples,val/accuracy\n0,0,0.25\n1,64,\n")
    (folder / "samples.jsonl").write_text('{"output": "3"}\n{"output": "4"}\n')
    return folder


def test_a_run_that_goes_on_is_read(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    assert run.config.seed == 7
    assert run.history == [
        {"iteration": 0, "samples": 0, "val/accuracy": 0.25},
        {"iteration": 1, "samples": 64},
    ]
    assert [row["output"] for row in run.samples] == ["3", "4"]
    assert run.answers == [] and run.summary is None


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        read_run(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "summary.json").write_text('{"test": ')
    with pytest.raises(UserError, match="a file of the run is damaged"):
        read_run(tmp_path)
