"""From the arguments to the cells of a comparison: task x method x settings x seed, each a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from hir.config.keys import CHOICES, lookup, suggest
from hir.config.schema import Config
from hir.errors import UserError

OPTIONS = {
    "tasks": "object_counting",
    "methods": "hir",
    "seeds": "5",
    "out": "",
    "variants": "",
    "reach": "0.9",
    "jobs": "",
    "commands": "false",
}
"""This program's own arguments and their defaults; every other one is train.py's."""

RESERVED = {
    "task": "tasks",
    "task.name": "tasks",
    "method": "methods",
    "method.name": "methods",
    "seed": "seeds",
    "run_dir": "out",
    "resume": "out",
}
"""Keys of train.py that each cell sets itself, and the option that stands for each."""

NO_TRAINING = "none"
"""The method that trains nothing, and so has no budget."""


@dataclass(frozen=True)
class Cell:
    """One run."""

    task: str
    method: str
    variant: str
    """What else is compared, in words; empty if nothing is."""
    seed: int
    folder: Path
    arguments: tuple[str, ...]
    """Of train.py, all but run_dir."""
    config: Config = field(compare=False, repr=False)

    @property
    def arm(self) -> tuple[str, str]:
        """Task and what is compared on it: cells that differ in the seed alone share it."""
        return self.task, f"{self.method}, {self.variant}" if self.variant else self.method


@dataclass(frozen=True)
class Comparison:
    """All cells, and what to do with them."""

    argv: tuple[str, ...]
    cells: tuple[Cell, ...]
    """Seed by seed, so that one broken off has compared something."""
    out: Path
    reach: float
    """Validation accuracy whose first crossing is reported."""
    jobs: int | None
    """Runs at once; None for as many as the machine has GPUs or cores."""
    commands: bool

    @property
    def arms(self) -> list[tuple[str, str]]:
        """Each task's arms together, in the order of the arguments."""
        arms = dict.fromkeys(cell.arm for cell in self.cells)
        tasks = list(dict.fromkeys(task for task, _ in arms))
        return sorted(arms, key=lambda arm: tasks.index(arm[0]))


def parse_arguments(argv: Sequence[str]) -> Comparison:
    """Build the comparison, every cell's configuration loaded.

    Raises:
        UserError: an argument, the variants' file or a cell's configuration is wrong.
    """
    options, overrides = dict(OPTIONS), {}
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not equals or not name:
            raise UserError(f"{argument!r} is not key=value: write for example methods=hir,farl")
        if name in OPTIONS:
            options[name] = text
        else:
            check_key(name)
            overrides[name] = text
    if not options["out"]:
        raise UserError("out=DIR is missing: the folder for the runs and the results")
    out, jobs, reach = Path(options["out"]), options["jobs"], options["reach"]
    if jobs and not re.fullmatch("[1-9][0-9]*", jobs):
        raise UserError(f"jobs must be an integer of at least 1, not {jobs!r}")
    if not re.fullmatch(r"0?\.\d+|1(\.0*)?", reach):
        raise UserError(f"reach must be an accuracy above 0 and at most 1, not {reach!r}")
    if options["commands"] not in ("true", "false"):
        raise UserError(f"commands must be true or false, not {options['commands']!r}")
    axes = [override_axis(name, text) for name, text in overrides.items()]
    if options["variants"]:
        axes.append(read_variants(Path(options["variants"])))
    listed = {name: [part.strip() for part in options[name].split(",")] for name in ("tasks", "methods")}
    return Comparison(
        argv=tuple(argv),
        cells=build_cells(listed["tasks"], listed["methods"], parse_seeds(options["seeds"]), axes, out),
        out=out,
        reach=float(reach),
        jobs=int(jobs) if jobs else None,
        commands=options["commands"] == "true",
    )


def check_key(name: str) -> None:
    """Refuse a key that train.py does not know or that the grid sets."""
    if name in RESERVED:
        raise UserError(f"{name} is set by the comparison: use {RESERVED[name]}=")
    hint = "" if "." in name else suggest(name, OPTIONS, cutoff=0.8)
    if hint and name not in CHOICES:
        raise UserError(f"unknown argument {name}{hint}")
    if name not in CHOICES:
        lookup(name)


