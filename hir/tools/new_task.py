"""Start a generated task of your own: `python -m hir new-task NAME`.

NAME is in snake_case, such as even_numbers. Three files are written: hir/tasks/generated/NAME.py, a small
task that works; tests/tasks/test_NAME.py, its test, which passes; and conf/task/NAME.yaml, settings that
suit it.
`python train.py task=NAME` trains on it. Then change what it asks: docs/new_task.md goes through it.
Exit code: 0; 2 for a name that cannot be had, and then nothing is written.
"""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path
from string import Template

import yaml

from hir.config.load import ROOT
from hir.errors import UserError
from hir.files import atomic_write
from hir.tasks.base import generators, known_tasks

MAX_LENGTH = 60
"""Longest name, in characters: no line of a template grows over the project's limit with it."""

# The file's own names, which its class must not take.
USED = ("ClassVar", "Example", "GeneratedTask", "Settings", "UserError", "Verifier")

TASK = Template('''\
"""A generated task: "Which of these numbers are even? 7 12 9 4" -> "12 4", in any order.

What is asked here stands for a question of your own. Change the fields of ``Settings``, the judge and the
body of ``example``, then ``answer`` in the test, which works the right answers out a second time:
tests/tasks/test_$name.py
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from hir.errors import UserError
from hir.feedback.match import Verifier
from hir.records import Example
from hir.tasks.base import GeneratedTask, register


@dataclass(frozen=True)
class Settings:
    """Difficulty (``task.settings.*``); a field is an int, float, bool or str with a default."""

    num_odd: int = 2
    """Odd numbers in a list."""
    max_even: int = 2
    """Most even numbers in a list; at least one is."""
    largest: int = 30
    """Largest number there is."""

    def __post_init__(self) -> None:
        # Refuse here what ``example`` could not draw from: the command line shows the text and exits with 2.
        if not (0 <= self.num_odd <= self.largest // 2 and 1 <= self.max_even <= self.largest // 2):
            raise UserError("task.settings: num_odd must be 0, and max_even 1, to half of largest")


def same_numbers(example: Example, output: str) -> bool:
    """Whether the output has the numbers of the target, each once, in whatever order."""
    return sorted(output.split()) == sorted(example.targets[0].split())


@register("$name")
class $cls(GeneratedTask[Settings]):
    """List the even ones among some different numbers."""

    Settings = Settings
    # Without this line an answer must name a right option or, where a row has none, equal a target.
    verify: ClassVar[Verifier] = staticmethod(same_numbers)

    def example(self, rng: random.Random) -> Example:
        """One row, from ``rng`` alone. Answers are drawn evenly: one that is rare is hardly learned."""
        s = self.settings
        even = rng.sample(range(2, s.largest + 1, 2), rng.randint(1, s.max_even))
        numbers = even + rng.sample(range(1, s.largest + 1, 2), s.num_odd)
        rng.shuffle(numbers)
        return Example(
            query=f"Which of these numbers are even? {' '.join(map(str, numbers))}",
            targets=(" ".join(str(n) for n in numbers if n % 2 == 0),),
        )
''')

