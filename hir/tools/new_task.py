"""A generated task of your own: python -m hir new-task NAME

Copies the smallest one there is, word_sorting, under a new name in snake_case, such as even_numbers: its file
hir/tasks/generated/NAME.py, its test tests/tasks/generated/test_NAME.py and its settings conf/task/NAME.yaml.
Test and `python train.py task=NAME` work from the start. Then change what it asks: docs/new_task.md goes
through it.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from omegaconf import MISSING

from hir.config.load import ROOT
from hir.errors import UserError
from hir.files import atomic_write
from hir.tasks.base import known_tasks

TAKES_SETTINGS = False
COPIED = "word_sorting"
PLACES = ("conf/task/{}.yaml", "tests/tasks/generated/test_{}.py", "hir/tasks/generated/{}.py")
"""The files of a task; the last one makes it known."""


@dataclass
class Options:
    name: str = MISSING
    """Name of the new task."""


def run(options: Options, settings: list[str]) -> int:
    """Write the files of the new task, all or none; UserError if the name cannot be had."""
    name = options.name
    check_name(name)
    written: list[Path] = []
    try:
        for place in PLACES:
            if (ROOT / place.format(COPIED)).exists():
                path = ROOT / place.format(name)
                text = (ROOT / place.format(COPIED)).read_text(encoding="utf-8")
                atomic_write(path, renamed(text, name).encode())
                written.append(path)
    except BaseException as error:
        for path in written:
            path.unlink()
        if isinstance(error, OSError):
            raise UserError(f"task {name} cannot be written: {error}") from error
        raise
    for path in reversed(written):
        print(f"wrote {path.relative_to(ROOT)}")
    print(f"next: pytest {PLACES[1].format(name)} && python train.py task={name}")
    return 0


def renamed(text: str, name: str) -> str:
    """A file of the copied task with the new task's name and class."""
    old, new = (task.title().replace("_", "") for task in (COPIED, name))
    if re.search(rf"\b{new}\b", text):  # Settings, say, which the file has already
        new += "Task"
    return text.replace(COPIED, name).replace(old, new)


def check_name(name: str) -> None:
    """Refuse a name that is not in snake_case, that means something to Python, YAML or hir, or that is used.

    Raises:
        UserError: what is wrong with it.
    """
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise UserError(f"{name!r} is no name for a task: snake_case is needed, such as even_numbers")
    if keyword.iskeyword(name) or yaml.safe_load(name) != name or name == "base":
        raise UserError(f"{name!r} means something else to Python, YAML or hir: choose another name")
    if name in known_tasks():
        raise UserError(f"there is a task {name!r} already: choose another name")
    for path in (place.format(name) for place in PLACES):
        if (ROOT / path).exists():
            raise UserError(f"{path} exists already: choose another name")
