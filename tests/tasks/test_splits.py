from collections import Counter

import pytest

from hir.errors import UserError
from hir.records import Example
from hir.tasks.splits import Sides, split_rows


def rows_of(sizes: list[int]) -> list[Example]:
    """Rows in groups of the given sizes."""
    return [
        Example(f"group {g} row {i}", ("x",), group=f"g{g}") for g, n in enumerate(sizes) for i in range(n)
    ]


def split(rows: list[Example], grouped: bool = False, seed: int = 0, test: float = 0.2) -> Sides:
    return split_rows(
        rows, seed=seed, test_fraction=test, validation_fraction=0.1, grouped=grouped, name="demo"
    )


def test_random_split_has_the_fractions_is_disjoint_and_keeps_every_row() -> None:
    rows = rows_of([1] * 250)
    sides = split(rows)
    assert [len(side) for side in sides] == [175, 25, 50]
    assert Counter(row.query for side in sides for row in side) == Counter(row.query for row in rows)


def test_split_is_a_function_of_the_seed() -> None:
    rows = rows_of([2] * 50)
    assert split(rows) == split(rows)
    assert split(rows)[2] != split(rows, seed=1)[2]
    assert split(rows, grouped=True) == split(rows, grouped=True)
    assert split(rows, grouped=True)[2] != split(rows, grouped=True, seed=1)[2]


@pytest.mark.parametrize("seed", range(5))
def test_grouped_split_keeps_groups_together(seed: int) -> None:
    sides = split(rows_of([3, 1, 4, 2, 2, 3, 1, 4] * 5), grouped=True, seed=seed)
    assert [len(side) for side in sides] == [70, 10, 20]
    groups = [{row.group for row in side} for side in sides]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


@pytest.mark.parametrize("seed", range(5))
def test_grouped_sizes_are_as_near_as_possible(seed: int) -> None:
    # 20 % of 146 is 29: 20 + 7 + 1 = 28 is nearer than any other sum of 52, 66, 20, 7, 1.
    sides = split(rows_of([52, 66, 20, 7, 1]), grouped=True, seed=seed)
    assert len(sides[2]) == 28


@pytest.mark.parametrize("grouped", [False, True])
def test_equal_queries_stay_on_one_side(grouped: bool) -> None:
    rows = [Example(f"query {i % 20}", ("x",)) for i in range(100)]
    queries = [{row.query for row in side} for side in split(rows, grouped)]
    assert [len(q) for q in queries] == [14, 2, 4]


@pytest.mark.parametrize(("rows", "test"), [([3], 0.2), ([3, 3], 0.2), ([], 0.2), ([1] * 10, 0.99)])
def test_an_empty_side_is_refused(rows: list[int], test: float) -> None:
    message = rf"task demo: the split leaves the training side empty \({sum(rows)} rows"
    with pytest.raises(UserError, match=message):
        split(rows_of(rows), grouped=True, test=test)
