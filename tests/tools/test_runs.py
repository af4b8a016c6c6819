"""hir/tools/runs.py, with a train.py that does nothing but what a run leaves in its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
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


def test_the_next_run_is_chosen_after_the_first_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    save_config(load_run_config([]), tmp_path / "config.yaml")
    monkeypatch.setattr("hir.tools.runs.ROOT", tmp_path)
    monkeypatch.setattr(Cell, "config", load_run_config([]))
    done: list[str] = []

    def cells() -> Iterator[Cell]:
        for name in ("first", "next"):
            yield Cell(name, tmp_path / "out" / name, [f"training.lr={len(done)}"])

    assert run_cells(cells(), [{**os.environ}], lambda cell: done.append(cell.name) or "ended") == {}
    assert capsys.readouterr().out == "first: ended\nnext: ended\n"
    folder = tmp_path / "out" / "next"
    assert folder.with_suffix(".log").read_text() == f"training.lr=1 run_dir={folder}\n"


@pytest.mark.parametrize("name", ["endless", "deaf"])
def test_interrupted_it_ends_what_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "config.yaml").touch()
    monkeypatch.setattr("hir.tools.runs.ROOT", tmp_path)
    monkeypatch.setattr("hir.tools.runs.PATIENCE", 0.5)
    folder = tmp_path / "out" / name

    def cells() -> Iterator[Cell]:
        yield Cell(name, folder, [])
        while not (folder / "checkpoints" / "last.ckpt").exists():
            time.sleep(0.1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cells(cells(), [{**os.environ}] * 2, str)
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
