"""Compare methods and settings over tasks and seeds, each run made by train.py:

  python -m hir compare tasks=object_counting,word_sorting methods=hir,farl seeds=5 out=DIR [key=value ...]

key=value is any key of train.py (python train.py --help), for every run; method.alpha=0,0.1,1 compares
values, and several such keys all combinations.

Writes results.md, results.json and accuracy_TASK.png into DIR, which docs/compare.md explains; a run lies in
DIR/TASK/METHOD/[SETTINGS/]seedN and its output in seedN.log beside it. Broken off, the same command goes on.
Exit code: 0; 1 if a run failed, 2 for a mistake in the arguments, 130 if interrupted.
"""

import json
import math
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice, product
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import MISSING

from hir.config.keys import CHOICES, lookup
from hir.config.schema import check, limited
from hir.config.values import read_yaml
from hir.errors import UserError
from hir.figures import curve_image, interval
from hir.files import atomic_write, write_json
from hir.tools.runs import Cell, markdown, run_cells
from hir.training.run_folder import read_history

RESERVED = {"task": "tasks", "method": "methods", "seed": "seeds", "run_dir": "out", "resume": "out"}
"""Keys of train.py that each run sets itself, and the option that stands for each."""

Row = Mapping[str, Any]


@dataclass
class Options:
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
    jobs: int | None = limited(None, "[1, 1000]")
    """Runs at once; null: one a GPU, or for each trainer.devices GPUs, else one a core."""


def build_cells(options: Options, settings: Sequence[str]) -> list[Cell]:
    """Task x method x settings x seed, seed by seed, so that one broken off has compared something.

    Raises UserError where an argument or the variants' file is wrong, or two runs would have one folder.
    """
    axes = [setting_axis(*setting.removeprefix("--").split("=", 1)) for setting in settings]
    if options.variants is not None:
        axes.append(read_variants(Path(options.variants)))
    for name in [a.partition("=")[0] for axis in axes for _, arguments in axis for a in arguments]:
        if option := RESERVED.get(name.removeprefix("--").removesuffix(".name")):
            raise UserError(f"{name} is set by the comparison: use {option}=")
    tasks, methods = ([part.strip() for part in text.split(",")] for text in (options.tasks, options.methods))
    check("" not in (*tasks, *methods, options.out), "tasks, methods and out", "names", "")
    cells: dict[Path, Cell] = {}
    seeds = parse_seeds(options.seeds)
    if (number := math.prod(map(len, (seeds, tasks, methods, *axes)))) > 2_000:
        raise UserError(f"these are {number:,} runs, and 2,000 are the most")
    for seed, task, method, choices in product(seeds, tasks, methods, product(*axes)):
        variant = ", ".join(words for words, _ in choices if words)
        chosen = [argument for _, arguments in choices for argument in arguments]
        arguments = [f"task={task}", f"method={method}", *chosen, f"seed={seed}"]
        parts = (task, method, variant, f"seed{seed}")
        folder = Path(options.out, *(file_name(part) for part in parts if part))
        if folder in cells:
            raise UserError(f"two runs would lie in {folder}: name each task, method and setting once")
        label = f"{method}, {variant}" if variant else method
        arm = {"task": task, "method": method, "label": label}
        cells[folder] = Cell(f"{task}: {label}, seed {seed}", folder, arguments, arm)
    return list(cells.values())


def parse_seeds(text: str) -> Sequence[int]:
    """``5`` is seeds 1 to 5; with a comma, ``3,7`` or ``3,``, it is the seeds themselves."""
    if not re.fullmatch(r"[0-9]{1,18}(,[0-9]{1,18})*,?", text) or not text.strip("0"):
        raise UserError(f"seeds must be a number of seeds, as 5, or a list, as 3,7,9, not {text!r}")
    given = [int(part) for part in text.split(",") if part]
    return given if "," in text else range(1, given[0] + 1)


Axis = list[tuple[str, list[str]]]
"""Choices of which each run has one: its words, empty where there is no other, and its arguments."""


def setting_axis(name: str, text: str) -> Axis:
    """The values of a key; only one of a list, and of a text with a blank after its comma."""
    whole = text.startswith(("[", "{")) or (name not in CHOICES and lookup(name).kind is list)
    arguments = [f"{name}={value}" for value in ([text] if whole else re.split(r",(?!\s)", text))]
    return [(argument if len(arguments) > 1 else "", [argument]) for argument in arguments]


def read_variants(path: Path) -> Axis:
    """The named settings of a YAML file, ``name: {key: value}``; UserError if it is none."""
    variants = read_yaml(path)
    if not variants or not all(isinstance(keys, dict | None) for keys in variants.values()):
        raise UserError(f"variants={path} must map names to settings: 'no contrast: {{method.alpha: 0}}'")
    axis: Axis = []
    for name, keys in variants.items():
        texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in (keys or {}).items()}
        axis.append((str(name), [f"{key}={text}" for key, text in texts.items()]))
    return axis


