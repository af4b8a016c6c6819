"""Builds the page: a run by itself, or several beside each other."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import hir
from hir.config.keys import lookup
from hir.figures import area, first_reached
from hir.tools.report.answers import accuracy_by_target, answers, samples
from hir.tools.report.charts import Axes, Curve, interval_strip, legend, line_chart, stacked_bar
from hir.tools.report.findings import Finding, findings, interval_of, known, last
from hir.tools.report.html import Child, Html, duration, element, join, number, table
from hir.tools.report.settings import different, flatten, settings_of
from hir.training.run_folder import SavedRun

Named = Sequence[tuple[SavedRun, str]]
"""Runs and what they are called on the page."""

MAX_ROWS = 200
"""Of the table of all numbers."""
REACH = 0.9
"""Validation accuracy whose first crossing is shown."""
ICONS = {"bad": ("▲", "Look here"), "note": ("●", "Note"), "good": ("✓", "Good")}
METRICS = {
    "val/accuracy": "validation, under p_correct",
    "val/accuracy_p_wrong": "validation, under p_wrong",
    "fraction_correct": "right samples",
    "fraction_unique": "unique samples",
}
X_LABEL = "answers sampled"
GLOSSARY = """\
Accuracies are greedy, 0 to 1. p_correct and p_wrong are the instructions to answer correctly and wrongly; a
wrong sample is relabeled with the latter in hindsight. Intervals of test accuracies are Wilson's, 95 %: they
speak of other rows of the task, not of other seeds."""


def run_page(run: SavedRun) -> str:
    """The page of one run."""
    body = [
        _head(run),
        _findings(findings(run)),
        _section("Training", _curves(run)),
        _section("Test answers", answers(run)),
        _section("Terms of the loss", _terms([(run, "")])),
        _section("Samples and what they were trained under", samples(run)),
        _section("Tasks", _tasks(run)),
        _section("Time", _time([(run, "")])),
        _section("Configuration", _configuration(run)),
        _section("All numbers", _numbers(run)),
    ]
    return document(_title(run), join(body))


def runs_page(runs: Sequence[SavedRun]) -> str:
    """The page of several runs, which may be of different tasks and methods."""
    named = list(zip(runs, labels([run.folder for run in runs]), strict=True))
    title = f"{len(runs)} runs side by side"
    head = element("header", element("p", "hir report", class_="eyebrow"), element("h1", title))
    axes = Axes(X_LABEL, (0.0, 1.0))
    charts = [line_chart(title, _overlaid(named, metric), axes) for metric, title in METRICS.items()]
    rows = [[_key(key), *values] for key, values in different([flatten(run.config) for run in runs]).items()]
    columns = ["key", *(name for _, name in named)]
    body = [
        head,
        _section("Results", _results(named)),
        _section("What to look at", [[element("h3", n), _findings(findings(run))] for run, n in named]),
        _section("Training", legend(_overlaid(named, "samples")), element("div", charts, class_="charts")),
        _section("Accuracy by target", accuracy_by_target(named)),
        _section("Terms of the loss", _terms(named)),
        _section("Time", _time(named)),
        _section("Settings", table(columns, rows, "Keys that differ", "keys") if rows else "All are alike."),
        _section("Commands", [_command(run, name) for run, name in named]),
    ]
    return document(title, join(body))


def document(title: str, body: Html) -> str:
    """A whole page that loads nothing: its policy allows the style within and forbids all else."""
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · hir report"),
        element("style", Html(style)),
    )
    foot = element("footer", element("p", f"hir {hir.__version__}. {GLOSSARY}"))
    page = element("html", head, element("body", element("main", body), foot), lang="en")
    return f"<!doctype html>\n{page}\n"


def labels(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the folders' paths that tell them apart, without the end that all share."""
    paths = [folder.resolve().parts for folder in folders]
    start = next(n for n in range(1, max(map(len, paths)) + 1) if len({p[-n:] for p in paths}) == len(paths))
    end = next(n for n in range(start) if len({parts[-n - 1] for parts in paths}) > 1)
    return ["/".join(parts[-start : len(parts) - end]) for parts in paths]


def _section(title: str, *content: Child) -> Html:
    inside = join(*content)
    return element("section", element("h2", title), inside) if inside else inside


def _title(run: SavedRun) -> str:
    return f"{run.config.method.name} on {run.config.task.name}"


def _model(run: SavedRun) -> str:
    return run.config.model.path or run.config.model.name


