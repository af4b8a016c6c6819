"""python -m hir new-task: what it writes works under any name, and what it refuses leaves nothing.

That a task made from it trains, tests/test_docs.py sees: it follows docs/new_task.md.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from hir.errors import UserError
from hir.files import atomic_write
from hir.tools import new_task
from tests.checkout import activated, copy_project
from tests.command_line import ROOT


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project of the copied task alone."""
    for place in new_task.PLACES:
        (tmp_path / place).parent.mkdir(parents=True)
        shutil.copy(ROOT / place.format(new_task.COPIED), tmp_path / place.format(new_task.COPIED))
    monkeypatch.setattr(new_task, "ROOT", tmp_path)
    return tmp_path


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_new_task_works_under_any_name(environment: dict[str, str], tmp_path: Path) -> None:
    def shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command], cwd=folder, env=activated(environment), capture_output=True, text=True
        )

    folder = copy_project(tmp_path / "hir")
    names = ("parity", "settings")  # the second one's class must not take the place of another
    for name in names:
        done = shell(f"python -m hir new-task {name}")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert done.stdout.splitlines() == [
            f"wrote hir/tasks/generated/{name}.py",
            f"wrote tests/tasks/generated/test_{name}.py",
            f"wrote conf/task/{name}.yaml",
            f"next: pytest tests/tasks/generated/test_{name}.py && python train.py task={name}",
        ]
    tests = " ".join(f"tests/tasks/generated/test_{name}.py" for name in names)
    files = " ".join(f"hir/tasks/generated/{name}.py" for name in names)
    for command in (
        f"pytest -q {tests} tests/tasks/test_generated.py -k 'parity or settings'",
        f"ruff check {files} {tests} && ruff format --check {files} {tests}",
    ):
        done = shell(command)
        assert done.returncode == 0, done.stdout + done.stderr
    done = shell("python -m hir new-task parity")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is a task 'parity' already: choose another name\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((name, "is no name for a task") for name in ("", "Parity", "2x", "_x", "x__y", "x-y", "../x", "é")),
        *((name, "means something else") for name in ("class", "null", "yes", "base")),
        *((name, "there is a task") for name in ("object_amount", "geometric_shapes")),
    ],
)
def test_bad_names_are_refused(root: Path, name: str, message: str) -> None:
    before = everything(root)
    with pytest.raises(UserError, match=message):
        new_task.run(new_task.Options(name), [])
    assert everything(root) == before


@pytest.mark.parametrize("place", new_task.PLACES)
def test_a_file_that_is_there_is_kept(root: Path, place: str) -> None:
    (root / place.format("new")).write_text("mine")
    before = everything(root)
    with pytest.raises(UserError, match=f"^{place.format('new')} exists already"):
        new_task.run(new_task.Options("new"), [])
    assert everything(root) == before


def test_all_files_are_written_or_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(root)

    def fails_at_last(path: Path, content: bytes) -> None:
        if path.name == "new.py":
            assert len(everything(root)) == len(before) + 2
            raise OSError(28, "No space left on device")
        atomic_write(path, content)

    monkeypatch.setattr(new_task, "atomic_write", fails_at_last)
    with pytest.raises(UserError, match="task new cannot be written: .*No space left"):
        new_task.run(new_task.Options("new"), [])
    assert everything(root) == before
