"""Compare methods and settings over tasks and seeds, each run made by train.py:

  python -m hir compare tasks=object_counting,word_sorting methods=hir,farl seeds=5 out=DIR [key=value ...]

key=value is any key of train.py (python train.py --help), for every run; method.alpha=0,0.1,1 compares
values, and several such keys all combinations. A list, a mapping (trainer.*) and a text with a blank after
its comma are one value.

Writes results.md, results.json and accuracy_TASK.png into DIR; a run lies in DIR/TASK/METHOD/[SETTINGS/]seedN
and its output in seedN.log beside it. Broken off, the same command goes on. A run has cores / jobs threads
(OMP_NUM_THREADS, unless it is set): its numbers depend on jobs through floating-point sums over threads
alone, its seconds also through what else runs. Exit code: 0; 1 if a run failed, 2 for a mistake in the
arguments, 130 if interrupted.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count, product
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import MISSING
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hir.config.keys import CHOICES, keys_of, lookup, suggest
from hir.errors import UserError
from hir.figures import Curve, area, curve_figure, first_reached, image, interval
from hir.files import atomic_write, write_json
from hir.tools import runs
from hir.tools.runs import Cell
from hir.training.run_folder import read_history
from hir.training.settings import load_run_config

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAKES_SETTINGS = True

RESERVED = {"task": "tasks", "method": "methods", "seed": "seeds", "run_dir": "out", "resume": "out"}
"""Keys of train.py that each run sets itself, and the option that stands for each."""

MEANS = ("base", "test", "area", "p_wrong", "samples", "updates", "seconds")
"""What a row of results.json has the mean over seeds of."""

Row = Mapping[str, Any]

NOTES = """\
## How to read this

Accuracies are greedy, under the correct instruction, on rows never trained on, 0 to 1.

- base: test accuracy before training, the head start that every method has and that is no method's doing.
- test: mean over seeds ± half the width of its 95 % interval by Student's t. It says how far the mean of so
  many seeds may lie from that of all seeds, which draw the rows as well; nothing of other tasks or settings.
- less the first: mean over seeds of the test accuracy less that of the first line, and its 95 % interval,
  from the differences seed by seed. Rows and base are the same then, so that it may tell apart what the
  column before does not; not so where task.*, model.* (as model.base.*) or instructions.* is compared, which
  changes the rows or the base itself. An interval that holds 0 tells nothing apart.
- to {reach:g}: samples, updates and seconds at the first evaluation with a validation accuracy of at least
  {reach:g}; the median over seeds, of which one that did not get there counts as later than all others: a
  dash where the median seed did not. (k of n) says how many did, where not all.
- area: mean validation accuracy over the samples drawn, by the trapezoid rule; mean over seeds.
- under p_wrong: last validation accuracy under the wrong instruction; mean over seeds.
- samples, updates, seconds: of the whole run; mean over seeds. Where samples or updates differ, so do the
  budgets, and the comparison is none of methods alone. Seconds are of sampling and training, on a machine
  that several runs may have shared.
