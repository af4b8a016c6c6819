"""Reading a run's folder."""

from __future__ import annotations

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


def test_a_run_is_read_before_its_end(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 7\n")
    (tmp_path / "metrics.csv").write_text(METRICS)
    run = read_run(tmp_path)
    assert run.config.seed == 7
    first = {"test/accuracy": 0.125, "val/accuracy": 0.25, "val/accuracy_p_wrong": 0.5}
    assert run.history == [
        {"iteration": 0, "samples": 0, "updates": 0, "seconds": 0, **first},
        {"iteration": 1, "samples": 64, "updates": 3, "seconds": 2.5},
    ]
    assert run.samples == run.answers == [] and run.summary is None


@pytest.mark.parametrize(
    ("name", "content"),
    [("metrics.csv", ""), ("metrics.csv", "a\nx\n"), ("samples.jsonl", '{"a'), ("summary.json", "{")],
)
def test_a_damaged_file_is_told(tmp_path: Path, name: str, content: str) -> None:
    for file, text in {"config.yaml": "", "metrics.csv": METRICS, name: content}.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=f"^{tmp_path} (cannot be read: |has no row in its metrics.csv$)"):
        read_run(tmp_path)


def test_a_run_has_files_after_an_iteration_and_those_of_its_end_no_longer(tmp_path: Path) -> None:
    folder, module = tmp_path / "run", Mock(spec=HIRModule, datamodule=Mock())
    shares = {"fraction_correct": 0.5, "fraction_unique": 0.5, "mean_score": 0.5}
    module.report = Mock(**shares, num_samples=64, seconds=1.0, logged=[], unjudged=())
    trainer = Mock(is_global_zero=True, current_epoch=0, global_step=3, callback_metrics={})
    recorder = RunRecorder(Config(), folder, Mock(results={}, seconds=0.0), 0.0)
    recorder.on_train_start(trainer, module)
    assert not folder.exists()
    folder.mkdir()
    for name in ENDED:
        (folder / name).touch()
    recorder.on_train_epoch_end(trainer, module)
    assert {path.name for path in folder.iterdir()} == {*WRITTEN}
    assert [row["iteration"] for row in read_run(folder).history] == [0, 1]
