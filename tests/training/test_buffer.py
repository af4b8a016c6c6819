import io
import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from hir.errors import UserError
from hir.records import TrainingExample
from hir.training.buffer import ReplayBuffer


def row(number: int, correct: bool = True, iteration: int = 0) -> TrainingExample:
    instruction = "right" if correct else "wrong"
    return TrainingExample(iteration, f"query {number}", instruction, (number + 2, 1), correct)


def rows(num_right: int, num_wrong: int) -> list[TrainingExample]:
    return [row(i, correct=i < num_right) for i in range(num_right + num_wrong)]


def buffer_of(content: list[TrainingExample], max_wrong_fraction: float | None = None) -> ReplayBuffer:
    buffer = ReplayBuffer(window=1, max_wrong_fraction=max_wrong_fraction, deduplicate=True)
    buffer.extend(0, content)
    return buffer


def wrong_counts(plan: list[TrainingExample], batch_size: int) -> list[int]:
    """Wrong rows in each batch of the plan."""
    starts = range(0, len(plan), batch_size)
    return [sum(not r.correct for r in plan[start : start + batch_size]) for start in starts]


@pytest.mark.parametrize(("window", "kept"), [(1, [4]), (2, [3, 4]), (4, [1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])])
def test_window_keeps_the_newest_iterations(window: int, kept: list[int]) -> None:
    buffer = ReplayBuffer(window, None, deduplicate=True)
    for iteration in range(5):
        buffer.extend(iteration, [row(iteration, iteration=iteration)])
    assert [r.iteration for r in buffer.rows()] == kept


def test_window_zero_keeps_all() -> None:
    buffer = ReplayBuffer(0, None, deduplicate=True)
    for iteration in range(20):
        buffer.extend(iteration, [row(0, iteration=iteration)])
    assert [r.iteration for r in buffer.rows()] == list(range(20))


def test_window_counts_iterations_and_not_entries() -> None:
    buffer = ReplayBuffer(3, None, deduplicate=True)
    for iteration in (0, 1, 5):
        buffer.extend(iteration, [row(iteration, iteration=iteration)])
    assert [r.iteration for r in buffer.rows()] == [5]  # 3 and 4 were never sampled


def test_newest() -> None:
    buffer = ReplayBuffer(2, None, deduplicate=True)
    assert buffer.newest == -1
    buffer.extend(0, [])
    assert buffer.newest == 0
    buffer.extend(7, [row(0)])
    assert buffer.newest == 7


def test_an_iteration_put_in_again_replaces_its_rows() -> None:
    buffer = ReplayBuffer(2, None, deduplicate=True)
    buffer.extend(0, [row(0)])
    buffer.extend(1, [row(1), row(2)])
    buffer.extend(1, [row(3)])
    assert buffer.rows() == [row(0), row(3)]


def test_deduplicate_drops_equal_rows_and_keeps_their_order() -> None:
    relabeled = replace(row(0), instruction="wrong", correct=False)
    other_answer = replace(row(0), output_ids=(9, 1))
    content = [row(1), row(0), row(1), relabeled, other_answer, row(0)]
    assert buffer_of(content).rows() == [row(1), row(0), relabeled, other_answer]


def test_without_deduplicate_repeats_stay() -> None:
    buffer = ReplayBuffer(1, None, deduplicate=False)
    buffer.extend(0, [row(0), row(0)])
    assert buffer.rows() == [row(0), row(0)]


@pytest.mark.parametrize(
    ("num_right", "num_wrong", "cap", "wrong_a_batch"),
    [
        (6, 18, 0.5, [4, 4, 4, 4]),  # 75 % are wrong: capped at half
        (6, 18, 0.25, [2, 2, 2, 2]),
        (6, 18, 0.3, [2, 2, 3, 2]),  # 2.4 a batch: 2.4, 4.8, 7.2 and 9.6 in all, rounded down
        (15, 5, 0.5, [2, 2, 2, 2]),  # 25 % are wrong, fewer than the cap: their share
        (15, 5, 0.0, [0, 0, 0, 0]),
        (2, 6, 1.0, [6, 6, 6, 6]),  # a cap of 1 caps nothing
        (0, 3, 0.25, [8, 8, 8, 8]),  # nothing right to fill the batch with
    ],
)
def test_each_batch_has_the_same_share_of_wrong_rows_up_to_the_cap(
    num_right: int, num_wrong: int, cap: float, wrong_a_batch: list[int]
) -> None:
    plan = buffer_of(rows(num_right, num_wrong), cap).plan(4, 8, random.Random(0))
    assert len(plan) == 32
    assert wrong_counts(plan, 8) == wrong_a_batch


def test_without_a_cap_rows_come_as_they_are() -> None:
    plan = buffer_of(rows(2, 6)).plan(3, 8, random.Random(0))
    # 8 rows and batches of 8: each batch is a pass over all.
    assert wrong_counts(plan, 8) == [6, 6, 6]
    assert Counter(plan) == {r: 3 for r in rows(2, 6)}


