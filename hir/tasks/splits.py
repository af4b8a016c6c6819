"""Splitting the rows of a file into three disjoint sides, by row or by scenario."""

import random
from collections import defaultdict
from collections.abc import Sequence

from hir.config.schema import TaskConfig
from hir.errors import UserError
from hir.records import Example


def split_rows(rows: Sequence[Example], config: TaskConfig, seed: int) -> list[tuple[Example, ...]]:
    """Train, validation and test rows, each in the order of the file; a function of the arguments only.

    Rows with equal queries stay on one side, so the sides are disjoint; with ``task.split=grouped`` so do the
    rows of one ``Example.group``, but for a query that an earlier group has, too. Sizes are as near to the
    fractions of all rows as that allows. Raises UserError where nothing is left for training.
    """
    units, unit_of = defaultdict[str, list[int]](list), dict[str, str]()
    for i, row in enumerate(rows):
        query = " ".join(row.query.split())
        unit = row.group if config.split == "grouped" and row.group else query
        units[unit_of.setdefault(query, unit)].append(i)
    order = list(units.values())
    random.Random(f"split/{seed}").shuffle(order)
    test, order = _take(order, max(1, round(config.test_fraction * len(rows))))
    validation, order = _take(order, max(1, round(config.validation_fraction * len(rows))))
    if not order:
        few = f"({len(rows)} rows with {len(units)} different queries or scenarios)"
        how = "change task.test_fraction, validation_fraction or split"
        raise UserError(f"task {config.name}: the split leaves no rows for training {few}: {how}")
    train = [i for unit in order for i in unit]
    return [tuple(rows[i] for i in sorted(side)) for side in (train, validation, test)]


def _take(units: list[list[int]], goal: int) -> tuple[list[int], list[list[int]]]:
    """The rows of a set of units whose number is as near to the goal as can be, and the other units."""
    largest = max(map(len, units), default=0)
    # All but the last stretch is filled in order: exact search is needed only near the goal.
    start = total = 0
    while goal - total > 20 * largest > 0:
        total += len(units[start])
        start += 1
    # The classic subset sum: by size, the units taken besides.
    reached: dict[int, tuple[int, ...]] = {total: ()}
    for i in range(start, len(units)):
        if goal in reached:
            break
        for size in [s for s in reached if s < goal]:
            reached.setdefault(size + len(units[i]), (*reached[size], i))
    size = min((s for s in reached if s), key=lambda s: (abs(s - goal), s), default=0)
    chosen = {*range(start), *reached[size]}
    rows = [row for i in sorted(chosen) for row in units[i]]
    return rows, [unit for i, unit in enumerate(units) if i not in chosen]