def _head(run: SavedRun) -> Html:
    now, rows = run.history[-1], []
    for name, value in (("base", run.history[0].get("test/accuracy")), ("trained", _test_accuracy(run))):
        if value is not None:
            rows.append((name, value, interval_of(run, value)))
    if run.summary:
        values = [value for _, value, _ in rows]
        about = f"test accuracy, {len(run.answers):,} rows" if run.answers else "test accuracy"
        if rows[-1][2]:
            about += "; 95 % interval {:.3f} to {:.3f}".format(*rows[-1][2])
    else:
        values = [row["val/accuracy"] for row in known(run.history, "val/accuracy")]
        about = "validation accuracy so far"
    before = number(values[0]) if len(values) > 1 else "–"
    big = [before, element("span", " → "), element("strong", number(values[-1] if values else None))]
    facts = {
        "answers sampled": f"{now['samples']:,.0f}",
        "updates": f"{now['updates']:,.0f}",
        "time": duration(run.summary["seconds"]["total"] if run.summary else now["seconds"]),
        "validation, p_wrong": number(last(run, "val/accuracy_p_wrong")),
    }
    done, planned = now["iteration"], run.config.trainer["max_epochs"]
    words = f"{_model(run)}, seed {run.config.seed}, {done:.0f} of {planned} iterations"
    shown = element("div", element("p", big, class_="big"), element("p", about, class_="under"))
    return element(
        "header",
        element("p", "hir report", class_="eyebrow"),
        element("h1", _title(run)),
        element("p", words, class_="under"),
        element("div", shown, interval_strip(rows) if rows else None, class_="hero"),
        element("dl", [element("div", element("dt", k), element("dd", v)) for k, v in facts.items()]),
        _command(run),
    )


def _command(run: SavedRun, name: str = "") -> Html:
    lines, words = settings_of(run.config, run.folder).command, "Repeat it"
    if run.summary is None:
        lines, words = (
            f"{lines}\npython train.py resume={shlex.quote(str(run.folder))}",
            "Repeat it, or go on",
        )
    heading = element("p", f"{name}: {words}" if name else words)
    return element("div", heading, element("pre", element("code", lines)), class_="command")


def _findings(found: Iterable[Finding]) -> Html:
    items = []
    for finding in found:
        icon, means = ICONS[finding.level]
        mark = element("span", icon, class_="icon", role="img", aria_label=means)
        text = element("div", element("b", finding.title), element("p", finding.text))
        items.append(element("li", mark, text, class_=finding.level))
    return element("ul", items, class_="findings")


def _curve(run: SavedRun, metric: str, label: str, style: int) -> Curve:
    rows = known(run.history, metric)
    points = [(row["samples"], row[metric]) for row in rows]
    where = [f"iteration {row['iteration']:.0f}, {row['samples']:,.0f} answers" for row in rows]
    tips = [f"{label}, {at}: {row[metric]:.3g}" for at, row in zip(where, rows, strict=True)]
    return Curve(label, points, tips, style)


def _overlaid(named: Named, metric: str) -> list[Curve]:
    return [_curve(run, metric, name, style) for style, (run, name) in enumerate(named)]


