import random
from collections import Counter
from dataclasses import replace

import pytest

from hir.config.schema import BufferConfig
from hir.records import TrainingExample
from hir.training.buffer import ReplayBuffer


def row(number: int, correct: bool = True, iteration: int = 0, answer: int = 2) -> TrainingExample:
    instruction = "right" if correct else "wrong"
    return TrainingExample(iteration, f"query {number}", instruction, (answer, 1), correct)


def rows(num_right: int, num_wrong: int) -> list[TrainingExample]:
    return [row(i, correct=i < num_right) for i in range(num_right + num_wrong)]


def buffer_of(content: list[TrainingExample], cap: float | None = None, **options: bool) -> ReplayBuffer:
    buffer = ReplayBuffer(BufferConfig(max_wrong_fraction=cap, **options))
    buffer.extend(0, content)
    return buffer


@pytest.mark.parametrize(
    ("window", "kept"), [(1, [6]), (2, [6]), (3, [4, 6]), (5, [2, 3, 4, 6]), (0, [0, 1, 2, 3, 4, 6])]
)
def test_the_window_counts_iterations_back_from_the_newest(window: int, kept: list[int]) -> None:
    buffer = ReplayBuffer(BufferConfig(window=window))
    for iteration in (0, 1, 2, 3, 4, 6):  # 5 was never sampled
        buffer.extend(iteration, [row(iteration, iteration=iteration)])
    assert [r.iteration for r in buffer.rows()] == kept


def test_deduplicate_drops_equal_rows_and_keeps_their_order() -> None:
    relabeled = replace(row(0), instruction="wrong", correct=False)
    content = [row(1), row(0), row(1), relabeled, row(0, answer=9), row(0)]
    assert buffer_of(content).rows() == [row(1), row(0), relabeled, row(0, answer=9)]
    assert buffer_of(content, deduplicate=False).rows() == content


@pytest.mark.parametrize(
    ("num_right", "num_wrong", "cap", "wrong_a_batch"),
    [
        (6, 18, 0.25, [2, 2, 2, 2]),  # 75 % are wrong: capped at a quarter
        (6, 18, 0.3, [2, 2, 3, 2]),  # 2.4 a batch: 2.4, 4.8, 7.2 and 9.6 in all, rounded down
        (15, 5, 0.5, [2, 2, 2, 2]),  # 25 % are wrong, fewer than the cap: their share
        (15, 5, 0.0, [0, 0, 0, 0]),
        (2, 6, 1.0, [6, 6, 6, 6]),  # a cap of 1 caps nothing
        (0, 4, 0.25, [8, 8, 8, 8]),  # nothing right to fill the batch with
        (4, 0, 0.25, [0, 0, 0, 0]),
        (2, 6, None, [6, 6, 6, 6]),  # as they come: each batch is a pass over all
    ],
)
def test_each_batch_has_the_same_share_of_wrong_rows_up_to_the_cap(
    num_right: int, num_wrong: int, cap: float | None, wrong_a_batch: list[int]
) -> None:
    plan = buffer_of(rows(num_right, num_wrong), cap).plan(4, 8, random.Random(0))
    assert len(plan) == 32
    assert [sum(not r.correct for r in plan[start : start + 8]) for start in (0, 8, 16, 24)] == wrong_a_batch


@pytest.mark.parametrize(("num_wrong", "cap"), [(0, 0.5), (3, 0.0)])
def test_without_rows_that_are_wanted_there_is_no_plan(num_wrong: int, cap: float) -> None:
    assert buffer_of(rows(0, num_wrong), cap).plan(1, 8, random.Random(0)) == []


@pytest.mark.parametrize("cap", [0.5, 0.4, None])
def test_no_row_comes_twice_before_each_of_its_class_came_once(cap: float | None) -> None:
    plan = buffer_of(rows(4, 7), cap).plan(20, 7, random.Random(0))
    for correct, number in ((True, 4), (False, 7)):
        of_class = [r.query for r in plan if r.correct == correct]
        starts = range(0, len(of_class) - number + 1, number)
        assert len(starts) > 4
        assert all(len(set(of_class[start : start + number])) == number for start in starts)


@pytest.mark.parametrize("group", [True, False])
def test_rows_of_a_query_stand_together_within_a_pass_where_they_are_grouped(group: bool) -> None:
    content = [row(number, answer=answer) for answer in range(2, 5) for number in range(20)]
    plan = buffer_of(content, group=group).plan(2, 60, random.Random(0))
    for one_pass in (plan[:60], plan[60:]):
        assert Counter(one_pass) == Counter(content)
        changes = sum(a.query != b.query for a, b in zip(one_pass, one_pass[1:], strict=False))
        assert changes == 19 if group else changes > 45  # 57 expected of a random order


def test_passes_are_shuffled_by_the_generator_alone() -> None:
    buffer = buffer_of(rows(40, 40), 0.5)
    plan = buffer.plan(2, 80, random.Random(1))
    assert plan == buffer.plan(2, 80, random.Random(1)) != buffer.plan(2, 80, random.Random(2))
    right = [r for r in plan if r.correct]
    assert right[:40] != rows(40, 0) and right[:40] != right[40:]
