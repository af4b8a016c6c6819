"""hir/tools/runs.py, with a train.py that does nothing but what a run leaves in its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hir.config.load import save_config
from hir.errors import UserError
from hir.tools.runs import Cell, claimed, run_cells, slots
from hir.training.settings import load_run_config

TRAIN = """\
import shutil, signal, sys, time
from pathlib import Path

print(*sys.argv[1:])
folder = Path(sys.argv[-1].partition("=")[2])
print("anew" if not folder.exists() else sorted(path.name for path in folder.iterdir()))
if folder.name == "deaf":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
(folder / "checkpoints").mkdir(parents=True, exist_ok=True)
shutil.copy(Path(__file__).with_name("config.yaml"), folder)
(folder / "checkpoints" / "last.ckpt").touch()
if folder.name in ("endless", "deaf"):
    time.sleep(100)
(folder / "summary.json").touch()
"""
"""Its last argument is run_dir= or resume=."""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a cell of that name, whose run is TRAIN's."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "train.py").write_text(TRAIN)
    save_config(load_run_config([]), root / "config.yaml")
    monkeypatch.setattr("hir.tools.runs.ROOT", root)
    return lambda name: Cell(name, tmp_path / "out" / name, ["task=object_counting"])


ONE = [{**os.environ}]
"""The environment of one run at a time."""


def ended(cell: Cell) -> str:
    return "ended"


def test_a_run_is_gone_on_with_or_left_to_train_py(make) -> None:
    resumed, begun, others = (make(name) for name in ("resumed", "begun", "others"))
    (resumed.folder / "checkpoints").mkdir(parents=True)
    (resumed.folder / "checkpoints" / "last.ckpt").touch()
    (begun.folder / "checkpoints").mkdir(parents=True)  # killed at its first checkpoint: made anew
    (others.folder / "notes").mkdir(parents=True)  # no run's: refused
    assert run_cells([resumed, begun, others], ONE, ended) == {}
    logs = [cell.folder.with_suffix(".log").read_text().splitlines() for cell in (resumed, begun, others)]
    assert logs == [
        [f"resume={resumed.folder}", "['checkpoints']"],
        [f"task=object_counting run_dir={begun.folder}", "['checkpoints']"],
        [f"task=object_counting run_dir={others.folder}", "['notes']"],
    ]


def test_a_generator_chooses_the_next_cell_when_the_one_before_has_ended(make) -> None:
    said: list[str] = []

    def cells() -> Iterator[Cell]:
        for name in ("one", "two"):
            said.append(f"chosen {name}")
            yield make(name)

    run_cells(cells(), ONE, lambda cell: said.append(f"ended {cell.name}") or "")
    assert said == ["chosen one", "ended one", "chosen two", "ended two"]


@pytest.mark.parametrize("name", ["endless", "deaf"])
def test_a_watched_run_is_ended_and_the_others_go_on(
    name: str, make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hir.tools.runs.PATIENCE", 0.5)

    def watch(cell: Cell) -> bool:
        return cell.name == name and (cell.folder / "checkpoints" / "last.ckpt").exists()

    assert run_cells([make(name), make("other")], ONE, ended, watch) == {}  # in the place of the first
    assert capsys.readouterr().out == f"{name}: ended\nother: ended\n"


def test_two_processes_do_not_run_the_same_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claimed(out), pytest.raises(UserError, match=f"another process is running the runs in {out}"):
        with claimed(out):
            pass
    with claimed(out):  # which the first has let go of
        pass
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/out: Not a directory"), claimed(tmp_path / "file" / "out"):
        pass


def test_runs_share_gpus_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    def cells(accelerator: str, devices: int = 1) -> list[Cell]:
        return [Cell("", Path(), [f"trainer.accelerator={accelerator}", f"trainer.devices={devices}"])]

    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def shares(jobs: int | None, cells: list[Cell]) -> list[tuple[str, str]]:
        return [(slot["CUDA_VISIBLE_DEVICES"], slot["OMP_NUM_THREADS"]) for slot in slots(jobs, cells)]

    assert shares(None, cells("auto")) == [("2", "2"), ("5", "2"), ("7", "2")]
    assert shares(2, cells("auto")) == [("2,7", "4"), ("5", "4")]
    assert shares(4, cells("auto")) == [("2", "2"), ("5", "2"), ("7", "2"), ("2", "2")]
    assert shares(None, cells("cpu")) == [("2,5,7", "1")] * 8
    assert shares(None, cells("auto") + cells("auto", 2)) == [("2,5,7", "8")]
