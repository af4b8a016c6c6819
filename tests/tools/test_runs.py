"""hir/tools/runs.py, with a train.py that does nothing but what a run leaves in its folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hir.config.load import save_config
from hir.tools.runs import Cell, run_cells, slots
from hir.training.settings import load_run_config

TRAIN = """\
import os, shutil, signal, sys, time
from pathlib import Path

print(*sys.argv[1:])
folder = Path(sys.argv[-1].partition("=")[2])
if folder.name == "deaf":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
(folder / "checkpoints").mkdir(parents=True, exist_ok=True)
shutil.copy(Path(__file__).with_name("config.yaml"), folder)
(folder / "pid").write_text(str(os.getpid()))
(folder / "checkpoints" / "last.ckpt").touch()
if folder.name in ("endless", "deaf"):
    time.sleep(100)
(folder / "summary.json").touch()
"""
"""Its last argument is run_dir= or resume=."""


def test_one_run_after_another_and_what_is_finished_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    save_config(load_run_config([]), tmp_path / "config.yaml")
    monkeypatch.setattr("hir.tools.runs.ROOT", tmp_path)
    monkeypatch.setattr(Cell, "config", load_run_config([]))
    first, then = (Cell(name, tmp_path / "out" / name, ["seed=1"]) for name in ("first", "then"))
    assert run_cells([first], 1, lambda cell: "ended") == {}
    assert run_cells([first, then], 1, lambda cell: "ended") == {}
    assert capsys.readouterr().out == "first: ended (1 of 1)\nthen: ended (1 of 1)\n"
    assert then.log.read_text() == f"seed=1 run_dir={then.folder}\n"


@pytest.mark.parametrize("name", ["endless", "deaf"])
def test_interrupted_it_ends_what_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "config.yaml").touch()
    monkeypatch.setattr("hir.tools.runs.ROOT", tmp_path)
    monkeypatch.setattr("hir.tools.runs.PATIENCE", 0.5)
    folder, sleep = tmp_path / "out" / name, time.sleep

    def interrupted(seconds: float) -> None:
        sleep(seconds)
        if (folder / "checkpoints" / "last.ckpt").exists():
            monkeypatch.setattr("time.sleep", sleep)
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cells([Cell(name, folder, [])], 2, str)
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


def test_runs_share_gpus_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    def cells(accelerator: str, devices: int = 1) -> list[Cell]:
        return [Cell("", Path(), [f"trainer.accelerator={accelerator}", f"trainer.devices={devices}"])]

    def shares(jobs: int | None, cells: list[Cell]) -> list[tuple[str, str]]:
        return [(slot["CUDA_VISIBLE_DEVICES"], slot["OMP_NUM_THREADS"]) for slot in slots(jobs, cells)]

    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert shares(None, cells("auto")) == [("2", "2"), ("5", "2"), ("7", "2")]
    assert shares(2, cells("auto")) == [("2,7", "4"), ("5", "4")]
    assert shares(4, cells("auto")) == [("2", "2"), ("5", "2"), ("7", "2"), ("2", "2")]
    assert shares(None, cells("cpu")) == [("2,5,7", "1")] * 8
    assert shares(None, cells("auto") + cells("auto", 2)) == [("2,5,7", "8")]
