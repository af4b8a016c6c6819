"""The numbers of a comparison: what each finished cell gave, and what its seeds say together."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from hir.tools.compare.grid import Cell
from hir.training.run_folder import Row, read_history


@dataclass(frozen=True)
class Reached:
    """The first evaluation at which a run had reached an accuracy."""

    samples: float
    updates: float
    seconds: float
    """Of sampling and training until then."""


@dataclass(frozen=True)
class Result:
    """What a finished cell gave; accuracies are greedy, 0 to 1."""

    task: str
    method: str
    variant: str
    seed: int
    folder: str
    summary: dict[str, Any]
    """The contents of summary.json."""
    p_wrong: float | None
    """The last validation accuracy under the wrong instruction."""
    seconds: float
    """Of sampling and training."""
    area: float | None
    """Mean validation accuracy over the samples drawn."""
    reached: Reached | None
    curve: tuple[tuple[float, float], ...]
    """Samples drawn and validation accuracy, the base's first."""


@dataclass(frozen=True)
class Aggregate:
    """What the finished seeds of an arm say together; means but for ``reached``."""

    task: str
    label: str
    seeds: tuple[int, ...]
    base: float
    """Test accuracy before training."""
    test: float
    test_interval: float | None
    """Half the width of the 95 % interval of ``test``; None for one seed."""
    difference: float | None
    """Mean over the seeds that both have of test accuracy less the first arm's; None for the first arm."""
    difference_interval: float | None
    """Half the width of its 95 % interval, over the differences seed by seed; None for fewer than two."""
    area: float | None
    p_wrong: float | None
    samples: float
    updates: float
    seconds: float
    num_reached: int
    reached: Reached | None
    """Medians over all seeds; None where the median seed did not reach the accuracy."""


def t_quantile(df: int) -> float:
    """The t with P(|T| <= t) = 0.95 for Student's T with df degrees of freedom.

    P by Abramowitz & Stegun, 26.7.3 and 26.7.4, inverted by bisection.
    """
    low, high = 0.0, 20.0
    for _ in range(60):
        t = (low + high) / 2
        angle, odd = math.atan(t / math.sqrt(df)), df % 2
        term, total = math.cos(angle) if odd else 1.0, 0.0
        for k in range(1 + odd, df, 2):
            total += term
            term *= math.cos(angle) ** 2 * k / (k + 1)
        inside = math.sin(angle) * total
        if odd:
            inside = (angle + inside) * 2 / math.pi
        low, high = (t, high) if inside < 0.95 else (low, t)
    return low


def interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % interval of the mean by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    return t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def area(curve: Sequence[tuple[float, float]]) -> float | None:
    """Mean height of a curve of (x, y) over its x by the trapezoid rule; None where it has no width."""
    width = curve[-1][0] - curve[0][0]
    pieces = ((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in zip(curve, curve[1:], strict=False))
    return sum(pieces) / width if width else None


def first_reached(history: Sequence[Row], accuracy: float) -> Reached | None:
    """The first row of metrics.csv with at least a validation accuracy."""
    for row in history:
        if row.get("val/accuracy", 0.0) >= accuracy:
            return Reached(row["samples"], row["updates"], row["seconds"])
    return None


def median_reached(runs: Sequence[Reached | None]) -> Reached | None:
    """The medians of all runs, where one that did not get there counts as later than every other."""

    def middle(name: str) -> float:
        return median([getattr(run, name) if run else math.inf for run in runs])

    samples = middle("samples")
    return Reached(samples, middle("updates"), middle("seconds")) if samples < math.inf else None


def read_result(cell: Cell, reach: float) -> Result:
    """The numbers of a finished cell.

    Args:
        cell: its folder holds summary.json and metrics.csv.
        reach: validation accuracy whose first crossing is wanted.
    """
    summary = json.loads((cell.folder / "summary.json").read_text(encoding="utf-8"))
    history = read_history(cell.folder)
    seconds = summary["seconds"]["sampling"] + summary["seconds"]["training"]
    curve = tuple((row["samples"], row["val/accuracy"]) for row in history if "val/accuracy" in row)
    wrong = [row["val/accuracy_p_wrong"] for row in history if "val/accuracy_p_wrong" in row]
    return Result(
        task=cell.task,
        method=cell.method,
        variant=cell.variant,
        seed=cell.seed,
        folder=str(cell.folder),
        summary=summary,
        p_wrong=wrong[-1] if wrong else None,
        seconds=round(seconds, 2),
        area=area(curve),
        reached=first_reached(history, reach),
        curve=curve,
    )


def paired_differences(results: Sequence[Result], others: Sequence[Result]) -> list[float]:
    """Test accuracy less the other's, for each seed that both have: a seed's rows and base are the same."""
    by_seed = {other.seed: other.summary["test"]["accuracy"] for other in others}
    return [r.summary["test"]["accuracy"] - by_seed[r.seed] for r in results if r.seed in by_seed]


def aggregate(arm: tuple[str, str], results: Sequence[Result], first: Sequence[Result] = ()) -> Aggregate:
    """What an arm's results, at least one, say together, and against the ``first`` arm's."""

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if known else None

    summaries = [result.summary for result in results]
    tests = [summary["test"]["accuracy"] for summary in summaries]
    differences = paired_differences(results, first)
    return Aggregate(
        task=arm[0],
        label=arm[1],
        seeds=tuple(result.seed for result in results),
        base=fmean(summary["base"]["accuracy"] for summary in summaries),
        test=fmean(tests),
        test_interval=interval(tests),
        difference=fmean(differences) if differences else None,
        difference_interval=interval(differences),
        area=mean(result.area for result in results),
        p_wrong=mean(result.p_wrong for result in results),
        samples=fmean(summary["samples"] for summary in summaries),
        updates=fmean(summary["updates"] for summary in summaries),
        seconds=fmean(result.seconds for result in results),
        num_reached=sum(result.reached is not None for result in results),
        reached=median_reached([result.reached for result in results]),
    )


def mean_curve(results: Sequence[Result]) -> list[tuple[float, float, float]]:
    """Samples, mean validation accuracy and half its 95 % interval (0 for one seed), at each evaluation.

    Ends where the shortest of the results' curves does.
    """
    points = []
    for evaluations in zip(*(result.curve for result in results), strict=False):
        samples, accuracies = zip(*evaluations, strict=True)
        points.append((fmean(samples), fmean(accuracies), interval(accuracies) or 0.0))
    return points
