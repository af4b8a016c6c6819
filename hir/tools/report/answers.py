"""The parts of the page on what the model answers: test rows by target, and samples with their relabels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from hir.tools.report.charts import verdict_wall
from hir.tools.report.findings import MIN_ROWS, OTHER, Target, confused, targets_of
from hir.tools.report.html import Child, Html, clip, element, join, number, table
from hir.training.run_folder import SavedRun

MAX_TARGETS = 12
"""Of a matrix; with more targets, the hardest are listed instead."""
MAX_PAIRS = 8
"""Kinds of wrong answers that are listed."""
MAX_SAMPLES = 640
"""Logged samples on the page; of more, some iterations are left out."""
QUERY, OUTPUT, NAME = 400, 60, 24
"""Characters that are shown of a query, an answer and a target's name."""


def answers(run: SavedRun) -> Html:
    """Target by answer, and the most common confusions with a query each; empty before the run has ended."""
    if not run.answers:
        return Html("")
    targets, pairs = targets_of(run.answers), confused(run.answers)
    wrong = sum(pair[2] for pair in pairs)
    parts = [element("p", f"{wrong:,} of {len(run.answers):,} test rows are wrong.")]
    failed = [target for target in targets if target.right < target.rows >= MIN_ROWS]
    hardest = sorted(failed, key=lambda target: (target.accuracy, -target.rows))[:MAX_TARGETS]
    if len(targets) <= MAX_TARGETS:
        parts.append(_matrix(targets))
    elif hardest:
        words = f"The hardest of {len(targets):,} targets, among those of at least {MIN_ROWS} rows"
        rows = [[clip(t.name, OUTPUT), str(t.right), str(t.rows), number(t.accuracy)] for t in hardest]
        parts.append(table(["target", "right", "rows", "accuracy"], rows, words))
    if pairs:
        lines = [[clip(t, OUTPUT), _output(o), f"{n:,}", clip(q, QUERY)] for t, o, n, q in pairs[:MAX_PAIRS]]
        words = f"Most common wrong answers: {len(lines)} of {len(pairs):,} kinds"
        parts.append(table(["target", "answer", "times", "for example"], lines, words, "roomy"))
    return join(parts)


def _matrix(targets: Sequence[Target]) -> Html:
    columns = [target.name for target in targets]
    if any(target.outputs[OTHER] for target in targets):
        columns.append(OTHER)
    rows: list[list[Child]] = []
    for target in targets:
        counts = [(target.outputs[name], name == target.name) for name in columns]
        cells = [_heat(str(count) if count else "·", count / target.rows, own) for count, own in counts]
        rows.append([_name(target.name, target.lost), *cells, f"{target.rows:,}", number(target.accuracy)])
    head = ["target ↓ answer →", *(clip(name, NAME) for name in columns), "rows", "accuracy"]
    return table(head, rows, "Test rows by target and answer; right answers are framed", "matrix")


def accuracy_by_target(named: Sequence[tuple[SavedRun, str]]) -> Html:
    """Accuracy of several runs on each target, a table for each task of few targets."""
    tables = []
    for task in dict.fromkeys(run.config.task.name for run, _ in named):
        found = {
            name: {target.name: target for target in targets_of(run.answers)}
            for run, name in named
            if run.config.task.name == task and run.answers
        }
        columns = list(dict.fromkeys(name for targets in found.values() for name in targets))
        if 0 < len(columns) <= MAX_TARGETS:
            rows = [[run, *(_share(targets.get(c)) for c in columns)] for run, targets in found.items()]
            tables.append(
                table([task, *(clip(c, NAME) for c in columns)], rows, f"{task}, test rows", "matrix")
            )
    return join(tables)


def _share(target: Target | None) -> Html:
    if target is None:
        return _heat("–", 0, True)
    return _heat(f"{target.accuracy:.2f}" + (" lost" if target.lost else ""), target.accuracy, True)


def _name(name: str, lost: bool) -> Html:
    return element(
        "th", clip(name, NAME), element("span", " lost", class_="badge") if lost else None, scope="row"
    )


def _heat(text: str, share: float, own: bool) -> Html:
    """A cell whose colour has six steps; a share above 0 never looks like 0."""
    return element("td", text, class_=f"{'own' if own else 'off'} h{-(-share * 5 // 1):.0f}")


def samples(run: SavedRun) -> Html:
    """All logged samples at a glance, then those of each iteration with what each was trained under."""
    if not run.samples:
        return Html("")
    iterations = [(n, list(rows)) for n, rows in groupby(run.samples, key=lambda row: row["iteration"])]
    step = -(-len(run.samples) // MAX_SAMPLES)
    kept = iterations[::-step][::-1]  # the last is always shown
    words = "A column is an iteration, a filled square a right sample, a cross a wrong one."
    if step > 1:
        words += f" Shown are {len(kept)} of {len(iterations)} iterations."
    wall = verdict_wall(
        [
            (n, row["correct"], f"iteration {n}: {clip(row['query'], 90)} → {_output(row['output'])}")
            for n, rows in kept
            for row in rows
        ]
    )
    choices = [
        join(
            element("input", type="radio", name="show", id=name, checked=name == "all"),
            element("label", name, for_=name),
        )
        for name in ("all", "right", "wrong")
    ]
    show = element("fieldset", element("legend", "Show"), choices, class_="filter")
    blocks = [_iteration(run, n, rows, is_open=n == kept[0][0]) for n, rows in kept]
    return element("div", element("p", words), wall, show, blocks, class_="samples")


def _iteration(run: SavedRun, iteration: int, rows: Sequence[dict[str, Any]], is_open: bool) -> Html:
    prompts = run.config.instructions
    names = {prompts.correct: "p_correct", prompts.wrong: "p_wrong", None: "not trained on"}
    lines: list[list[Child]] = []
    for (query, target), found in groupby(rows, key=lambda row: (row["query"], row["target"])):
        # Equal samples of a query are one chip with their number.
        chips = Counter((row["output"], row["correct"], row["relabeled_instruction"]) for row in found)
        marks = [
            element(
                "span",
                element("b", "✓ right " if right else "✗ wrong ", _output(output)),
                f" × {count}" if count > 1 else None,
                element("small", names.get(trained, trained)),
                class_="chip yes" if right else "chip no",
            )
            for (output, right, trained), count in chips.items()
        ]
        lines.append([clip(query, QUERY), clip(target, OUTPUT), element("td", marks)])
    count = f" {sum(row['correct'] for row in rows)} of {len(rows)} right"
    summary = element("summary", f"Iteration {iteration}", element("span", count))
    head = ["query", "target", "samples, and what they were trained under"]
    return element(
        "details", summary, table(head, lines, f"Samples of iteration {iteration}", "stack"), open=is_open
    )


def _output(text: str) -> str:
    return clip(text, OUTPUT) or "(empty)"
