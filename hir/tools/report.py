"""Write what a run did as one HTML page: `python -m hir report run=DIR [run=DIR2 ...] [to=FILE.html]`.

Several runs stand beside each other, whatever their tasks and methods. The page loads nothing and runs no
script, so it can be mailed, archived and printed as it is.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from omegaconf import MISSING

import hir
from hir.config.load import merge_layers
from hir.errors import UserError
from hir.files import atomic_write
from hir.tools.compare.results import area, first_reached
from hir.training.findings import MIN_ROWS, Target, findings, known, last, targets_of, wilson
from hir.training.run_folder import SavedRun, read_run

TAKES_SETTINGS = False

MAX_TARGETS = 12
"""Of a matrix; with more targets, the hardest are listed instead."""
MAX_WRONG = 10
"""Rows of a table of wrong answers."""
MAX_SAMPLES = 600
"""Logged samples on the page, all runs together; of more, some iterations are left out."""
REACH = 0.9
"""Validation accuracy whose first crossing is shown."""

METRICS = {
    "val/accuracy": "validation, under p_correct",
    "val/accuracy_p_wrong": "validation, under p_wrong",
    "fraction_correct": "right samples",
    "fraction_unique": "unique samples",
}
COLORS = ("#0b67a8", "#c4461a", "#00795a", "#9a4a88", "#a86c00", "#2b86c5", "#6b7580", "#17212b")
"""Of curves, on a light page; the template has those on a dark one."""
MARKS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"))
"""Matplotlib's name of a curve's marks, and the character that stands for it in a legend."""
UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
"""Control characters, half surrogate pairs, and what turns the direction of the text around it."""

Named = Sequence[tuple[str, SavedRun]]
"""Runs after what they are called on the page."""


@dataclass
class Options:
    """What is shown, and where it is written."""

    run: list[str] = MISSING
    """A run's folder, finished or not; several, as run=A run=B or run=A,B, stand beside each other."""
    to: str | None = None
    """The page's file; null: report.html in the run's folder, for several runs in the current one."""


def run(options: Options, settings: list[str]) -> int:
    """Write the page of one or several runs.

    Raises:
        UserError: a folder holds no run or a damaged one, or the page cannot be written.
    """
    folders = list({Path(name).resolve(): Path(name) for name in options.run}.values())
    if not folders:
        raise UserError("run= names no folder")
    to = Path(options.to or ("report.html" if len(folders) > 1 else folders[0] / "report.html"))
    runs = [read_run(folder) for folder in folders]
    if to.is_dir() or not to.parent.is_dir():
        raise UserError(f"to={to} cannot be written: give the name of a file in a folder that exists")
    try:
        atomic_write(to, page(runs).encode())
    except OSError as error:
        raise UserError(f"to={to} cannot be written: {error.strerror}") from error
    print(f"written to {to}")
    return 0