@pytest.mark.parametrize("cap", [None, 0.25])
@pytest.mark.parametrize(("num_right", "num_wrong"), [(0, 3), (3, 0)])
def test_rows_of_one_class_fill_the_batch(num_right: int, num_wrong: int, cap: float | None) -> None:
    content = rows(num_right, num_wrong)
    plan = buffer_of(content, cap).plan(2, 6, random.Random(0))
    assert Counter(plan) == {r: 4 for r in content}  # 12 places for 3 rows


@pytest.mark.parametrize(
    ("content", "cap", "said"),
    [
        ([], None, "0 rows in the buffer, 0 of them correct"),
        ([], 0.5, "0 rows in the buffer"),
        (rows(0, 3), 0.0, "3 rows in the buffer, 0 of them correct, buffer.max_wrong_fraction=0.0"),
    ],
)
def test_nothing_to_train_on_is_an_error(
    content: list[TrainingExample], cap: float | None, said: str
) -> None:
    buffer = ReplayBuffer(1, cap, deduplicate=True)
    buffer.extend(4, content)
    with pytest.raises(UserError, match="nothing to train on in iteration 4: ") as error:
        buffer.plan(1, 8, random.Random(0))
    assert said in str(error.value) and "sampling.num_samples" in str(error.value)


@pytest.mark.parametrize("cap", [0.5, 0.25, 0.4, None])
def test_no_row_comes_twice_before_each_of_its_class_came_once(cap: float | None) -> None:
    plan = buffer_of(rows(4, 7), cap).plan(20, 7, random.Random(0))
    for correct, number in ((True, 4), (False, 7)):
        of_class = [r.query for r in plan if r.correct == correct]
        starts = range(0, len(of_class) - number + 1, number)
        assert len(starts) > 4
        assert all(len(set(of_class[start : start + number])) == number for start in starts)


def test_rows_of_a_query_stand_together_within_a_pass() -> None:
    content = [
        replace(row(number, correct=number % 3 == answer), output_ids=(answer + 2, 1))
        for answer in range(3)
        for number in range(20)
    ]  # 3 answers to each of 20 queries, far from each other in the buffer
    plan = buffer_of(content).plan(2, 60, random.Random(0))
    for one_pass in (plan[:60], plan[60:]):
        queries = [r.query for r in one_pass]
        changes = sum(left != right for left, right in zip(queries, queries[1:], strict=False))
        assert changes == 19 and Counter(queries) == {f"query {number}": 3 for number in range(20)}


def test_ungrouped_rows_of_a_query_stand_anywhere_in_a_pass() -> None:
    content = [
        replace(row(number), output_ids=(answer + 2, 1)) for answer in range(3) for number in range(20)
    ]
    buffer = ReplayBuffer(window=1, max_wrong_fraction=None, deduplicate=True, group=False)
    buffer.extend(0, content)
    plan = buffer.plan(2, 60, random.Random(0))
    for one_pass in (plan[:60], plan[60:]):
        assert sorted(one_pass, key=content.index) == content
        changes = sum(a.query != b.query for a, b in zip(one_pass, one_pass[1:], strict=False))
        assert changes > 45  # 19 if grouped, 57 expected of a random order


def test_rows_of_a_query_and_a_class_stand_together_where_classes_are_balanced() -> None:
    content = [
        replace(row(number, correct=answer % 2 == 0), output_ids=(answer + 2, 1))
        for answer in range(4)
        for number in range(8)
    ]
    plan = buffer_of(content, 0.5).plan(4, 8, random.Random(0))
    for correct in (True, False):
        queries = [r.query for r in plan if r.correct == correct]
        assert queries[::2] == queries[1::2] and len(set(queries)) == 8


def test_passes_are_shuffled() -> None:
    content = rows(40, 40)
    plan = buffer_of(content, 0.5).plan(2, 80, random.Random(0))
    assert plan[:80] != content and plan[:80] != plan[80:]
    right = [r for r in plan if r.correct]
    assert right[:40] != content[:40] and right[:40] != right[40:]


def test_the_plan_is_a_function_of_the_generator() -> None:
    buffer = buffer_of(rows(10, 10), 0.5)
    first = buffer.plan(4, 8, random.Random(1))
    assert first == buffer.plan(4, 8, random.Random(1))
    assert first != buffer.plan(4, 8, random.Random(2))


def test_state_survives_a_safe_checkpoint() -> None:
    buffer = ReplayBuffer(3, 0.5, deduplicate=True)
    full = TrainingExample(
        iteration=1,
        query="Wie viele Äpfel?\n(A) 1 😀",
        instruction="right",
        output_ids=(5, 6, 1),
        correct=False,
        contrast=("wrong", "other"),
        weight=0.25,
        prefix_ids=(3, 4),
        prompt_suffix="there are",
    )
    buffer.extend(0, [row(0), row(1, correct=False)])
    buffer.extend(1, [full])
    file = io.BytesIO()
    torch.save(buffer.state_dict(), file)
    file.seek(0)
    restored = ReplayBuffer(3, 0.5, deduplicate=True)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert restored.rows() == [row(0), row(1, correct=False), full]
    assert restored.newest == 1
    assert len(set(restored.rows())) == 3  # still hashable, as deduplication needs
    assert restored.plan(3, 4, random.Random(0)) == buffer.plan(3, 4, random.Random(0))
