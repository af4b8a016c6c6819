"""Shows the state of a comparison in the terminal, and writes results.md, results.json and the charts."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hir.errors import UserError
from hir.files import atomic_write
from hir.tools.compare.grid import Cell, Comparison, budget_warnings, file_name
from hir.tools.compare.program import plain, run_live, versions
from hir.tools.compare.results import Aggregate, Result, aggregate, mean_curve, read_result
from hir.tools.compare.runner import last_line, log_file

NOTES = """\
Accuracies are greedy, under the correct instruction, on rows never trained on, 0 to 1.

- base: test accuracy before training, the head start that every method has and that is no method's doing.
- test: mean over seeds ± half the width of its 95 % interval by Student's t. It says how far the mean of so
  many seeds may lie from that of all seeds, which draw the rows as well; nothing of other tasks or settings.
- less the first: mean over seeds of the test accuracy less that of the first line, and its 95 % interval,
  from the differences seed by seed. Rows and base are the same then, so that it may tell apart what the
  column before does not; not so where task.*, model.* (as model.base.*) or instructions.* is compared, which
  changes the rows or the base itself. An interval that holds 0 tells nothing apart.
- to {reach}: samples, updates and seconds at the first evaluation with a validation accuracy of at least
  {reach}; the median over seeds, of which one that did not get there counts as later than all others: a dash
  where the median seed did not. (k of n) says how many did, where not all.
- area: mean validation accuracy over the samples drawn, by the trapezoid rule; mean over seeds.
- under p_wrong: last validation accuracy under the wrong instruction; mean over seeds.
- samples, updates, seconds: of the whole run; mean over seeds. Seconds are of sampling and training, on a
  machine that several runs may have shared.
- A run that failed is in no number here, though failing may be the method's doing: seeds says how many are.
- chart: mean validation accuracy, a band for its 95 % interval; the dashed line is the base's.
"""


class State:
    """Which cells wait, run, are done and have failed, and the results so far."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.results: dict[Cell, Result] = {}
        self.running: set[Cell] = set()
        self.failed: dict[Cell, str] = {}
        """The last line that each said."""

    def read(self, cell: Cell) -> None:
        """Take in a finished cell."""
        try:
            result = read_result(cell, self.comparison.reach)
            aggregate(cell.arm, [result])  # reads all of its numbers: what is damaged is to be found now
            self.results[cell] = result
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{cell.folder} holds a broken summary.json or metrics.csv: delete it") from error

    def of(self, arm: tuple[str, str]) -> list[Result]:
        """The results of an arm, in the order of the seeds."""
        return [self.results[c] for c in self.comparison.cells if c.arm == arm and c in self.results]

    def aggregates(self) -> list[Aggregate]:
        """One for each arm with a result, against the first of its task."""
        found, first = [], dict[str, tuple[str, str]]()
        for arm in self.comparison.arms:
            against = first.setdefault(arm[0], arm)
            if results := self.of(arm):
                found.append(aggregate(arm, results, self.of(against) if against != arm else ()))
        return found

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("task", "method"):
            table.add_column(name)
        for name in ("runs", "base", "test", f"samples to {self.comparison.reach:g}", "area"):
            table.add_column(name, justify="left" if name == "runs" else "right")
        for arm in self.comparison.arms:
            cells = [cell for cell in self.comparison.cells if cell.arm == arm]
            results, running = self.of(arm), sum(cell in self.running for cell in cells)
            failed = sum(cell in self.failed for cell in cells)
            runs = f"{len(results)}/{len(cells)} done" + (f", {running} running" if running else "")
            runs += f", [red]{failed} failed[/]" if failed else ""
            table.add_row(*map(escape, arm), runs, *(_numbers(aggregate(arm, results)) if results else ()))
        return table


def _numbers(found: Aggregate) -> tuple[str, str, str, str]:
    return f"{found.base:.3f}", test_accuracy(found), samples_to_reach(found), _number(found.area)


def run_shown(state: State, todo: Sequence[Cell], console: Console) -> None:
    """Run the cells, with a live table in a terminal and elsewhere a line for each that ends."""
    number = 0

    def started(cell: Cell) -> None:
        state.running.add(cell)

    def ended(cell: Cell, succeeded: bool) -> None:
        nonlocal number
        number += 1
        state.running.remove(cell)
        name = escape(f"[{number}/{len(todo)}] {cell.task}: {cell.arm[1]}, seed {cell.seed}")
        if succeeded:
            state.read(cell)
            if not console.file.isatty():
                result = state.results[cell]
                base, test = (result.summary[split]["accuracy"] for split in ("base", "test"))
                console.print(f"{name}: base {base:.3f}, test {test:.3f}, {result.seconds:.0f} s")
        else:
            state.failed[cell] = last_line(cell)
            reason = escape(f"{state.failed[cell]} ({log_file(cell)})")
            console.print(f"{name} [red]failed[/]: {reason}", soft_wrap=True)

    run_live(state, console, todo, state.comparison.jobs, started, ended)