def parse_seeds(text: str) -> list[int]:
    """``5`` is seeds 1 to 5; with a comma, ``3,7`` or ``3,``, it is the seeds themselves."""
    if not re.fullmatch(r"[0-9]+(,[0-9]+)*,?", text) or text == "0":
        raise UserError(f"seeds must be a number of seeds, as 5, or a list, as 3,7,9, not {text!r}")
    if "," in text:
        return [int(part) for part in text.split(",") if part]
    return list(range(1, int(text) + 1))


Axis = list[tuple[str, tuple[str, ...]]]
"""Choices of which each cell has one: its words, empty where there is no other, and its arguments."""


def override_axis(name: str, text: str) -> Axis:
    """The values of a key; only one if it holds a list, a mapping, or a text with a blank after its comma."""
    several = name in CHOICES or lookup(name).kind not in (list, dict)
    values = re.split(r",(?!\s)", text) if several else [text]
    if len(values) == 1:
        return [("", (f"{name}={text}",))]
    return [(f"{name}={value}", (f"{name}={value}",)) for value in values]


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
    axis = []
    for name, keys in tree.items():
        arguments = []
        for key, value in (keys or {}).items():
            check_key(str(key))
            arguments.append(as_argument(key, value))
        axis.append((str(name), tuple(arguments)))
    return axis


def as_argument(key: str, value: Any) -> str:
    """The argument of train.py that sets a key to a value of a YAML file.

    Raises:
        UserError: no argument can say it, as with a date.
    """
    if isinstance(value, str):
        return f"{key}={value}"
    try:
        return f"{key}={json.dumps(value, ensure_ascii=False)}"
    except (TypeError, ValueError) as error:
        raise UserError(f"{key} holds what is no value of train.py: {error} (a date wants quotes)") from error


def build_cells(
    tasks: Sequence[str], methods: Sequence[str], seeds: Sequence[int], axes: Sequence[Axis], out: Path
) -> tuple[Cell, ...]:
    """Every combination, its configuration loaded.

    Raises:
        UserError: a configuration is wrong, or two cells have the same folder.
    """
    from hir.config.load import load_config

    cells: dict[Path, Cell] = {}
    for seed, task, method, choices in product(seeds, tasks, methods, product(*axes)):
        variant = ", ".join(words for words, _ in choices if words)
        settings = tuple(argument for _, arguments in choices for argument in arguments)
        arguments = (f"task={task}", f"method={method}", *settings, f"seed={seed}")
        parts = [file_name(part) for part in (task, method, variant, f"seed{seed}") if part]
        folder = out.joinpath(*parts)
        if folder in cells:
            raise UserError(f"two runs would lie in {folder}: name each task, method and setting once")
        cells[folder] = Cell(task, method, variant, seed, folder, arguments, load_config(list(arguments)))
    return tuple(cells.values())


def file_name(text: str) -> str:
    """The text as the name of a file that needs no quotes in a shell."""
    return re.sub(r"[^\w.=+-]+", "_", text).strip(".") or "_"


def budget_warnings(cells: Iterable[Cell]) -> list[str]:
    """A line for each task on which what is compared has different budgets, as far as configurations tell."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for cell in cells:
        if cell.method != NO_TRAINING:
            task, label = cell.arm
            for name, value in budget(cell.config).items():
                labels = found.setdefault(task, {}).setdefault(name, {}).setdefault(value, [])
                if label not in labels:
                    labels.append(label)
    lines = []
    for task, budgets in found.items():
        different = [
            f"{name} " + ", ".join(f"{value} ({'; '.join(labels)})" for value, labels in values.items())
            for name, values in budgets.items()
            if len(values) > 1
        ]
        if different:
            lines.append(f"{task}: budgets differ, so this is no fair comparison: {' / '.join(different)}")
    return lines


def budget(config: Config) -> Mapping[str, str]:
    """What a run may draw and train on, in words."""
    sampling, training = config.sampling, config.training
    limits = [limit for limit in (sampling.max_queries, config.task.num_train) if limit]
    samples = min(limits) * sampling.num_samples if limits else None
    updates = training.num_updates
    if updates is None and samples:
        updates = max(1, round(training.passes * samples / training.batch_size))
    return {
        "iterations": str(config.trainer["max_epochs"]),
        "samples an iteration": str(samples or f"{sampling.num_samples} of each query"),
        "as many more where all are wrong": "yes" if sampling.retry_temperature else "no",
        "rows trained on an iteration": str(updates * training.batch_size)
        if updates
        else f"{training.passes:g} passes",
    }