- A run that failed is in no number here, though failing may be the method's doing: seeds says how many are.
- chart: mean validation accuracy, a band for its 95 % interval; the dashed line is the base's.
"""


@dataclass
class Options:
    """Arguments of a comparison."""

    tasks: str = "object_counting"
    """Tasks, as A,B."""
    methods: str = "hir"
    """Methods, as A,B."""
    seeds: str = "5"
    """5 is seeds 1 to 5; 3,7,9 are these, and a single seed has a comma, as 7,"""
    out: str = MISSING
    """Folder of all runs and of the results; what is finished in it is not run again."""
    variants: str | None = None
    """YAML file that names settings to compare, several keys each if need be, as conf/compare/ablation.yaml
    does: 'no contrast: {method.alpha: 0}'."""
    reach: float = 0.9
    """Validation accuracy whose first crossing is reported."""
    jobs: int | None = None
    """Runs at once; null: one a GPU, which then has that GPU alone, or for each trainer.devices GPUs, else
    one a core."""


# From the arguments to the runs


def build_cells(options: Options, settings: Sequence[str]) -> list[Cell]:
    """Task x method x settings x seed, seed by seed, so that one broken off has compared something.

    Raises:
        UserError: an argument, the variants' file or a run's configuration is wrong.
    """
    if not 0 < options.reach <= 1:
        raise UserError(f"reach must be an accuracy above 0 and at most 1, not {options.reach:g}")
    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"jobs must be at least 1, not {options.jobs}")
    given = dict(setting.removeprefix("--").split("=", 1) for setting in settings)
    axes = [setting_axis(name, text) for name, text in given.items()]
    if options.variants is not None:
        axes.append(read_variants(Path(options.variants)))
    tasks, methods = ([part.strip() for part in text.split(",")] for text in (options.tasks, options.methods))
    cells: dict[Path, Cell] = {}
    for seed, task, method, choices in product(parse_seeds(options.seeds), tasks, methods, product(*axes)):
        variant = ", ".join(words for words, _ in choices if words)
        chosen = [argument for _, arguments in choices for argument in arguments]
        arguments = (f"task={task}", f"method={method}", *chosen, f"seed={seed}")
        names = [file_name(part) for part in (task, method, variant, f"seed{seed}") if part]
        folder = Path(options.out, *names)
        if folder in cells:
            raise UserError(f"two runs would lie in {folder}: name each task, method and setting once")
        cells[folder] = Cell(folder, arguments, load_run_config(list(arguments)), (task, method, variant))
    return list(cells.values())


def parse_seeds(text: str) -> Sequence[int]:
    """``5`` is seeds 1 to 5; with a comma, ``3,7`` or ``3,``, it is the seeds themselves."""
    if not re.fullmatch(r"[0-9]+(,[0-9]+)*,?", text) or text == "0":
        raise UserError(f"seeds must be a number of seeds, as 5, or a list, as 3,7,9, not {text!r}")
    if "," in text:
        return [int(part) for part in text.split(",") if part]
    return range(1, int(text) + 1)


Axis = list[tuple[str, list[str]]]
"""Choices of which each run has one: its words, empty where there is no other, and its arguments."""


def setting_axis(name: str, text: str) -> Axis:
    """The values of a key; only one of a list, of trainer.*, and of a text with a blank after its comma."""
    check_key(name)
    key = None if name in CHOICES else lookup(name)
    mapping = key is not None and key.kind is dict and key.name in ("trainer", name)
    several = key is None or not (mapping or key.kind is list)
    arguments = [f"{name}={value}" for value in (re.split(r",(?!\s)", text) if several else [text])]
    return [(argument if len(arguments) > 1 else "", [argument]) for argument in arguments]


def check_key(name: str) -> None:
    """Refuse a key that train.py does not know or that the comparison sets."""
    if option := RESERVED.get(name.removesuffix(".name")):
        raise UserError(f"{name} is set by the comparison: use {option}=")
    if name not in CHOICES:
        if hint := "" if "." in name else suggest(name, keys_of(Options), cutoff=0.8):
            raise UserError(f"unknown key {name}{hint}")
        lookup(name)


def read_variants(path: Path) -> Axis:
    """The named settings of a YAML file, ``name: {key: value}``.

    Raises:
        UserError: it cannot be read, is no such mapping, or holds a key that is not known.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # a ValueError: of text, of a date or of a number
        raise UserError(f"variants={path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict) or not all(isinstance(keys, dict | None) for keys in tree.values()):
        raise UserError(f"variants={path} must map names to settings: 'no contrast: {{method.alpha: 0}}'")
    for keys in tree.values():
        for key in keys or {}:
            check_key(str(key))
    return [
        (str(name), [runs.as_argument(str(key), value) for key, value in (keys or {}).items()])
        for name, keys in tree.items()
    ]


def file_name(text: str) -> str:
    """The text as the name of a file that needs no quotes in a shell."""
    return re.sub(r"[^\w.=+-]+", "_", text).strip(".") or "_"


# What the runs gave


def read_result(cell: Cell, reach: float) -> Row:
    """What a finished cell gave: one of the "cells" of results.json.

    Accuracies are greedy, 0 to 1; seconds are of sampling and training; the curve is of samples drawn and
    validation accuracy, the base's first, and "reached" where it first was at ``reach``.

    Raises:
        UserError: a file of it is damaged.
    """
    try:
        summary = json.loads((cell.folder / "summary.json").read_text(encoding="utf-8"))
        history = read_history(cell.folder)
        curve = [(row["samples"], row["val/accuracy"]) for row in history if "val/accuracy" in row]
        wrong = [row["val/accuracy_p_wrong"] for row in history if "val/accuracy_p_wrong" in row]
        reached = first_reached(history, reach)
        return {
            **dict(zip(("task", "method", "variant"), cell.arm, strict=True)),
            "seed": cell.config.seed,
            "folder": str(cell.folder),
            "base": summary["base"]["accuracy"],
            "test": summary["test"]["accuracy"],
            "samples": summary["samples"],
            "updates": summary["updates"],
            "seconds": round(summary["seconds"]["sampling"] + summary["seconds"]["training"], 2),
            "p_wrong": wrong[-1] if wrong else None,
            "area": area(curve),
            "reached": reached._asdict() if reached else None,
            "curve": curve,
            "summary": summary,
        }
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{cell.folder} holds a broken summary.json or metrics.csv: delete it") from error


def aggregate(rows: Sequence[Row], first: Sequence[Row] = ()) -> Row:
    """What an arm's cells, at least one, say together: one of the "aggregates" of results.json.

    An interval is half the width of that of 95 %, None for fewer than two numbers. "difference" is the test
    accuracy less that of ``first``, the first arm's cells, over the seeds that both have: rows and base are
    the same there.
    """

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if known else None

    by_seed = {row["seed"]: row["test"] for row in first}
    differences = [row["test"] - by_seed[row["seed"]] for row in rows if row["seed"] in by_seed]
    return {
        "task": rows[0]["task"],
        "label": label_of(rows[0]["method"], rows[0]["variant"]),
        "seeds": [row["seed"] for row in rows],
        **{name: mean([row[name] for row in rows]) for name in MEANS},
        "test_interval": interval([row["test"] for row in rows]),
        "difference": mean(differences),
        "difference_interval": interval(differences),
        "num_reached": sum(row["reached"] is not None for row in rows),
        "reached": median_reached([row["reached"] for row in rows]),
    }


def median_reached(crossings: Sequence[Row | None]) -> Row | None:
    """The medians of all runs, where one that did not get there counts as later than every other."""
    names = ("samples", "updates", "seconds")
    middle = {name: median([at[name] if at else math.inf for at in crossings]) for name in names}
    return middle if middle["samples"] < math.inf else None


def mean_curve(label: str, rows: Sequence[Row]) -> Curve:
    """The mean validation accuracy and its interval at each evaluation, to the end of the shortest curve."""
    points, halves = [], []
    for evaluations in zip(*(row["curve"] for row in rows), strict=False):
        samples, accuracies = zip(*evaluations, strict=True)
        points.append((fmean(samples), fmean(accuracies)))
        halves.append(interval(accuracies) or 0.0)
    return Curve(label, points, halves)


def label_of(method: str, variant: str) -> str:
    """What an arm is called on its task."""
    return f"{method}, {variant}" if variant else method


def name_of(cell: Cell) -> str:
    """A run in words."""
    task, method, variant = cell.arm
    return f"{task}: {label_of(method, variant)}, seed {cell.config.seed}"


# How it is shown


class Comparison:
    """All runs: which wait, run, are done and have failed, and what they gave so far."""

    def __init__(self, options: Options, settings: Sequence[str]) -> None:
        """Raises UserError as ``build_cells`` does."""
        self.options = options
        self.cells = build_cells(options, settings)
        self.arms: dict[tuple[str, ...], list[Cell]] = {}
        """The cells that differ in the seed alone, each task's together."""
        for cell in self.cells:
            self.arms.setdefault(cell.arm, []).append(cell)
        default = asdict(Options())
        given = [f"{name}={value}" for name, value in asdict(options).items() if value != default[name]]
        self.arguments = [*given, *settings]
        """Of the command line that repeats it."""
        self.results: dict[Cell, Row] = {}
        self.running: set[Cell] = set()
        self.failed: dict[Cell, str] = {}
        """The last line that each said."""

    def of(self, cells: Sequence[Cell]) -> list[Row]:
        """The results that there are of these."""
        return [self.results[cell] for cell in cells if cell in self.results]

    def aggregates(self) -> list[Row]:
        """One for each arm with a result, against the first of its task."""
        found, first = [], dict[str, list[Cell]]()
        for (task, *_), cells in self.arms.items():
            against = first.setdefault(task, cells)
            if rows := self.of(cells):
                found.append(aggregate(rows, self.of(against) if against is not cells else ()))
        return found

    def columns(self, found: Row) -> dict[str, str]:
        """The numbers of an aggregate by the names of their columns."""
        reach, seeds, at = f"{self.options.reach:g}", len(found["seeds"]), found["reached"]
        to = [f"{at[name]:,.0f}" if at else "–" for name in ("samples", "updates", "seconds")]
        if found["num_reached"] < seeds:
            to[0] += f" ({found['num_reached']} of {seeds})"
        return {
            "seeds": str(seeds),
            "base": _number(found["base"]),
            "test": _number(found["test"], found["test_interval"]),
            "less the first": _number(found["difference"], found["difference_interval"], "+"),
            **dict(
                zip((f"samples to {reach}", f"updates to {reach}", f"seconds to {reach}"), to, strict=True)
            ),
            "area": _number(found["area"]),
            "under p_wrong": _number(found["p_wrong"]),
            **{name: f"{found[name]:,.0f}" for name in ("samples", "updates", "seconds")},
        }

    def __rich__(self) -> Table:
        table = Table("task", "method", "runs", box=None, pad_edge=False)
        shown = ("base", "test", f"samples to {self.options.reach:g}", "area")
        for name in shown:
            table.add_column(name, justify="right")
        for (task, method, variant), cells in self.arms.items():
            rows = self.of(cells)
            numbers = self.columns(aggregate(rows)) if rows else {}
            running, failed = (sum(cell in some for cell in cells) for some in (self.running, self.failed))
            done = f"{len(rows)}/{len(cells)} done" + (f", {running} running" if running else "")
            done += f", [red]{failed} failed[/]" if failed else ""
            names = (escape(task), escape(label_of(method, variant)))
            table.add_row(*names, done, *(numbers.get(name, "") for name in shown))
        return table

    def run(self, todo: Sequence[Cell], console: Console) -> None:
        """Run the unfinished cells, under a live table in a terminal, else with a line for each that ends."""
        numbers = count(1)

        def ended(cell: Cell, succeeded: bool) -> None:
            self.running.remove(cell)
            name = escape(f"[{next(numbers)}/{len(todo)}] {name_of(cell)}")
            if succeeded:
                row = self.results[cell] = read_result(cell, self.options.reach)
                if not console.file.isatty():
                    accuracies = f"base {row['base']:.3f}, test {row['test']:.3f}"
                    console.print(f"{name}: {accuracies}, {row['seconds']:.0f} s")
            else:
                self.failed[cell] = runs.last_line(cell)
                reason = escape(f"{self.failed[cell]} ({runs.log_file(cell)})")
                console.print(f"{name} [red]failed[/]: {reason}", soft_wrap=True)

        runs.run_live(self, console, todo, self.options.jobs, self.running.add, ended)

    def write(self) -> list[str]:
        """Write results.json, results.md and a chart for each task; returns the names of the files."""
        out, aggregates = Path(self.options.out), self.aggregates()
        content = {
            "arguments": self.arguments,
            "versions": runs.versions(),
            "reach": self.options.reach,
            "cells": self.of(self.cells),
            "failed": [{"run": name_of(cell), "says": line} for cell, line in self.failed.items()],
            "aggregates": aggregates,
        }
        write_json(out / "results.json", content)
        charts = {found["task"]: f"accuracy_{file_name(found['task'])}.png" for found in aggregates}
        atomic_write(out / "results.md", self.markdown(aggregates, charts).encode())
        for task, name in charts.items():
            atomic_write(out / name, image(self.figure(task)))
        return ["results.md", "results.json", *charts.values()]

    def figure(self, task: str) -> Figure:
        """Validation accuracy against samples on a task: the mean and the interval of each arm."""
        arms = {arm: self.of(cells) for arm, cells in self.arms.items() if arm[0] == task}
        curves = [mean_curve(label_of(*arm[1:]), rows) for arm, rows in arms.items()]
        base = fmean(row["curve"][0][1] for rows in arms.values() for row in rows)
        title = f"{task}: mean over seeds and its 95 % interval"
        return curve_figure(curves, title, "validation accuracy", base=base)

    def markdown(self, aggregates: Sequence[Row], charts: Mapping[str, str]) -> str:
        """The text of results.md; charts are the files by task."""
        made_with = ", ".join(f"{name} {number}" for name, number in runs.versions().items())
        blocks = [
            "# Comparison",
            f"```\npython -m hir compare {shlex.join(self.arguments)}\n```",
            f"Made with {made_with}.",
            *(f"**Failed**: {name_of(cell)}: `{line}`" for cell, line in self.failed.items()),
        ]
        for task, file in charts.items():
            arms = {found["label"]: self.columns(found) for found in aggregates if found["task"] == task}
            names = ["method", *next(iter(arms.values()))]
            lines = [names, ["---", *["---:"] * (len(names) - 1)]]
            lines += [[label.replace("|", "\\|"), *numbers.values()] for label, numbers in arms.items()]
            blocks += [
                f"## {task}",
                "\n".join(f"| {' | '.join(line)} |" for line in lines),
                f"![Validation accuracy against samples on {task}]({file})",
            ]
        return "\n\n".join([*blocks, NOTES.format(reach=self.options.reach)])


def _number(mean: float | None, half: float | None = None, sign: str = "") -> str:
    if mean is None:
        return "–"
    return f"{mean:{sign}.3f}" + (f" ± {half:.3f}" if half is not None else "")


def run(options: Options, settings: Sequence[str]) -> int:
    """Run what is unfinished and write the results; returns the exit code.

    Raises:
        UserError: an argument is wrong, a run's folder holds another run, this machine cannot run the cells,
            another process does, or the folder cannot be written.
    """
    comparison = Comparison(options, settings)
    cells, console = comparison.cells, runs.open_console()
    runs.check_machine(cells, options.jobs)
    with runs.claimed(Path(options.out)):
        todo = [cell for cell in cells if not runs.is_finished(cell)]
        comparison.results = {cell: read_result(cell, options.reach) for cell in cells if cell not in todo}
        if todo:
            comparison.run(todo, console)
        else:
            console.print("nothing left to do")
        files = comparison.write()
    console.print(comparison)
    console.print(f"written to {options.out}: {' '.join(files)}", markup=False)
    if failed := len(comparison.failed):
        print(
            f"error: {failed} of {len(cells)} runs failed; the same command tries them again", file=sys.stderr
        )
    return 1 if failed else 0
