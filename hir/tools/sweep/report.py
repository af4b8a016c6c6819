"""Shows the state of a sweep, and writes results.md, results.json, best.yaml and the chart."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hir.errors import UserError
from hir.files import atomic_write
from hir.tools.runs import Cell, last_line, log_file, run_live, versions
from hir.tools.sweep.chart import chart
from hir.tools.sweep.plan import Run, Sweep, text
from hir.training.run_folder import read_history

LIVE_ROWS = 12
"""Finished runs that the live table shows at most: a table higher than the terminal is cut at its end."""

NOTES = """\
- {metric}: the run's last value, not its best one; the runs are in the order of it, to {goal}.
- test: greedy accuracy of the final model on test rows under the correct instruction, base: that before
  training. Neither has a part in the order.
- The first of many runs is first partly by luck, so its {metric} flatters it. Other seeds tell how it holds
  up: `python -m hir compare variants=FILE seeds=5 out=DIR` with its settings in FILE.
- seconds: of sampling and training, on a machine that several runs may have shared.
- A run that failed is in no place here, though failing may be its settings' doing.
"""


@dataclass(frozen=True)
class Outcome:
    """What a finished run gave."""

    run: Run
    value: float | None
    """The last value of the sweep's metric; None where the run has none."""
    test: float
    base: float
    """Test accuracy before training."""
    seconds: float
    """Of sampling and training."""


