"""python -m hir new-task: what it writes works under any name, and what it refuses leaves nothing.

That its task trains, tests/test_docs.py sees: docs/new_task.md has it in full.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hir.errors import UserError
from hir.files import atomic_write
from hir.tools import new_task
from tests.checkout import activated, copy_project
from tests.command_line import ROOT

LONGEST = "a_name_of_sixty_letters_which_is_the_longest_that_may_be_had"


@pytest.fixture(scope="module")
def checkout(environment, tmp_path_factory):
    """A copy of the project with new tasks of three names, and a function that runs a command in it."""
    folder = copy_project(tmp_path_factory.mktemp("copy") / "hir")

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=activated(environment),
            capture_output=True,
            text=True,
            timeout=600,
        )

    # A class that is named after "settings" or "example" would take the place of one that the file needs.
    for name in ("parity", "settings", LONGEST):
        done = shell(f"python -m hir new-task {name}")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert done.stdout.splitlines() == [
            f"wrote hir/tasks/generated/{name}.py",
            f"wrote tests/tasks/test_{name}.py",
            f"wrote conf/task/{name}.yaml",
            f"next: pytest tests/tasks/test_{name}.py && python train.py task={name}",
        ]
    return folder, shell


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty project."""
    monkeypatch.setattr(new_task, "ROOT", tmp_path)
    return tmp_path


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_its_tests_pass_under_any_name(checkout) -> None:
    _, shell = checkout
    done = shell(
        f"pytest -q tests/tasks/test_parity.py tests/tasks/test_settings.py tests/tasks/test_{LONGEST}.py"
    )
    assert done.returncode == 0 and "33 passed" in done.stdout, done.stdout


def test_the_page_shows_what_is_written() -> None:
    page = (ROOT / "docs" / "new_task.md").read_text()
    for path, text in new_task.files("even_numbers").items():
        assert (
            f"`{path.relative_to(ROOT)}`:\n\n```{'yaml' if path.suffix == '.yaml' else 'python'}\n{text}```\n"
            in page
        )


@pytest.mark.slow
def test_it_has_the_projects_format_and_types_under_any_name(checkout) -> None:
    _, shell = checkout
    for command in ("ruff format --check", "ruff check", "mypy --cache-dir=.types"):
        files = [f"hir/tasks/generated/{name}.py" for name in ("parity", "settings", LONGEST)]
        if command.startswith("ruff"):
            files += [f"tests/tasks/test_{name}.py" for name in ("parity", "settings", LONGEST)]
        done = shell(f"{command} {' '.join(files)}")
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_that_is_there_is_refused_in_one_line(checkout) -> None:
    folder, shell = checkout
    before = {path: path.read_bytes() for path in everything(folder / "hir" / "tasks")}
    done = shell("python -m hir new-task parity")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "a generated task 'parity' already" in done.stderr
    after = everything(folder / "hir" / "tasks")
    assert all(path.suffix == ".pyc" or path.read_bytes() == before[path] for path in after)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is no name for a task: snake_case"),
        ("Parity", "is no name for a task"),
        ("2x", "is no name for a task"),
        ("_x", "is no name for a task"),
        ("x_", "is no name for a task"),
        ("x__y", "is no name for a task"),
        ("x-y", "is no name for a task"),
        ("x.y", "is no name for a task"),
        ("../x", "is no name for a task"),
        ("x\n", "is no name for a task"),
        ("é", "is no name for a task"),
        (LONGEST + "s", "at most 60 characters"),
        ("class", "is a keyword of Python"),
        ("null", "is no text to YAML"),
        ("yes", "is no text to YAML"),
        ("object_amount", "a generated task 'object_amount' already"),
        ("geometric_shapes", "a task of BIG-bench 'geometric_shapes' already"),
    ],
)
def test_bad_names_are_refused(root: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        new_task.create(name)
    assert everything(root) == []


@pytest.mark.parametrize(
    "there",
    [
        "hir/tasks/generated/new.py",
        "hir/tasks/generated/new/__init__.py",
        "tests/tasks/test_new.py",
        "conf/task/new.yaml",
    ],
)
def test_a_file_that_is_there_is_kept(root: Path, there: str) -> None:
    (root / there).parent.mkdir(parents=True)
    (root / there).write_text("mine")
    with pytest.raises(UserError, match=f"^{there.removesuffix('/__init__.py')} exists already"):
        new_task.create("new")
    assert everything(root) == [root / there] and (root / there).read_text() == "mine"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_all_files_are_written_or_none(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails_at_last(path: Path, content: bytes) -> None:
        if path.parent.name == "generated":
            assert len(everything(root)) == 2
            raise error
        atomic_write(path, content)

    monkeypatch.setattr(new_task, "atomic_write", fails_at_last)
    expected = UserError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is UserError else None):
        new_task.create("new")
    assert everything(root) == []


def test_its_arguments(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["one", "two"]):
        assert new_task.main(argv) == 2
        assert capsys.readouterr().err == (
            f"error: one name is needed, not {len(argv)}: python -m hir new-task NAME\n"
        )
    assert new_task.main(["--help"]) == 0
    assert capsys.readouterr().out == f"{new_task.__doc__}\n"
    assert everything(root) == []
