"""Write what a run did as one HTML page: `python -m hir report run=DIR [to=FILE.html]`.

The page loads nothing and runs no script, so it can be mailed, archived and printed as it is.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from omegaconf import MISSING

from hir.config.load import flat, load_config
from hir.config.schema import check
from hir.figures import curve_image
from hir.files import atomic_write
from hir.training.run_folder import SavedRun, findings, known, read_run

SHOWN = ("instruction", "query", "target", "output", "correct", "missed", "relabeled_instruction")
"""What the page has of a row of samples.jsonl."""


@dataclass
class Options:
    run: str = MISSING
    """A run's folder, finished or not."""
    to: str | None = None
    """The page's file; null: report.html in the run's folder."""


def run(options: Options, settings: list[str]) -> int:
    """Write the page of a run; UserError where the folder holds none."""
    to = Path(options.to or f"{options.run}/report.html")
    check(to.suffix == ".html", "to", "a file NAME.html", options.to)
    atomic_write(to.resolve(), page(read_run(options.run)).encode())
    print(f"written to {to}")
    return 0


def page(run: SavedRun) -> str:
    """The HTML of a run."""
    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["clip"] = clip
    own, default = (flat(asdict(config)) for config in (run.config, load_config([])))
    return environment.get_template("report.html.j2").render(
        name=str(run.folder),
        facts={**run.history[-1], **flat(run.summary or {}, " ")}.items(),
        charts=charts(run),
        findings=findings(run),
        tables=tables_of(run),
        settings=[[key, own[key], default.get(key)] for key in own if own[key] != default.get(key)],
    )


def charts(run: SavedRun) -> Iterator[tuple[str, str]]:
    """Each metric, and the drawing of its curve as the address of an image."""
    metrics = dict.fromkeys(key for row in run.history for key in row)
    for metric in [key for key in metrics if "/" in key or key.startswith("fraction_")]:
        line = [(row["samples"], row[metric]) for row in known(run.history, metric)]
        if len(line) > 1:  # which those measured of the base alone have not
            shares = "accuracy" in metric or "fraction" in metric
            drawing = curve_image({metric: line}, "", metric, shares=shares)
            yield metric, f"data:image/png;base64,{b64encode(drawing).decode()}"


def tables_of(run: SavedRun) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    """Title, head and rows of wrong answers, and of samples and what they were trained under, last first."""
    if wrong := [[row["query"], row["target"], row["output"]] for row in run.answers if not row["correct"]]:
        title = f"First of {len(wrong):,} wrong answers to {len(run.answers):,} test rows"
        yield title, ["query", "target", "output"], wrong[:10]
    iterations = [(place, list(rows)) for place, rows in groupby(run.samples, itemgetter("iteration"))]
    every = len(iterations) // 30 + 1  # so that a long run's page stays small
    for iteration, samples in iterations[::-every]:
        rows = [[row.get(key) for key in SHOWN] for row in samples]
        yield f"Samples of iteration {iteration}", [*SHOWN], rows


def clip(cell: Any) -> str:
    """A cell's text on one line, cut in its middle where it is long: a question often stands at the end."""
    text = " ".join((cell if isinstance(cell, str) else json.dumps(cell)).split()) or "(empty)"
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"