def page(runs: Sequence[SavedRun]) -> str:
    """The HTML of one or several runs."""
    templates = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"clip": clip, "number": number}
    above = os.path.commonpath([run.folder.resolve().parent for run in runs])
    named = [(str(run.folder.resolve().relative_to(above)), run) for run in runs]
    facts = {name: facts_of(run) for name, run in named}
    settings = {name: flatten(asdict(run.config)) for name, run in named}
    if len(runs) == 1:
        settings["default"] = flatten(asdict(merge_layers([])))
    html = environment.get_template("report.html.j2").render(
        title="{method} on {task}".format(**facts[named[0][0]]) if len(runs) == 1 else f"{len(runs)} runs",
        facts=facts,
        varied=different(facts),
        shown=[shown(name, run, MAX_SAMPLES // len(runs)) for name, run in named],
        charts=charts(named),
        targets=accuracy_by_target(named),
        settings=different(settings),
        names=list(settings),
        colors=COLORS,
        reach=REACH,
        version=hir.__version__,
    )
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", html)


def facts_of(run: SavedRun) -> dict[str, str]:
    """What a run was and gave, in words."""
    history, config = run.history, run.config
    reached = first_reached(history, REACH)
    test = run.summary["test"]["accuracy"] if run.summary else None
    curve = points(run, "val/accuracy")
    return {
        "task": config.task.name,
        "method": config.method.name,
        "model": config.model.path or config.model.name,
        "seed": str(config.seed),
        "iterations": f"{history[-1]['iteration']:.0f} of {config.trainer['max_epochs']}",
        "base": number(history[0]["test/accuracy"]),
        "validation": number(last(history, "val/accuracy")),
        "under p_wrong": number(last(history, "val/accuracy_p_wrong")),
        "test": number(test),
        "95 % interval": "{:.3f} to {:.3f}".format(*wilson(test, len(run.answers))) if run.answers else "–",
        f"answers to {REACH:g}": f"{reached.samples:,.0f}" if reached else "–",
        "area": number(area(curve) if curve else None),
        "answers": f"{history[-1]['samples']:,.0f}",
        "updates": f"{history[-1]['updates']:,.0f}",
        "time": duration(run.summary["seconds"]["total"] if run.summary else history[-1]["seconds"]),
    }


def shown(name: str, run: SavedRun, max_samples: int) -> dict[str, Any]:
    """A run's findings, answers and samples, as the template asks for them."""
    targets = targets_of(run.answers)
    hardest = sorted((t for t in targets if t.rows >= MIN_ROWS), key=lambda t: (t.accuracy, -t.rows))
    wrong = [row for row in run.answers if not row["correct"]]
    iterations = [(n, list(rows)) for n, rows in groupby(run.samples, itemgetter("iteration"))]
    step = -(-len(run.samples) // max_samples) or 1
    keys = ("query", "target", "output", "correct", "relabeled_instruction")
    return {
        "name": name,
        "run": run,
        "folder": shlex.quote(str(run.folder)),
        "findings": findings(run),
        "targets": targets if len(targets) <= MAX_TARGETS else hardest[:MAX_TARGETS],
        "columns": [target.name for target in targets] if len(targets) <= MAX_TARGETS else [],
        "wrong": wrong,
        "first_wrong": wrong[:MAX_WRONG],
        "confused": Counter((row["target"], row["output"]) for row in wrong).most_common(MAX_WRONG),
        "num_iterations": len(iterations),
        # The last is always shown. Equal samples of a query are one row with their number.
        "iterations": [(n, Counter(map(itemgetter(*keys), rows))) for n, rows in iterations[::-step]],
        "seconds": {
            part: duration(value) for part, value in (run.summary or {"seconds": {}})["seconds"].items()
        },
    }


def accuracy_by_target(named: Named) -> Iterator[tuple[str, list[str], dict[str, dict[str, Target]]]]:
    """For each task of few targets its name, its targets' and, by run, the targets."""
    for task in dict.fromkeys(run.config.task.name for _, run in named):
        found = {
            name: {target.name: target for target in targets_of(run.answers)}
            for name, run in named
            if run.config.task.name == task and run.answers
        }
        columns = list(dict.fromkeys(target for targets in found.values() for target in targets))
        if 0 < len(columns) <= MAX_TARGETS:
            yield task, columns, found


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A configuration's dotted keys and values, but for where the run lies."""
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flatten(value, f"{prefix}{name}.")
        elif name not in ("run_dir", "resume"):
            found[prefix + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found


def different(rows: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Keys whose values are not equal in all, with the value in each."""
    keys = dict.fromkeys(key for row in rows.values() for key in row)
    found = {key: [row.get(key, "not set") for row in rows.values()] for key in keys}
    return {key: values for key, values in found.items() if len(set(values)) > 1}


def points(run: SavedRun, metric: str) -> list[tuple[float, float]]:
    """Answers sampled and a metric, wherever it was measured."""
    return [(row["samples"], row[metric]) for row in known(run.history, metric)]


def charts(named: Named) -> Iterator[tuple[str, list[tuple[int, str, str, str]], Markup]]:
    """Titles, legends and drawings: of one run its metrics together, of several a chart for each metric.

    A legend has for each curve the number of its colour, its mark, its label and its last value.
    """
    terms = {key: key for _, run in named for row in run.history for key in row if key.startswith("train/")}
    _, one = named[0]
    if len(named) == 1:
        lines = [(title, one, key) for key, title in METRICS.items()]
        further = [(task, one, f"{task}/accuracy") for task in one.config.evaluation.tasks]
        panels = [("Accuracy", lines[:2]), ("What is sampled", lines[2:]), ("Further tasks", further)]
        panels += [(key, [(key, one, key)]) for key in terms]
    else:
        titles = METRICS | terms
        panels = [(title, [(name, run, key) for name, run in named]) for key, title in titles.items()]
    for place, (title, lines) in enumerate(panels):
        curves = [(style, label, points(run, key)) for style, (label, run, key) in enumerate(lines)]
        curves = [curve for curve in curves if curve[2]]
        if curves:
            legend = [(i % 8, MARKS[i % 6][1], label, f"{p[-1][1]:.3g}") for i, label, p in curves]
            is_share = title not in terms
            yield title, legend, draw(f"chart{place}", [(i, p) for i, _, p in curves], is_share)


def draw(name: str, curves: list[tuple[int, list[tuple[float, float]]]], is_share: bool) -> Markup:
    """An SVG with nothing of the run in it but numbers, the same for the same ones.

    Args:
        name: stands before all ids in it, of which a page must have no two alike.
        curves: number of the style, and points of each.
        is_share: whether the values are of 0 to 1.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "hir", "font.size": 8, "grid.alpha": 0.3}):
        figure = Figure(figsize=(4.6, 2.4), layout="constrained")
        axes = figure.add_subplot(xlabel="answers sampled")
        axes.grid(True)
        axes.spines[["top", "right"]].set_visible(False)
        for style, line in curves:
            every = -(-len(line) // 40)  # a mark more is only another kilobyte
            color, (mark, _) = COLORS[style % len(COLORS)], MARKS[style % len(MARKS)]
            axes.plot(
                *zip(*line, strict=True), color=color, marker=mark, ms=4, markevery=every, clip_on=False
            )
        axes.set_xlim(left=0)
        if is_share:
            axes.set_ylim(-0.02, 1.02)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    svg = re.sub("<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg).replace("#000000", "currentColor")
    for place, color in enumerate(COLORS):
        svg = svg.replace(color, f"var(--c{place})")
    return Markup(svg)


def clip(text: str, length: int = 60) -> str:
    """The text on one line, cut in its middle where it is longer: a question often stands at the end."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length // 2]} … {text[-length // 3 :]}"


def number(value: float | None) -> str:
    """An accuracy, or a dash where it is not known."""
    return "–" if value is None else f"{value:.3f}"


def duration(seconds: float) -> str:
    """A time in words."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
