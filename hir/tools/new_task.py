"""A generated task of your own: python -m hir new-task NAME

Copies the smallest one there is, word_sorting, under a new name in snake_case, such as even_numbers: its file
hir/tasks/generated/NAME.py, its test tests/tasks/generated/test_NAME.py and its settings conf/task/NAME.yaml.
Test and `python train.py task=NAME` work from the start. Then change what it asks: docs/new_task.md goes
through it.
"""

import re
from dataclasses import dataclass

from omegaconf import MISSING

from hir.config.load import ROOT
from hir.errors import UserError
from hir.files import atomic_write
from hir.tasks.base import known_tasks

COPIED = "word_sorting"
PLACES = ("hir/tasks/generated/{}.py", "tests/tasks/generated/test_{}.py", "conf/task/{}.yaml")


@dataclass
class Options:
    name: str = MISSING
    """Name of the new task."""


def run(options: Options, settings: list[str]) -> int:
    """Write the files of the new task; UserError if the name cannot be had."""
    name = options.name
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise UserError(f"{name!r} is no name for a task: snake_case is needed, such as even_numbers")
    if name in known_tasks() or any((ROOT / place.format(name)).exists() for place in PLACES):
        raise UserError(f"there is a task {name!r} already: choose another name")
    for place in PLACES:
        text = (ROOT / place.format(COPIED)).read_text(encoding="utf-8")
        old, new = (task.title().replace("_", "") for task in (COPIED, f"{name}_task"))
        atomic_write(ROOT / place.format(name), text.replace(COPIED, name).replace(old, new).encode())
        print(f"wrote {place.format(name)}")
    print(f"next: pytest {PLACES[1].format(name)} && python train.py task={name}")
    return 0
