from collections import Counter

import pytest

from hir.config.schema import TaskConfig
from hir.errors import UserError
from hir.records import Example
from hir.tasks.splits import split_rows

Sides = list[tuple[Example, ...]]


def rows_of(sizes: list[int]) -> list[Example]:
    """Rows in groups of the given sizes."""
    places = [(g, i) for g, size in enumerate(sizes) for i in range(size)]
    return [Example(f"group {g} row {i}", ("x",), group=f"g{g}") for g, i in places]


def split(rows: list[Example], split: str = "random", seed: int = 0, test: float = 0.2) -> Sides:
    return split_rows(rows, TaskConfig(name="demo", split=split, test_fraction=test), seed)


@pytest.mark.parametrize("kind", ["random", "grouped"])
def test_a_split_has_the_fractions_keeps_every_row_and_is_a_function_of_the_seed(kind: str) -> None:
    rows = rows_of([2] * 100)
    sides = split(rows, kind)
    assert [len(side) for side in sides] == [140, 20, 40]
    assert Counter(row.query for side in sides for row in side) == Counter(row.query for row in rows)
    assert split(rows, kind) == sides and split(rows, kind, seed=1)[2] != sides[2]


@pytest.mark.parametrize("seed", range(5))
def test_grouped_split_keeps_groups_together(seed: int) -> None:
    sides = split(rows_of([3, 1, 4, 2, 2, 3, 1, 4] * 5), "grouped", seed)
    assert [len(side) for side in sides] == [70, 10, 20]
    assert sum(len({row.group for row in side}) for side in sides) == 40
    # 20 % of 146 is 29: 20 + 7 + 1 = 28 is nearer than any other sum of 52, 66, 20, 7, 1.
    assert len(split(rows_of([52, 66, 20, 7, 1]), "grouped", seed)[2]) == 28


@pytest.mark.parametrize("kind", ["random", "grouped"])
def test_equal_queries_stay_on_one_side(kind: str) -> None:
    rows = [Example(f"query {i % 20}", ("x",)) for i in range(100)]
    assert [len({row.query for row in side}) for side in split(rows, kind)] == [14, 2, 4]
    groups = [[f"own {g} {i}" for i in range(4)] + ["shared"] for g in range(20)]
    rows = [Example(text, ("x",), group=f"g{g}") for g, texts in enumerate(groups) for text in texts]
    assert sum("shared" in {row.query for row in side} for side in split(rows, kind)) == 1


@pytest.mark.parametrize(("rows", "test"), [([3], 0.2), ([3, 3], 0.2), ([1] * 10, 0.89)])
def test_a_split_that_leaves_nothing_to_train_on_is_refused(rows: list[int], test: float) -> None:
    with pytest.raises(UserError, match=rf"the split leaves no rows for training \({sum(rows)} rows"):
        split(rows_of(rows), "grouped", test=test)
