"""Run a W&B sweep file of random draws without a server; each run is made by train.py:

  python -m hir sweep conf/sweep/FILE.yaml [count=8] [out=DIR] [jobs=N] [seed=N] [key=value ...]

key=value is any key of train.py (python train.py --help), for every run: it beats the file's parameter. The
file's logger is left out: logger=wandb asks for it. docs/sweeps.md says what of a file is understood.

Writes results.md, results.json and best.yaml, which `python train.py config=DIR/best.yaml` takes, into DIR;
a run lies in DIR/runNNN and its output in runNNN.log beside it. Broken off, the same command goes on. Exit
code: 0; 1 if a run failed, 2 for a mistake in the arguments or the file, 130 if interrupted.
"""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from omegaconf import MISSING

from hir.config.schema import limited
from hir.config.values import read_yaml
from hir.errors import UserError
from hir.files import atomic_write
from hir.randomness import generator
from hir.tools import runs
from hir.tools.runs import Cell
from hir.training.run_folder import read_history


@dataclass
class Options:
    """Arguments of a sweep."""

    file: str = MISSING
    """The sweep file, such as conf/sweep/quickstart.yaml."""
    count: int | None = None
    """Runs in all; null: the file's run_cap."""
    out: str | None = None
    """Folder of runs and results; null: outputs/sweep-FILE. What is finished there is not run again."""
    jobs: int | None = limited(None, "[1, 1000]")
    """Runs at once; null: one a GPU, or for each trainer.devices GPUs, else one a core."""
    seed: int = 1
    """Seed of the draws; that of the runs is a parameter of the file."""


def read_file(path: Path) -> dict[str, Any]:
    """A sweep file; UserError if it is none that is run here."""
    match file := {"run_cap": None, **read_yaml(path)}:
        case {
            "program": "train.py",
            "method": "random",
            "metric": {"name": str(metric), "goal": "maximize" | "minimize"},
            "run_cap": int() | None,
            "parameters": dict(),
        } if metric.startswith(("val/", "train/", "fraction_")):
            return file
    raise UserError(
        f"{path} must have program: train.py, method: random, metric: {{name: val/accuracy, goal: maximize}} "
        "and parameters: {NAME: {values: [...]}}; test rows have no part in a choice"
    )


def draw(name: str, entry: Any, random: Random) -> Any:
    """A value of a parameter; UserError if it is of no kind that is known here."""
    try:
        match dict(entry):
            case {"value": value, **rest} if not rest:
                return value
            case {"values": list(values), **rest} if not rest:
                return random.choice(values)
            case {"min": int(low), "max": int(high), **rest} if rest in ({}, {"distribution": "int_uniform"}):
                return random.randint(low, high)
            case {"min": low, "max": high, **rest} if rest in ({}, {"distribution": "uniform"}):
                return random.uniform(low, high)
            case {"min": low, "max": high, **rest} if rest == {"distribution": "log_uniform_values"}:
                return math.exp(random.uniform(math.log(low), math.log(high)))
    except (TypeError, ValueError, ArithmeticError, LookupError):
        pass  # a min above max, say
    raise UserError(f"{name} cannot be drawn from {entry}: docs/sweeps.md says what there is")


def build_cells(file: dict[str, Any], options: Options, settings: Sequence[str], out: Path) -> list[Cell]:
    """The runs, each drawn by the seed and its number; UserError where the file or an argument is wrong."""
    given = {setting.removeprefix("--").partition("=")[0] for setting in settings} | {"logger"}
    if taken := {"run_dir", "resume"} & (given | file["parameters"].keys()):
        raise UserError(f"{min(taken)} is set by the sweep: use out=")
    entries = {name: entry for name, entry in file["parameters"].items() if name not in given}
    count = options.count or file["run_cap"] or 0
    if not 1 <= count <= 2_000:
        raise UserError("count=N, the runs to draw, must be 1 to 2,000")
    draws = [generator(options.seed, number, 0, "sweep") for number in range(count)]
    chosen = [{name: draw(name, entry, random) for name, entry in entries.items()} for random in draws]
    return [
        Cell(
            f"run {number}",
            out / f"run{number:03}",
            [*(runs.as_argument(name, value) for name, value in point.items()), *settings],
            {name: value for name, value in point.items() if "value" not in entries[name]},
        )
        for number, point in enumerate(chosen, start=1)
    ]


def run(options: Options, settings: Sequence[str]) -> int:
    """Run what is unfinished and write the results; returns the exit code. Raises UserError."""
    file, out = read_file(Path(options.file)), Path(options.out or f"outputs/sweep-{Path(options.file).stem}")
    metric, goal = file["metric"]["name"], file["metric"]["goal"]
    cells = build_cells(file, options, settings, out)

    def value_of(cell: Cell) -> float | None:
        """The metric's last value, None where that is no number."""
        values = [row[metric] for row in read_history(cell.folder) if metric in row]
        return values[-1] if values and math.isfinite(values[-1]) else None

    failed = runs.run_cells(cells, options.jobs, lambda cell: f"{metric} {runs.as_text(value_of(cell))}")
    found = [(cell, value_of(cell)) for cell in cells if cell not in failed]
    sign = -1 if goal == "maximize" else 1
    found.sort(key=lambda pair: math.inf if pair[1] is None else sign * pair[1])
    results = [{"run": cell.folder.name, **cell.arm, metric: value} for cell, value in found]
    rows = [{name: runs.as_text(value) for name, value in result.items()} for result in results]
    table = runs.markdown(rows) if rows else "No run has ended."
    print(table)
    title = f"# {Path(options.file).name}: runs in the order of {metric}, to {goal}"
    blocks = [title, table, "docs/sweeps.md says how to read this."]
    if results and results[0][metric] is not None:
        best, where = found[0][0], out / "best.yaml"
        atomic_write(where, (best.folder / "config.yaml").read_bytes())
        blocks.append(f"Best: {best.name}; `python train.py config={shlex.quote(str(where))}` repeats it.")
    content = {"metric": metric, "goal": goal, "runs": results}
    return runs.write_results(out, failed, content, blocks)