def write_results(state: State) -> list[str]:
    """Write results.json, results.md and a chart for each task; returns the names of the files."""
    comparison = state.comparison
    out, aggregates = comparison.out, state.aggregates()
    content = {
        "arguments": comparison.argv,
        "versions": versions(),
        "reach": comparison.reach,
        "warnings": budget_warnings(comparison.cells),
        "cells": [asdict(state.results[c]) for c in comparison.cells if c in state.results],
        "failed": [
            {"task": c.task, "method": c.method, "variant": c.variant, "seed": c.seed, "says": line}
            for c, line in state.failed.items()
        ],
        "aggregates": [asdict(found) for found in aggregates],
    }
    atomic_write(out / "results.json", (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    charts = {task: f"accuracy_{file_name(task)}.png" for task in dict.fromkeys(f.task for f in aggregates)}
    atomic_write(out / "results.md", markdown(state, aggregates, charts).encode())
    for task, name in charts.items():
        arms = {arm[1]: state.of(arm) for arm in comparison.arms if arm[0] == task}
        atomic_write(out / name, chart(task, arms))
    return ["results.md", "results.json", *charts.values()]


def markdown(state: State, aggregates: Sequence[Aggregate], charts: dict[str, str]) -> str:
    """The text of results.md."""
    comparison = state.comparison
    reach = f"{comparison.reach:g}"
    blocks = [
        "# Comparison",
        f"```\npython -m hir compare {shlex.join(comparison.argv)}\n```",
        "Made with " + ", ".join(f"{name} {number}" for name, number in versions().items()) + ".",
        *(f"**Warning**: {line}." for line in budget_warnings(comparison.cells)),
        *(f"**Failed**: {c.task}, {c.arm[1]}, seed {c.seed}: `{line}`" for c, line in state.failed.items()),
    ]
    head = ["method", "seeds", "base", "test", "less the first", f"samples to {reach}", f"updates to {reach}"]
    head += [f"seconds to {reach}", "area", "under p_wrong", "samples", "updates", "seconds"]
    for task, file in charts.items():
        rows = [head, ["---", *["---:"] * (len(head) - 1)]]
        for found in (found for found in aggregates if found.task == task):
            total = sum(cell.arm == (task, found.label) for cell in comparison.cells)
            seeds = f"{len(found.seeds)}" + (f" of {total}" if total > len(found.seeds) else "")
            base, test, samples, mean = _numbers(found)
            at = found.reached
            later = [f"{at.updates:,.0f}", f"{at.seconds:,.0f}"] if at else ["–", "–"]
            whole = [f"{value:,.0f}" for value in (found.samples, found.updates, found.seconds)]
            label = found.label.replace("|", "\\|")
            rows.append(
                [
                    label,
                    seeds,
                    base,
                    test,
                    difference(found),
                    samples,
                    *later,
                    mean,
                    _number(found.p_wrong),
                    *whole,
                ]
            )
        blocks += [
            f"## {task}",
            "\n".join(f"| {' | '.join(row)} |" for row in rows),
            f"![Validation accuracy against samples on {task}]({file})",
        ]
    return "\n\n".join([*blocks, "## How to read this", NOTES.format(reach=reach)])


def test_accuracy(found: Aggregate) -> str:
    """The mean with its interval, if there is one."""
    return f"{found.test:.3f}" + (f" ± {found.test_interval:.3f}" if found.test_interval is not None else "")


def difference(found: Aggregate) -> str:
    """Test accuracy less the first arm's, with its interval, if there is one."""
    if found.difference is None:
        return ""
    half = found.difference_interval
    return f"{found.difference:+.3f}" + (f" ± {half:.3f}" if half is not None else "")


def samples_to_reach(found: Aggregate) -> str:
    """The median of the samples at the crossing, and how many seeds crossed if not all did."""
    text = f"{found.reached.samples:,.0f}" if found.reached else "–"
    all_reached = found.num_reached == len(found.seeds)
    return text if all_reached else f"{text} ({found.num_reached} of {len(found.seeds)})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def chart(task: str, arms: dict[str, list[Result]]) -> bytes:
    """A PNG of validation accuracy against samples: the mean and the 95 % interval of each arm.

    Colours come again after ten arms, with another line and marker.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    bases = []
    for place, (label, results) in enumerate(arms.items()):
        if results:
            points = mean_curve(results)
            samples, means, halves = zip(*points, strict=True)
            bases += [result.curve[0][1] for result in results]
            style, marker = (("-", "."), (":", "s"), ("-.", "^"))[place // 10 % 3]
            (line,) = axes.plot(
                samples, means, style, color=f"C{place}", label=plain(label), marker=marker, markersize=5
            )
            low = [max(0.0, mean - half) for mean, half in zip(means, halves, strict=True)]
            high = [min(1.0, mean + half) for mean, half in zip(means, halves, strict=True)]
            axes.fill_between(samples, low, high, color=line.get_color(), alpha=0.18, linewidth=0)
    axes.axhline(fmean(bases), color="black", linewidth=0.8, linestyle="--", label="base")
    axes.set(xlabel="answers sampled", ylabel="validation accuracy", ylim=(-0.02, 1.02))
    axes.set_title(f"{plain(task)}: mean over seeds and its 95 % interval")
    axes.grid(alpha=0.25)
    axes.legend(loc="best", frameon=False)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()
