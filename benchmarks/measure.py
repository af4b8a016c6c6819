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
REST = 0.05
"""Seconds before each call: threads spin for a while after their library's work, and must not slow the next
one's. To forbid the spinning (OMP_WAIT_POLICY=PASSIVE) would halve torch's speed, ours and generate's."""
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

    @property
    def met(self) -> bool | None:
        """Whether the ratio reaches the bar; None without one."""
        return None if self.bar is None or self.ratio is None else self.ratio >= self.bar


def synchronize() -> None:
    """Wait for what was asked of the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(run: Run, rest: float = 0.0) -> float:
    """Wall clock of one call, after a rest."""
    synchronize()
    time.sleep(rest)
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def best_threads(run: Run) -> int:
    """1 or all threads of torch, whichever ran faster after a warm-up."""
    times = {}
    for threads in sorted({1, THREADS}):
        tries = []
        for _ in range(2):
            torch.set_num_threads(threads)
            tries.append(seconds(run, REST))
        times[threads] = tries[1]
    torch.set_num_threads(THREADS)
    return min(times, key=lambda threads: times[threads])


def interleave(
    runs: Mapping[str, Run], repeats: int, warm_up: int = 2
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each call by name, taken in turn A, B, ..., A, B, ..., and torch threads by name.

    Our own code runs with torch's default number of threads, as a user has it; a peer with 1 or with all,
    whichever suits it.
    """
    threads = {}
    for name, run in runs.items():
        torch.set_num_threads(THREADS)
        if name.startswith(OURS):
            for _ in range(warm_up):
                run()
            threads[name] = THREADS
        else:
            threads[name] = best_threads(run)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            torch.set_num_threads(threads[name])
            times[name].append(seconds(run, REST))
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
        colour = {True: "green", False: "red", None: "none"}[row.met]
        table.add_row(
            row.case,
            row.against,
            row.unit,
            _number(row.ours),
            _number(row.theirs),
            f"[{colour}]{row.ratio:.2f}[/]" if row.ratio is not None else "",
            f"{_number(row.spread[0])}..{_number(row.spread[1])}" if row.spread else "",
            _number(row.bar) + ("  BELOW" if row.met is False else ""),
            row.note,
        )
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows for a file."""
    return [{**asdict(row), "met": row.met} for row in rows]