def file_name(text: str) -> str:
    """The text as the name of a file that needs no quotes in a shell."""
    return re.sub(r"[^\w.=+-]+", "_", text).strip(".") or "_"


def read_result(cell: Cell) -> Row:
    """What a finished cell gave: one of the "cells" of results.json.

    Accuracies are greedy, 0 to 1; seconds are of sampling and training; the curve is of samples drawn and
    validation accuracy, the base's first.
    """
    summary = json.loads((cell.folder / "summary.json").read_text(encoding="utf-8"))
    measured = [row for row in read_history(cell.folder) if "val/accuracy" in row]
    return {
        **cell.arm,
        "seed": cell.config.seed,
        "folder": str(cell.folder),
        "base": summary["base"]["accuracy"],
        "test": summary["test"]["accuracy"],
        "samples": summary["samples"],
        "updates": summary["updates"],
        "seconds": round(summary["seconds"]["sampling"] + summary["seconds"]["training"], 2),
        "p_wrong": measured[-1]["val/accuracy_p_wrong"],
        "curve": [(row["samples"], row["val/accuracy"]) for row in measured],
    }


def columns(rows: Sequence[Row], first: Sequence[Row]) -> dict[str, str]:
    """What an arm's cells, at least one, say together: a line of the table, by the heads of its columns.

    ``first`` has the first arm's cells: their test accuracies are taken off over the seeds that both have.
    """
    by_seed = {row["seed"]: row["test"] for row in first}
    differences = [row["test"] - by_seed[row["seed"]] for row in rows if row["seed"] in by_seed]
    return {
        "method": rows[0]["label"],
        "seeds": str(len(rows)),
        "base": f"{fmean(row['base'] for row in rows):.3f}",
        "test": _mean([row["test"] for row in rows]),
        "less the first": _mean(differences, "+") if differences else "–",
        "under p_wrong": f"{fmean(row['p_wrong'] for row in rows):.3f}",
        **{name: f"{fmean(row[name] for row in rows):,.0f}" for name in ("samples", "updates", "seconds")},
    }


def _mean(values: Sequence[float], sign: str = "") -> str:
    """The mean and half the width of its interval."""
    half = interval(values)
    return f"{fmean(values):{sign}.3f}" + (f" ± {half:.3f}" if half is not None else "")


def draw(task: str, arms: Mapping[str, Sequence[Row]]) -> bytes:
    """A PNG of mean validation accuracy on a task and its interval against samples, by the arms' labels."""
    curves = dict[str, list[tuple[float, ...]]]()
    for label, rows in arms.items():
        of_seeds = zip(*(row["curve"] for row in rows), strict=False)  # to the end of the shortest curve
        points = (tuple(zip(*at, strict=True)) for at in of_seeds)  # samples and accuracies
        curves[label] = [(fmean(x), fmean(y), interval(y) or 0.0) for x, y in points]
    base = fmean(row["curve"][0][1] for rows in arms.values() for row in rows)
    title = f"{task}: mean over seeds and its 95 % interval"
    return curve_image(curves, title, "validation accuracy", base=base)


def run(options: Options, settings: Sequence[str]) -> int:
    """Run what is unfinished and write the results; returns the exit code: 1 if a run failed; UserError."""
    cells, out = build_cells(options, settings), Path(options.out)

    def ended(cell: Cell) -> str:
        row = read_result(cell)
        return f"base {row['base']:.3f}, test {row['test']:.3f}, {row['seconds']:.0f} s"

    failed = run_cells(cells, options.jobs, ended)
    rows = [read_result(cell) for cell in cells if cell not in failed]
    command = shlex.join(["python", "-m", "hir", *sys.argv[1:]])
    versions = {name: version(name) for name in ("torch", "lightning", "transformers")}
    says = {cell.name: line for cell, line in failed.items()}
    content = {"command": command, "versions": versions, "cells": rows, "failed": says}
    write_json(out / "results.json", content)
    failures = [f"**Failed**: {name}: `{line}`" for name, line in says.items()]
    blocks = ["# Comparison", f"```\n{command}\n```", *failures, *compared(out, rows)]
    blocks.append("docs/compare.md says how to read this.")
    atomic_write(out / "results.md", "\n\n".join(blocks).encode())
    print(f"written to {out}")
    if failed:
        print(f"error: runs failed: {len(failed)}; the same command tries them again", file=sys.stderr)
    return int(bool(failed))


def compared(out: Path, rows: Sequence[Row]) -> Iterator[str]:
    """What results.md says of the runs; the tables are shown, the charts written."""
    tasks: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        tasks.setdefault(row["task"], {}).setdefault(row["label"], []).append(row)
    for task, arms in tasks.items():
        first, *others = arms.values()
        table = [columns(first, []), *(columns(arm, first) for arm in others)]
        chart = f"accuracy_{file_name(task)}.png"
        atomic_write(out / chart, draw(task, arms))
        yield f"## {task}\n\n{markdown(table)}\n\n![Validation accuracy on {task}]({chart})"
        print(f"{task}\n{markdown([dict(islice(row.items(), 5)) for row in table])}")  # for a terminal
