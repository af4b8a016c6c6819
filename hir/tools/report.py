"""Write what a run did as one HTML page: `python -m hir report run=DIR [run=DIR2 ...] [to=FILE.html]`.

Several runs stand beside each other, whatever their tasks and methods. The page loads nothing and runs no
script, so it can be mailed, archived and printed as it is.
"""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from omegaconf import MISSING

from hir.config.load import flat, load_config
from hir.config.schema import Config
from hir.errors import UserError
from hir.figures import Curve, curve_image
from hir.files import atomic_write
from hir.training.findings import findings, known, wilson
from hir.training.run_folder import SavedRun, read_run


@dataclass
class Options:
    """What is shown, and where it is written."""

    run: list[str] = MISSING
    """A run's folder, finished or not; several, as run=A run=B or run=A,B, stand beside each other."""
    to: str | None = None
    """The page's file; null: report.html in the run's folder, for several runs in the current one."""


def run(options: Options, settings: list[str]) -> int:
    """Write the page of one or several runs; UserError where a folder holds none."""
    if not options.run:
        raise UserError("run= names no folder")
    runs = {folder: read_run(folder) for folder in options.run}
    to = Path(options.to or ("report.html" if len(runs) > 1 else f"{options.run[0]}/report.html"))
    atomic_write(to.resolve(), page(list(runs.values())).encode())
    print(f"written to {to}")
    return 0


def page(runs: Sequence[SavedRun]) -> str:
    """The HTML of one or several runs, which are called by their folders."""
    facts, names = [facts_of(run) for run in runs], [str(run.folder) for run in runs]
    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["clip"] = clip
    return environment.get_template("report.html.j2").render(
        names=names,
        runs=runs,
        results=[[key, *(found[key] for found in facts)] for key in facts[0]],
        charts=charts(runs, names),
        findings=findings,
        tables=tables_of,
        settings=settings_that_differ([run.config for run in runs]),
    )


def facts_of(run: SavedRun) -> dict[str, str]:
    """What a run was and gave, in words."""
    first, last, config, test = run.history[0], run.history[-1], run.config, "–"
    validation = known(run.history, "val/accuracy", "val/accuracy_p_wrong")[-1]
    if run.summary:
        accuracy = run.summary["test"]["accuracy"]
        test = "{:.3f} ({:.3f} to {:.3f})".format(accuracy, *wilson(accuracy, len(run.answers)))
    return {
        "task": config.task.name,
        "method": config.method["name"],
        "model": config.model.path or config.model.name,
        "seed": str(config.seed),
        "iterations": f"{last['iteration']:.0f} of {config.trainer['max_epochs']}",
        "base": f"{first['test/accuracy']:.3f}",
        "validation": f"{validation['val/accuracy']:.3f}",
        "under p_wrong": f"{validation['val/accuracy_p_wrong']:.3f}",
        "test (95 % interval)": test,
        "answers sampled": f"{last['samples']:,.0f}",
        "updates": f"{last['updates']:,.0f}",
        "seconds": f"{last['seconds']:,.0f}",
    }


def settings_that_differ(configs: Sequence[Config]) -> list[list[str]]:
    """Keys that some run has set to another value than the default, each run's value, and the default."""
    leaves = [flat(asdict(config)).items() for config in (*configs, load_config([]))]
    columns = [{key: v if isinstance(v, str) else json.dumps(v) for key, v in column} for column in leaves]
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = [[key, *(column.get(key, "–") for column in columns)] for key in keys]
    return [row for row in rows if len({*row[1:]}) > 1]


def charts(runs: Sequence[SavedRun], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each metric, and the drawing of its curves as the address of an image."""
    metrics = dict.fromkeys(key for run in runs for row in run.history for key in row)
    for metric in [key for key in metrics if "/" in key or key.startswith("fraction_")]:
        lines = [[(row["samples"], row[metric]) for row in known(run.history, metric)] for run in runs]
        if any(len(line) > 1 for line in lines):  # which those measured of the base alone have not
            curves, shares = map(Curve, names, lines), "accuracy" in metric or "fraction" in metric
            drawing = curve_image([*curves], metric, "", shares=shares, kind="svg")
            yield metric, f"data:image/svg+xml;base64,{b64encode(drawing).decode()}"


def tables_of(run: SavedRun) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    """Title, head and rows of wrong answers, and of samples and what they were trained under, last first."""
    if wrong := [[row["query"], row["target"], row["output"]] for row in run.answers if not row["correct"]]:
        title = f"First of {len(wrong):,} wrong answers to {len(run.answers):,} test rows"
        yield title, ["query", "target", "answer"], wrong[:10]
    iterations = [(place, list(rows)) for place, rows in groupby(run.samples, itemgetter("iteration"))]
    head = ["asked under", "query", "target", "answer", "verdict", "trained under", "times"]
    every = len(iterations) // 30 + 1  # so that a long run's page stays small
    for iteration, samples in iterations[::-every]:
        counted = Counter(
            (
                *(row[key] for key in ("instruction", "query", "target", "output")),
                "✓ right"
                if row["correct"]
                else f"✗ misses: {row['missed']}"
                if row.get("missed")
                else "✗ wrong",
                row["relabeled_instruction"] or "not trained on",
            )
            for row in samples
        )
        yield f"Samples of iteration {iteration}", head, [[*row, times] for row, times in counted.items()]


def clip(cell: object) -> str:
    """A cell's text on one line, cut in its middle where it is long: a question often stands at the end."""
    text = " ".join(str(cell).split()) or "(empty)"
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"
