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

NUM_GENERATED = 10_000


@dataclass
class Options:
    """Arguments of an audit."""

    data_dir: str = MISSING
    """Folder of the tasks' files."""
    show: int = 10
    """Most rows of a task that are shown."""


@dataclass
class Audit:
    """What the text of a file's rows says of their labels."""

    rows: int
    read: int = 0
    agree: int = 0
    generated: int = 0
    """Generated queries that are a row's."""


def audit(name: str, path: Path) -> tuple[Audit, list[str]]:
    """The counts of a task's file, and a line on each row that was not read or does not agree."""
    modules = GENERATORS.modules()
    solve = import_module(modules[name].replace(".generated.", ".solvers.")).solve
    rows, left_out = read_rows(path)
    result, lines = Audit(len(rows)), []
    numbers = (number for number in count(1) if number not in left_out)
    real = set()
    for number, row in zip(numbers, rows, strict=False):
        stem = listed_options(row.query)[0]
        real.add(" ".join(stem.split()))
        try:
            answer = solve(stem, row.options)
        except ValueError as error:
            lines.append(f"example {number} is not read: {error}")
            continue
        result.read += 1
        if row.options:
            answer = f"({option_letter(row.options.index(answer))})"
        if multiple_choice(row, answer):
            result.agree += 1
        else:
            labels = ", ".join(row.targets)
            lines.append(f"example {number} is {answer}, the file says {labels}: {shorten(stem, 300)}")
    generator = generated_task(name, {})
    drawn = (listed_options(generator.row(0, i).query)[0] for i in range(NUM_GENERATED))
    result.generated = sum(" ".join(stem.split()) in real for stem in drawn)
    return result, lines


def run(options: Options, settings: list[str]) -> int:
    """Audit the files there are; UserError if there is none."""
    results = {}
    for name in SOURCES["bbh"]:
        try:
            path = find_file(options.data_dir, name)
        except UserError as error:
            missing = error
            continue
        result, lines = audit(name, path)
        results[name] = vars(result)
        share = f"{result.agree / max(1, result.read):.3f}"
        same = f"{result.generated} of {NUM_GENERATED:,} generated are among them"
        print(f"{name}: {result.rows} rows, {result.read} read, {result.agree} agree ({share}); {same}")
        print("".join(f"  {line}\n" for line in lines[: options.show]), end="")
        if len(lines) > options.show:
            print(f"  and {len(lines) - options.show} more")
    if not results:
        raise missing
    print(json.dumps(results))
    return 0
