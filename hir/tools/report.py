"""Write what a run did as one HTML page: `python -m hir report run=DIR [run=DIR2 ...] [to=FILE.html]`.

Several runs stand beside each other, whatever their tasks and methods. The page loads nothing and runs no
script, so it can be mailed, archived and printed as it is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from omegaconf import MISSING

import hir
from hir.config.load import load_config
from hir.config.schema import Config
from hir.errors import UserError
from hir.figures import Curve, area, curve_figure, first_reached, image
from hir.files import atomic_write
from hir.training.findings import MIN_ROWS, OTHER, findings, known, last, targets_of, wilson
from hir.training.run_folder import SavedRun, read_run

TAKES_SETTINGS = False

MAX_TARGETS = 12
"""Of a matrix; with more targets, the hardest are listed instead."""
MAX_WRONG = 10
"""Rows of a table of wrong answers."""
MAX_SAMPLES = 600
"""Logged samples on the page, all runs together; of more, some iterations are left out."""
MAX_CHARACTERS = 300
"""Of a text in a table; a longer one is cut in its middle."""
REACH = 0.9
"""Validation accuracy whose first crossing is shown."""

METRICS = {
    "val/accuracy": "validation accuracy, under p_correct",
    "val/accuracy_p_wrong": "validation accuracy, under p_wrong",
    "fraction_correct": "share of right samples",
    "fraction_unique": "share of unique samples",
}
COLORS = "#1f77b4 #ff7f0e #2ca02c #d62728 #9467bd #8c564b #e377c2 #7f7f7f #bcbd22 #17becf".split()
MARKS = "●■▲◆▼★✚"
"""How a legend shows the colours and markers that hir/figures.py gives curves by their places."""
UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
"""Control characters, half surrogate pairs, and what turns the direction of the text around it."""

Named = Sequence[tuple[str, SavedRun]]
"""Runs after what they are called on the page."""
Points = list[tuple[float, float]]
"""Answers sampled and a value, wherever it was measured."""
Table = tuple[str, list[str], list[list[Any]]]
"""Caption, head, and rows of cells."""


class Share(NamedTuple):
    """A cell of a table that is coloured as its share of something is, 0 to 1."""

    text: str
    share: float
    right: bool


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
    runs = [read_run(folder) for folder in folders]
    to = Path(options.to or ("report.html" if len(runs) > 1 else folders[0] / "report.html"))
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
    above = os.path.commonpath([run.folder.resolve().parent for run in runs])
    named = [(str(run.folder.resolve().relative_to(above)), run) for run in runs]
    facts = [facts_of(run) for _, run in named]
    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"clip": clip, "quote": lambda path: shlex.quote(str(path))}
    html = environment.get_template("report.html.j2").render(
        version=hir.__version__,
        named=named,
        names=[name for name, _ in named],
        facts=facts[0],
        results=[[key, *(found[key] for found in facts)] for key in facts[0]],
        charts=charts(named),
        colors=COLORS,
        marks=MARKS,
        findings=findings,
        answers=answers_of,
        samples=lambda run: samples_of(run, MAX_SAMPLES // len(runs) + 1),
        settings=settings_that_differ([run.config for run in runs]),
    )
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", html)


def facts_of(run: SavedRun) -> dict[str, str]:
    """What a run was and gave, in words."""
    history, config = run.history, run.config
    reached = first_reached(history, REACH)
    test, rows = run.summary["test"]["accuracy"] if run.summary else None, len(run.answers)
    interval = "{:.3f} to {:.3f}".format(*wilson(test, rows)) if test is not None and rows else "–"
    seconds = run.summary["seconds"]["total"] if run.summary else history[-1]["seconds"]
    return {
        "task": config.task.name,
        "method": config.method["name"],
        "model": config.model.path or config.model.name,
        "feedback": config.feedback["name"] or "the task's own",
        "seed": str(config.seed),
        "iterations": f"{history[-1]['iteration']:.0f} of {config.trainer['max_epochs']}",
        "base": number(history[0]["test/accuracy"]),
        "validation": number(last(history, "val/accuracy")),
        "under p_wrong": number(last(history, "val/accuracy_p_wrong")),
        "test": number(test),
        "95 % interval": interval,
        f"answers to {REACH:g}": f"{reached['samples']:,.0f}" if reached else "–",
        "area": number(area(points(run, "val/accuracy"))),
        "answers sampled": f"{history[-1]['samples']:,.0f}",
        "updates": f"{history[-1]['updates']:,.0f}",
        "time": str(timedelta(seconds=round(seconds))),
    }


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A configuration's dotted keys and values, but for where the run lies."""
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flatten(value, f"{prefix}{name}.")
        elif name not in ("run_dir", "resume"):
            found[prefix + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found


def settings_that_differ(configs: Sequence[Config]) -> list[list[str]]:
    """Keys whose values are not alike in all runs, or in one and the defaults, with each one's value."""
    found = [flatten(asdict(config)) for config in configs]
    if len(found) == 1:
        found.append(flatten(asdict(load_config([]))))
    keys = dict.fromkeys(key for values in found for key in values)
    rows = [[key, *(values.get(key, "not set") for values in found)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def points(run: SavedRun, metric: str) -> Points:
    """Answers sampled and a metric, wherever it was measured."""
    return [(row["samples"], row[metric]) for row in known(run.history, metric)]


def charts(named: Named) -> Iterator[tuple[str, list[tuple[str, Points]], str]]:
    """Title, labelled curves and drawing: of one run its accuracies together, of several a chart a metric."""
    terms = {key: key for _, run in named for row in run.history for key in row if key.startswith("train/")}
    _, one = named[0]
    if len(named) > 1:
        titles = METRICS | terms
        panels = [(title, [(name, run, key) for name, run in named]) for key, title in titles.items()]
    else:
        lines = [(title, one, key) for key, title in METRICS.items()]
        further = [(task, one, f"{task}/accuracy") for task in one.config.evaluation.tasks]
        panels = [("Accuracy", lines[:2]), ("What is sampled", lines[2:]), ("Further tasks", further)]
        panels += [(key, [(key, one, key)]) for key in terms]
    for place, (title, lines) in enumerate(panels):
        curves = [(label, points(run, key)) for label, run, key in lines]
        if any(line for _, line in curves):
            bounds = None if title in terms else (0.0, 1.0)
            yield title, curves, drawing(f"chart{place}-", [line for _, line in curves], bounds)


def drawing(prefix: str, lines: Sequence[Points], bounds: tuple[float, float] | None) -> str:
    """An SVG with nothing of the runs in it but numbers, for their names stand in the page's legend.

    Args:
        prefix: of all ids in it, of which a page must have no two alike.
        lines: points of each curve, which may be none.
        bounds: of the values, if known.
    """
    figure = curve_figure([Curve("", line) for line in lines], y_label="", bounds=bounds, size=(5.4, 2.8))
    for drawn in figure.axes[0].lines:
        drawn.set_markevery(0.02)  # of the drawing's diagonal: each mark takes its place in the file
    for part in (figure, figure.axes[0]):
        part.patch.set_visible(False)
    svg = image(figure, "svg").decode()
    svg = re.sub(r"<(style|metadata).*?</\1>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}", svg)
    return svg.replace("#000000", "currentColor")


def answers_of(run: SavedRun) -> Iterator[Table]:
    """Test rows by target and answer, and wrong answers; nothing before the run has ended."""
    targets = targets_of(run.answers)
    wrong = [row for row in run.answers if not row["correct"]]
    confused = Counter((row["target"], row["output"]) for row in wrong).most_common(MAX_WRONG)
    if 0 < len(targets) <= MAX_TARGETS:
        names = [*(target.name for target in targets), OTHER]
        rows: list[list[Any]] = []
        for target in targets:
            counts = [(target.outputs[name], name == target.name) for name in names]
            cells = [Share(str(count or "·"), count / target.rows, right) for count, right in counts]
            rows.append([target.name, *cells, target.rows, number(target.accuracy)])
        yield "Test rows by target and answer", ["target", *names, "rows", "accuracy"], rows
    elif targets:
        hardest = sorted((t for t in targets if t.rows >= MIN_ROWS), key=lambda t: (t.accuracy, -t.rows))
        rows = [[t.name, t.rows, number(t.accuracy)] for t in hardest[:MAX_TARGETS]]
        yield f"The hardest of {len(targets):,} targets", ["target", "rows", "accuracy"], rows
    if wrong:
        rows = [[target, output, times] for (target, output), times in confused]
        yield "Most common wrong answers", ["target", "answer", "times"], rows
        rows = [[row["query"], row["target"], row["output"]] for row in wrong[:MAX_WRONG]]
        words = f"First of {len(wrong):,} wrong answers to {len(run.answers):,} test rows"
        yield words, ["query", "target", "answer"], rows


def samples_of(run: SavedRun, most: int) -> Iterator[Table]:
    """Samples of each iteration and what they were trained under, the last iteration's first.

    Equal samples are a row with their number. Of more than ``most`` samples some iterations are left out.
    """
    iterations = [(place, list(rows)) for place, rows in groupby(run.samples, itemgetter("iteration"))]
    step = -(-len(run.samples) // most) or 1
    head = ["query", "target", "answer", "verdict", "times", "trained under"]
    keys = ("query", "target", "output", "correct", "relabeled_instruction")
    for iteration, samples in iterations[::-step]:
        rows: list[list[Any]] = []
        for sample, times in Counter(map(itemgetter(*keys), samples)).items():
            *texts, right, under = sample
            rows.append([*texts, "✓ right" if right else "✗ wrong", times, under or "not trained on"])
        yield f"Iteration {iteration}", head, rows


def clip(cell: object) -> str:
    """A cell's text on one line, cut in its middle where it is long: a question often stands at the end."""
    text = " ".join(str(cell).split()) or "(empty)"
    half = MAX_CHARACTERS // 2
    return text if len(text) <= MAX_CHARACTERS else f"{text[:half]} … {text[-half:]}"


def number(value: float | None) -> str:
    """An accuracy, or a dash where it is not known."""
    return "–" if value is None else f"{value:.3f}"
