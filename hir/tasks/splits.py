"""Splitting the rows of a file into three disjoint sides, by row or by scenario."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from hir.errors import UserError
from hir.records import Example

Sides = tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]


def split_rows(
    rows: Sequence[Example],
    *,
    seed: int,
    test_fraction: float,
    validation_fraction: float,
    grouped: bool,
    name: str,
) -> Sides:
    """Train, validation and test rows, each in the order of the file; a function of the arguments only.

    Rows with equal queries stay on one side, so the sides are disjoint; with ``grouped`` so do the rows
    of one ``Example.group``. Sizes are as near to the fractions of all rows as that allows.
    Raises UserError where a side would be empty.
    """
    units: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        units[row.group if grouped and row.group else " ".join(row.query.split())].append(i)
    order = list(units.values())
    random.Random(f"split/{seed}").shuffle(order)
    test, order = _take(order, max(1, round(test_fraction * len(rows))))
    validation, order = _take(order, max(1, round(validation_fraction * len(rows))))
    sides = {"training": [i for unit in order for i in unit], "validation": validation, "test": test}
    for side, indices in sides.items():
        if not indices:
            raise UserError(
                f"task {name}: the split leaves the {side} side empty ({len(rows)} rows in {len(units)} "
                f"{'scenarios' if grouped else 'different queries'}): change task.test_fraction, "
                "task.validation_fraction or task.split"
            )
    train_rows, validation_rows, test_rows = (tuple(rows[i] for i in sorted(s)) for s in sides.values())
    return train_rows, validation_rows, test_rows


def _take(units: list[list[int]], goal: int) -> tuple[list[int], list[list[int]]]:
    """The rows of a set of units whose number is as near to the goal as can be, and the other units."""
    if not units:
        return [], []
    largest = max(map(len, units))
    # All but the last stretch is filled in order: exact search is needed only near the goal.
    start = total = 0
    while start < len(units) and goal - total > 20 * largest:
        total += len(units[start])
        start += 1
    # reached[size] = (last unit taken, size before it): the classic subset sum.
    reached: dict[int, tuple[int, int]] = {total: (-1, total)}
    for i in range(start, len(units)):
        if goal in reached:
            break
        for size in [s for s in reached if s < goal]:
            reached.setdefault(size + len(units[i]), (i, size))
    size = min((s for s in reached if s > 0), key=lambda s: (abs(s - goal), s))
    chosen = set(range(start))
    while size > total:
        i, size = reached[size]
        chosen.add(i)
    rows = [row for i in sorted(chosen) for row in units[i]]
    return rows, [unit for i, unit in enumerate(units) if i not in chosen]