TEST = Template('''\
from collections import Counter

import pytest

from hir.config.schema import TaskConfig
from hir.errors import UserError
from hir.records import Example
from hir.tasks.base import generated_task, is_pretraining, load_task

NAME = "$name"


def rows(number: int, seed: int = 0, **settings: int) -> list[Example]:
    task = generated_task(NAME, settings)
    return [task.row(seed, i) for i in range(number)]


def numbers(query: str) -> list[int]:
    question, listed = query.split("? ")
    assert question == "Which of these numbers are even"
    return [int(word) for word in listed.split()]


def answer(query: str) -> str:
    """The right answer, from the text of a query alone and in another way than the task has it."""
    return " ".join(str(n) for n in numbers(query) if str(n)[-1] in "02468")


def test_rows_are_a_function_of_seed_and_index() -> None:
    assert rows(20) == rows(40)[:20]
    assert rows(20) != rows(20, seed=1)


def test_rows_are_well_formed_and_right() -> None:
    task = generated_task(NAME, {})
    for row in rows(1000):
        assert row.query == row.query.strip() and not row.options
        assert row.targets == (answer(row.query),)
        assert task.verify(row, row.targets[0])


def test_any_order_is_right_and_nothing_else() -> None:
    verify = generated_task(NAME, {}).verify
    row = Example("Which of these numbers are even? 7 12 9 4", ("12 4",))
    for right in ("12 4", "4 12", " 4  12 "):
        assert verify(row, right)
    for wrong in ("", "12", "12 4 4", "12 4 9", "124", "12, 4"):
        assert not verify(row, wrong)


def test_settings_are_followed() -> None:
    lists = [numbers(row.query) for row in rows(500, num_odd=1, max_even=3, largest=6)]
    assert all(sum(n % 2 for n in found) == 1 for found in lists)
    assert {len(found) for found in lists} == {2, 3, 4}
    assert {n for found in lists for n in found} == {1, 2, 3, 4, 5, 6}


def test_answers_come_evenly() -> None:
    answers = Counter(word for row in rows(3000) for word in row.targets[0].split())
    assert sorted(map(int, answers)) == list(range(2, 31, 2))
    assert all(230 < n < 370 for n in answers.values()), answers  # 300 each, 4 standard deviations


@pytest.mark.parametrize("settings", [{"num_odd": -1}, {"max_even": 0}, {"largest": 3}, {"odd": 2}])
def test_bad_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UserError, match="task.settings"):
        generated_task(NAME, settings)


def test_splits_and_pretraining_share_no_query() -> None:
    task = load_task(TaskConfig(name=NAME, num_train=300, num_validation=40, num_test=50), seed=0)
    assert (len(task.train), len(task.validation), len(task.test)) == (300, 40, 50)
    queries = {row.query for row in (*task.train, *task.validation, *task.test)}
    assert len(queries) == 390 and not any(map(is_pretraining, queries))


def test_there_are_queries_enough_for_a_run() -> None:
    task = generated_task(NAME, {})
    assert len(task.splits(1, 8192, 256, 1000).train) == 8192
    assert len(task.pretraining_rows(0, 8192)) == 8192
''')

CONF = Template("""\
# Settings that suit the task; a key on the command line beats them.
sampling: {max_new_tokens: 8} # room for the longest answer in tokens, its end included
""")


def files(name: str) -> dict[Path, str]:
    """The content of each file of a new task, the one that makes it known last."""
    cls = "".join(part.capitalize() for part in name.split("_"))
    words = {"name": name, "cls": f"{cls}Task" if cls in USED else cls}
    return {
        ROOT / "conf" / "task" / f"{name}.yaml": CONF.substitute(words),
        ROOT / "tests" / "tasks" / f"test_{name}.py": TEST.substitute(words),
        ROOT / "hir" / "tasks" / "generated" / f"{name}.py": TASK.substitute(words),
    }


def check_name(name: str) -> None:
    """Refuse a name that is not in snake_case, that means something to Python or YAML, or that is used.

    Raises:
        UserError: what is wrong with it.
    """
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > MAX_LENGTH:
        rule = f"snake_case (small letters, digits, _ between them), at most {MAX_LENGTH} characters"
        raise UserError(f"{name!r} is no name for a task: {rule}, such as even_numbers")
    if keyword.iskeyword(name):
        raise UserError(f"{name!r} is a keyword of Python: choose another name")
    if yaml.safe_load(name) != name:
        raise UserError(f"{name!r} is no text to YAML, which settings are written in: choose another name")
    if name in known_tasks():
        kind = "generated task" if name in generators() else "task of BIG-bench"
        raise UserError(f"there is a {kind} {name!r} already: choose another name")
    for path in (*files(name), ROOT / "hir" / "tasks" / "generated" / name):
        if path.exists():
            raise UserError(f"{path.relative_to(ROOT)} exists already: choose another name")


def create(name: str) -> list[Path]:
    """Write the files of a new task, all or none; returns their paths.

    Raises:
        UserError: the name cannot be had, or a file cannot be written.
    """
    check_name(name)
    written: list[Path] = []
    try:
        for path, text in files(name).items():
            atomic_write(path, text.encode())
            written.append(path)
    except BaseException as error:
        for path in written:
            path.unlink()
        if isinstance(error, OSError):
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
        raise
    return written


def main(argv: list[str]) -> int:
    if "-h" in argv or "--help" in argv:
        print(__doc__)
        return 0
    try:
        if len(argv) != 1:
            raise UserError(f"one name is needed, not {len(argv)}: python -m hir new-task NAME")
        for path in reversed(create(argv[0])):
            print(f"wrote {path.relative_to(ROOT)}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"next: pytest tests/tasks/test_{argv[0]}.py && python train.py task={argv[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
