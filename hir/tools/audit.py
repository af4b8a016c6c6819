"""Answer the real rows of the paper's 12 tasks from their text: python -m hir audit DIR

DIR has the files in either format. Each task is one line: rows, how many of them hir/tasks/solvers/ can read,
how many of those have the label that follows from their text, and how many of 10,000 generated queries the
file has, too. Below it stand the rows that were not read, and those whose label is another.
"""

from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from textwrap import shorten

from omegaconf import MISSING

from hir.errors import UserError
from hir.feedback.answers import multiple_choice, option_letter
from hir.tasks.base import GENERATORS, generated_task
from hir.tasks.bigbench import listed_options, read_rows
from hir.tasks.files import SOURCES, find_file


@dataclass
class Options:
    data_dir: str = MISSING
    """Folder of the tasks' files."""


def stem(query: str) -> str:
    """A query without its options."""
    return " ".join(listed_options(query)[0].split())


def audit(name: str, path: Path) -> None:
    """Print the counts of a task's file, and a line on each row that was not read or does not agree."""
    solve = import_module(GENERATORS.modules()[name].replace(".generated.", ".solvers.")).solve
    rows, left_out = read_rows(path)
    unread, others = list[str](), list[str]()
    for number, row in zip((i for i in count(1) if i not in left_out), rows, strict=False):
        try:
            answer = solve(listed_options(row.query)[0], row.options)
            if row.options and answer not in row.options:
                raise ValueError(f"{answer} is no option")
        except (ValueError, LookupError) as error:
            unread.append(f"example {number} is not read: {error}")
            continue
        if row.options:
            answer = f"({option_letter(row.options.index(answer))})"
        if not multiple_choice(row, answer):
            says = f"the file says {', '.join(row.targets)}: {shorten(row.query, 300)}"
            others.append(f"example {number} is {answer}, {says}")
    real, task = {stem(row.query) for row in rows}, generated_task(name, {})
    generated = sum(stem(task.row(0, i).query) in real for i in range(10_000))
    read, agree = len(rows) - len(unread), len(rows) - len(unread + others)
    print(f"{name}: {len(rows)} rows, {read} read, {agree} agree; {generated} generated are among them")
    print("".join(f"  {line}\n" for line in unread + others), end="")


def run(options: Options, settings: list[str]) -> int:
    """Audit the files there are; UserError if there is none."""
    missing = list[UserError]()
    for name in SOURCES["bbh"]:
        try:
            path = find_file(options.data_dir, name)
        except UserError as error:
            missing.append(error)
        else:
            audit(name, path)
    if len(missing) == len(SOURCES["bbh"]):
        raise missing[-1]
    return 0
