"""Interleaved timing, and rows of results: seconds differ between machines, ratios within one run less."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

OURS = "hir"
Run = Callable[[], object]
THREADS = torch.get_num_threads()
"""Read once, and set before each call: CTranslate2 changes torch's number when it loads a model."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    section: str
    case: str
    """What was done: model, sizes."""
    against: str
    """The peer; empty where there is none."""
    unit: str
    ours: float
    """Median over repeats."""
    theirs: float | None = None
    ratio: float | None = None
    """Median over the repeats of theirs / ours; above 1 is in our favour."""
    spread: tuple[float, float] | None = None
    """Least and largest ratio of a repeat, or least and largest of ours where there is no peer."""
    bar: float | None = None
    """What the ratio should reach, on 2 CPU cores."""
    note: str = ""


def synchronize() -> None:
    """Wait for what was asked of the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(run: Run) -> float:
    """Wall clock of one call."""
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def best_threads(run: Run) -> int:
    """1 or all threads of torch, whichever ran faster after a warm-up."""
    times = {}
    for threads in sorted({1, THREADS}):
        tries = []
        for _ in range(3):
            torch.set_num_threads(threads)
            tries.append(seconds(run))
        times[threads] = min(tries[1:])
    torch.set_num_threads(THREADS)
    return min(times, key=lambda threads: times[threads])


def interleave(runs: Mapping[str, Run], repeats: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each call by name, taken in turn A, B, ..., A, B, ..., and torch threads by name.

    Our own code runs with torch's default number of threads, as a user has it; a peer with 1 or with all,
    whichever suits it.
    """
    threads = {}
    for name, run in runs.items():
        torch.set_num_threads(THREADS)
        if name.startswith(OURS):
            run(), run()  # warm-up
            threads[name] = THREADS
        else:
            threads[name] = best_threads(run)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            torch.set_num_threads(threads[name])
            times[name].append(seconds(run))
    torch.set_num_threads(THREADS)
    return times, threads


def compared(
    section: str,
    case: str,
    against: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    unit: str = "s",
    bar: float | None = None,
    note: str = "",
) -> Row:
    """A row of the ratios, repeat by repeat."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return Row(
        section=section,
        case=case,
        against=against,
        unit=unit,
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        ratio=statistics.median(ratios),
        spread=(min(ratios), max(ratios)),
        bar=bar,
        note=note,
    )


def alone(section: str, case: str, values: Sequence[float], unit: str = "s", note: str = "") -> Row:
    """A row without a peer."""
    spread = (min(values), max(values))
    return Row(section, case, "", unit, statistics.median(values), spread=spread, note=note)


def print_table(console: Console, section: str, rows: Sequence[Row]) -> None:
    """The rows of a section."""
    table = Table(title=section, title_justify="left", title_style="bold")
    for name in ("case", "against", "unit", "hir", "peer", "ratio", "spread", "bar", "note"):
        right = name in ("hir", "peer", "ratio", "spread", "bar")
        table.add_column(name, justify="right" if right else "left", no_wrap=right)
    for row in rows:
        missed = row.bar is not None and row.ratio is not None and row.ratio < row.bar
        colour = "red" if missed else "green" if row.bar is not None else "none"
        table.add_row(
            row.case,
            row.against,
            row.unit,
            _number(row.ours),
            _number(row.theirs),
            f"[{colour}]{row.ratio:.2f}[/]" if row.ratio is not None else "",
            f"{_number(row.spread[0])}..{_number(row.spread[1])}" if row.spread else "",
            _number(row.bar),
            row.note,
        )
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]
