"""Answer the real rows of the paper's 12 tasks from their text: python -m hir audit DIR

DIR has the files in either format. Each task is one line: rows, how many of them hir/tasks/solvers/ can read,
how many of those have the label that follows from their text, and how many of 10,000 generated queries the
file has, too. Below it stand the rows that were not read, and those whose label is another.
"""

import json
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
    """Arguments of an audit."""

    data_dir: str = MISSING
    """Folder of the tasks' files."""
    show: int = 10
    """Most rows of a task that are shown."""


def stem(query: str) -> str:
    """A query without its options."""
    return " ".join(listed_options(query)[0].split())


def audit(name: str, path: Path) -> tuple[dict[str, int], list[str]]:
    """The counts of a task's file, and a line on each row that was not read or does not agree."""
    solve = import_module(GENERATORS.modules()[name].replace(".generated.", ".solvers.")).solve
    rows, left_out = read_rows(path)
    counts, lines = {"rows": len(rows), "read": 0, "agree": 0}, []
    numbers = (number for number in count(1) if number not in left_out)
    for number, row in zip(numbers, rows, strict=False):
        try:
            answer = solve(listed_options(row.query)[0], row.options)
        except ValueError as error:
            lines.append(f"example {number} is not read: {error}")
            continue
        counts["read"] += 1
        if row.options:
            answer = f"({option_letter(row.options.index(answer))})"
        if multiple_choice(row, answer):
            counts["agree"] += 1
        else:
            labels = ", ".join(row.targets)
            lines.append(f"example {number} is {answer}, the file says {labels}: {shorten(row.query, 300)}")
    real, task = {stem(row.query) for row in rows}, generated_task(name, {})
    counts["generated"] = sum(stem(task.row(0, i).query) in real for i in range(10_000))
    return counts, lines


def run(options: Options, settings: list[str]) -> int:
    """Audit the files there are; UserError if there is none."""
    results = {}
    for name in SOURCES["bbh"]:
        try:
            path = find_file(options.data_dir, name)
        except UserError as error:
            missing = error
            continue
        results[name], lines = audit(name, path)
        rows, read, agree, generated = results[name].values()
        print(f"{name}: {rows} rows, {read} read, {agree} agree; {generated} generated are among them")
        shown = lines[: options.show] + [f"and {len(lines) - options.show} more"] * (
            len(lines) > options.show
        )
        print("".join(f"  {line}\n" for line in shown), end="")
    if not results:
        raise missing
    print(json.dumps(results))
    return 0