def read_outcome(run: Run, metric: str) -> Outcome:
    """The numbers of a finished run.

    Raises:
        UserError: a file of its folder is damaged.
    """
    folder = run.cell.folder
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        rows = [row for row in read_history(folder) if row["iteration"] > 0]  # the base's row is no result
        values = [row[metric] for row in rows if metric in row]
        return Outcome(
            run=run,
            value=values[-1] if values else None,
            test=float(summary["test"]["accuracy"]),
            base=float(summary["base"]["accuracy"]),
            seconds=round(summary["seconds"]["sampling"] + summary["seconds"]["training"], 2),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{folder} holds a broken summary.json or metrics.csv: delete it") from error


class State:
    """Which runs wait, run, are done and have failed, and the outcomes so far."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.runs = {run.cell: run for run in sweep.runs}
        self.outcomes: list[Outcome] = []
        self.running: list[Run] = []
        self.failed: dict[int, str] = {}
        """The last line that each run, by its number, said."""

    def read(self, cell: Cell) -> Outcome:
        """Take in a finished run."""
        outcome = read_outcome(self.runs[cell], self.sweep.metric.name)
        self.outcomes.append(outcome)
        return outcome

    def ranked(self) -> list[Outcome]:
        """The best first; those without a finite value last."""
        sign = -1 if self.sweep.metric.maximize else 1

        def place(outcome: Outcome) -> tuple[float, int]:
            return sign * outcome.value if _is_number(outcome.value) else math.inf, outcome.run.number  # type: ignore[operator]

        return sorted(self.outcomes, key=place)

    def best(self) -> Outcome | None:
        """The first of the ranked, if it has a value."""
        return next((outcome for outcome in self.ranked() if _is_number(outcome.value)), None)

    def table(self, most: int | None = None) -> Table:
        """The runs that run, then the finished ones, the best first, at most so many."""
        names = [parameter.name for parameter in self.sweep.varied]
        table = Table(box=None, pad_edge=False)
        for name in ("", "run", *names, self.sweep.metric.name, "test", "seconds"):
            table.add_column(name, justify="left" if name in names else "right")
        for run in self.running:
            table.add_row("", str(run.number), *_settings(run, names), f"[cyan]{_progress(run)}[/]")
        for place, outcome in enumerate(self.ranked()[:most], 1):
            numbers = [number(outcome.value), number(outcome.test), f"{outcome.seconds:.0f}"]
            row = [str(place), str(outcome.run.number), *_settings(outcome.run, names), *numbers]
            table.add_row(*row, style="bold" if outcome == self.best() else None)
        return table

    def __rich__(self) -> Table:
        table = self.table(LIVE_ROWS)
        failed = f", [red]{len(self.failed)} failed[/]" if self.failed else ""
        table.caption = f"{len(self.outcomes)} of {len(self.runs)} done, {len(self.running)} running{failed}"
        table.caption_justify = "left"
        return table


def _settings(run: Run, names: Sequence[str]) -> list[str]:
    return [escape(text(run.settings[name])) for name in names]


def _progress(run: Run) -> str:
    """How far a running run is, in words."""
    done = 0
    with suppress(OSError, ValueError, LookupError):  # it has not written anything yet
        done = int(read_history(run.cell.folder)[-1]["iteration"])
    return f"{done}/{run.cell.config.trainer['max_epochs']} iterations"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def number(value: float | None) -> str:
    """A metric's value for a table."""
    return "–" if value is None else f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"


def run_shown(state: State, todo: Sequence[Run], console: Console) -> None:
    """Run the unfinished runs, with a live table in a terminal and elsewhere a line for each that ends."""
    ended_runs = 0

    def started(cell: Cell) -> None:
        state.running.append(state.runs[cell])

    def ended(cell: Cell, succeeded: bool) -> None:
        nonlocal ended_runs
        ended_runs += 1
        run = state.runs[cell]
        state.running.remove(run)
        name = escape(f"[{ended_runs}/{len(todo)}] run {run.number}")
        if succeeded:
            outcome = state.read(cell)
            if not console.file.isatty():
                numbers = f"{state.sweep.metric.name} {number(outcome.value)}, test {number(outcome.test)}"
                settings = escape(cell.arm[2])
                line = f"{name}: {numbers}, {outcome.seconds:.0f} s  {settings}"
                console.print(line, soft_wrap=True)
        else:
            state.failed[run.number] = last_line(cell)
            reason = escape(f"{state.failed[run.number]} ({log_file(cell)})")
            console.print(f"{name} [red]failed[/]: {reason}", soft_wrap=True)

    run_live(state, console, [run.cell for run in todo], state.sweep.jobs, started, ended)


def write_results(state: State) -> list[str]:
    """Write results.md and results.json, and with a best run best.yaml and the chart; returns their names."""
    sweep, ranked, best = state.sweep, state.ranked(), state.best()
    content = {
        "arguments": sweep.argv,
        "versions": versions(),
        "method": sweep.method,
        "metric": {"name": sweep.metric.name, "goal": sweep.metric.goal, "value": "last"},
        "notes": sweep.notes,
        "best": best.run.number if best else None,
        "runs": [
            {
                "run": outcome.run.number,
                "folder": str(outcome.run.cell.folder),
                "settings": outcome.run.settings,
                "value": outcome.value if _is_number(outcome.value) else None,
                "test": outcome.test,
                "base": outcome.base,
                "seconds": outcome.seconds,
            }
            for outcome in ranked
        ],
        "failed": [{"run": number, "says": line} for number, line in state.failed.items()],
    }
    out, files = sweep.out, ["results.md", "results.json"]
    atomic_write(
        out / "results.json", (json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n").encode()
    )
    for name in ("best.yaml", "sweep.png"):  # of a state before this one
        (out / name).unlink(missing_ok=True)
    if best:
        head = f"# Run {best.run.number} of {sweep.path}: {sweep.metric.name} {number(best.value)}. "
        head += "Repeat it with: python train.py config=THIS_FILE\n"
        saved = (best.run.cell.folder / "config.yaml").read_text(encoding="utf-8")  # its run_dir is null
        atomic_write(out / "best.yaml", (head + saved).encode())
        files += ["best.yaml", "sweep.png"] if sweep.varied else ["best.yaml"]
    atomic_write(out / "results.md", markdown(state, "sweep.png" in files).encode())
    if "sweep.png" in files:
        points = [(outcome.run, outcome.value) for outcome in ranked if _is_number(outcome.value)]
        atomic_write(out / "sweep.png", chart(sweep, points))  # type: ignore[arg-type]
    return files


def markdown(state: State, charted: bool) -> str:
    """The text of results.md."""
    sweep, names = state.sweep, [parameter.name for parameter in state.sweep.varied]
    rows = [["", "run", *names, sweep.metric.name, "base", "test", "seconds"]]
    rows.append(["---:", "---:", *["---"] * len(names), *["---:"] * 4])
    for place, found in enumerate(state.ranked(), 1):
        settings = [text(found.run.settings[name]).replace("|", "\\|") for name in names]
        numbers = [number(found.value), number(found.base), number(found.test), f"{found.seconds:.0f}"]
        rows.append([str(place), str(found.run.number), *settings, *numbers])
    done = f"{len(state.outcomes)} of {len(sweep.runs)} runs, {sweep.method} search"
    blocks = [
        f"# Sweep of {sweep.path.name}",
        f"```\npython -m hir sweep {shlex.join(sweep.argv)}\n```",
        f"{done}, to {sweep.metric.goal} {sweep.metric.name}. Made with "
        + ", ".join(f"{name} {number}" for name, number in versions().items())
        + ".",
        *(f"**Note**: {line}." for line in sweep.notes),
        *(f"**Failed**: run {number}: `{line}`" for number, line in state.failed.items()),
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
    ]
    if best := state.best():
        where = f"`python train.py config={shlex.quote(str(sweep.out / 'best.yaml'))}` repeats"
        blocks.append(f"Best: run {best.run.number}, {best.run.cell.arm[2]}. {where} it.")
    if charted:
        blocks.append(f"![Settings and {sweep.metric.name} of each run](sweep.png)")
    notes = NOTES.format(metric=sweep.metric.name, goal=sweep.metric.goal)
    return "\n\n".join([*blocks, "## How to read this", notes])