def _curves(run: SavedRun) -> Html:
    """Accuracies, shares of the samples and accuracies on further tasks."""
    rows = [row for row in run.history if row["samples"]]
    above = [(row["samples"], f"{row['iteration']:.0f}") for row in rows[:: -(len(rows) // 8 + 1)]]
    axes = Axes(X_LABEL, (0.0, 1.0), above=above)
    base = known(run.history[:1], "val/accuracy")
    level = Axes(X_LABEL, (0.0, 1.0), base[0]["val/accuracy"] if base else None, above)
    curves = [_curve(run, metric, label, style) for style, (metric, label) in enumerate(METRICS.items())]
    further = [_curve(run, f"{task}/accuracy", task, i) for i, task in enumerate(run.config.evaluation.tasks)]
    prompts = run.config.instructions
    note = f"p_correct: “{prompts.correct}” p_wrong: “{prompts.wrong}”"
    charts = [
        line_chart("Accuracy under both instructions", curves[:2], level, note, values=True),
        line_chart("What is sampled", curves[2:], axes, "Shares of an iteration's samples", values=True),
        line_chart("Further tasks", further, axes, "Test rows, under p_correct", values=True),
    ]
    return element("div", charts, class_="charts")


def _terms(named: Named) -> Html | None:
    """A small chart for each of the methods' terms, each on its own scale."""
    terms = dict.fromkeys(key for run, _ in named for row in run.history for key in row)
    charts = []
    for key in (key for key in terms if key.startswith("train/")):
        title, alone = key.removeprefix("train/"), len(named) == 1
        curves = [_curve(named[0][0], key, title, 0)] if alone else _overlaid(named, key)
        charts.append(line_chart(title, curves, Axes(X_LABEL, size=(300, 170)), values=alone))
    return element("div", charts, class_="charts small") if any(charts) else None


def _tasks(run: SavedRun) -> Html:
    rows = f"{len(run.answers):,}" if run.answers else "–"
    lines = [(run.config.task.name, run.history[0].get("test/accuracy"), _test_accuracy(run), rows)]
    for task in run.config.evaluation.tasks:
        key = f"{task}/accuracy"
        lines.append((task, run.history[0].get(key), last(run, key), "–"))
    cells = [
        [task, number(a), number(b), "–" if a is None or b is None else f"{b - a:+.3f}", rows]
        for task, a, b, rows in lines
    ]
    return table(["task", "base", "trained", "change", "rows"], cells, "Accuracy on test rows")


def _time(named: Named) -> list[Html]:
    """A bar a run, all on the scale of the longest; of an unfinished run only a part is known."""
    spent: list[dict[str, float]] = []
    for run, _ in named:
        if run.summary:
            parts = {k: float(v) for k, v in run.summary["seconds"].items()}
            other = parts.pop("total") - sum(parts.values())
            spent.append(parts | {"other": max(0.0, other)})
        else:
            spent.append({"sampling and training so far": run.history[-1]["seconds"]})
    longest = max(sum(parts.values()) for parts in spent) or 1.0
    blocks = []
    for (run, name), parts in zip(named, spent, strict=True):
        speeds = [row["samples_per_second"] for row in known(run.history, "samples_per_second")]
        words = f"{duration(sum(parts.values()))} in all"
        if speeds:
            words += f", {sum(speeds) / len(speeds):,.0f} samples a second while sampling"
        bar = stacked_bar({key: (value, duration(value)) for key, value in parts.items()}, longest)
        blocks += [element("p", element("b", f"{name}: ") if name else None, words), bar]
    return blocks


def _configuration(run: SavedRun) -> list[Html]:
    settings = settings_of(run.config, run.folder)
    default = f"python train.py {settings.groups}".strip()
    first = element("p", f"Nothing differs from {default}.")
    if settings.changed:
        rows = [[_key(k), new, old, lookup(k).meaning] for k, (new, old) in settings.changed.items()]
        first = table(["key", "value", "default", "meaning"], rows, f"What differs from {default}", "keys")
    every = [[_key(key), value, lookup(key).meaning] for key, value in flatten(run.config).items()]
    whole = table(["key", "value", "meaning"], every, "The whole configuration", "keys")
    return [first, element("details", element("summary", "All keys"), whole)]


def _numbers(run: SavedRun) -> Html:
    columns = list(dict.fromkeys(key for row in run.history for key in row))
    kept = run.history[:: -(-len(run.history) // MAX_ROWS)]
    words = f"{len(kept):,} of {len(run.history):,} rows of metrics.csv"
    rows = [[f"{row[key]:.6g}" if key in row else "" for key in columns] for row in kept]
    return element("details", element("summary", words), table(columns, rows, words))


def _results(named: Named) -> Html:
    """A row a run; what all runs share of task, method, model and seed stands above instead."""
    identity = {
        "task": [run.config.task.name for run, _ in named],
        "method": [run.config.method.name for run, _ in named],
        "model": [_model(run) for run, _ in named],
        "seed": [str(run.config.seed) for run, _ in named],
    }
    varied = {key: values for key, values in identity.items() if len(set(values)) > 1}
    shared = ", ".join(f"{key} {values[0]}" for key, values in identity.items() if key not in varied)
    rows: list[list[Child]] = []
    for place, (run, name) in enumerate(named):
        test, now = _test_accuracy(run), run.history[-1]
        curve = [(row["samples"], row["val/accuracy"]) for row in known(run.history, "val/accuracy")]
        reached, span = first_reached(run.history, REACH), interval_of(run, test)
        interval = " {:.3f}–{:.3f}".format(*span) if span else None
        numbers = [
            number(last(run, "val/accuracy")),
            number(last(run, "val/accuracy_p_wrong")),
            f"{reached.samples:,.0f}" if reached else "–",
            number(area(curve) if curve else None),
            f"{now['samples']:,.0f}",
            f"{now['updates']:,.0f}",
            duration(now["seconds"]),
        ]
        own = [values[place] for values in varied.values()]
        base = number(run.history[0].get("test/accuracy"))
        rows.append([name, *own, base, element("td", element("b", number(test)), interval), *numbers])
    head = ["run", *varied, "base", "test, 95 % interval", "validation", "p_wrong", f"samples to {REACH:g}"]
    head += ["area", "samples", "updates", "time"]
    words = "Area: mean validation accuracy over the samples drawn. Time: of sampling and training."
    caption = f"All: {shared}." if shared else "Results of the runs"
    return join(table(head, rows, caption, "tight"), element("p", words, class_="under"))


def _test_accuracy(run: SavedRun) -> float | None:
    return float(run.summary["test"]["accuracy"]) if run.summary else None


def _key(key: str) -> Html:
    return element("code", key)
