"""python -m hir new-task: what it writes works under any name, and what it refuses leaves nothing.

That a task made from it trains, tests/test_docs.py sees: it follows docs/new_task.md.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from hir.errors import UserError
from hir.tools import new_task
from tests.checkout import activated, copy_project
from tests.command_line import ROOT


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
    def shell(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=activated(environment), capture_output=True, text=True
        )
        assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
        return done.stdout

    folder = copy_project(tmp_path / "hir")
    names = ("parity", "settings")  # the second one's class must not take the place of another
    for name in names:
        assert shell(f"python -m hir new-task {name}").splitlines() == [
            f"wrote hir/tasks/generated/{name}.py",
            f"wrote tests/tasks/generated/test_{name}.py",
            f"wrote conf/task/{name}.yaml",
            f"next: pytest tests/tasks/generated/test_{name}.py && python train.py task={name}",
        ]
    tests = " ".join(f"tests/tasks/generated/test_{name}.py" for name in names)
    files = " ".join(f"hir/tasks/generated/{name}.py" for name in names)
    shell(f"pytest -q {tests} tests/tasks/test_generated.py -k 'parity or settings'")
    shell(f"ruff check {files} {tests} && ruff format --check {files} {tests}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((name, "is no name for a task") for name in ("", "Parity", "2x", "_x", "x__y", "x-y", "../x", "é")),
        *((name, "there is a task") for name in ("object_amount", "geometric_shapes", "mine")),
    ],
)
def test_bad_names_are_refused(root: Path, name: str, message: str) -> None:
    (root / "conf/task/mine.yaml").touch()
    before = everything(root)
    with pytest.raises(UserError, match=message):
        new_task.run(new_task.Options(name), [])
    assert everything(root) == before
