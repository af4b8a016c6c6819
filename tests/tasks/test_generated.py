"""What holds for every generated task; tests/tasks/generated/ has the answers of each."""

import random
from dataclasses import replace

import pytest

from hir.config.schema import TaskConfig
from hir.errors import UserError
from hir.records import Example
from hir.tasks.base import GENERATORS, generated_task, is_pretraining, load_task

NAMES = sorted(GENERATORS.modules())


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_a_function_of_seed_and_index_and_right_by_the_tasks_own_judge(name: str) -> None:
    one, other = generated_task(name, {}), generated_task(name, {})
    random.seed(1)
    rows = [one.row(3, i) for i in range(200)]
    random.seed(2)
    assert [other.row(3, i) for i in reversed(range(200))] == rows[::-1]
    assert one.row(4, 0) != rows[0]
    for row in rows:
        assert row.query == row.query.strip()
        right, wrong = one.feedback()([row] * 2, [row.targets[0], ""])
        assert right.correct and not wrong.correct


@pytest.mark.parametrize("name", NAMES)
def test_splits_are_sized_disjoint_and_deterministic(name: str) -> None:
    config = TaskConfig(name=name, num_train=300, num_validation=40, num_test=50)
    task = load_task(config, seed=0)
    assert (len(task.train), len(task.validation), len(task.test)) == (300, 40, 50)
    assert len(set(map(question, task.rows))) == 390  # other options make no other row
    assert load_task(config, seed=0) == task
    assert load_task(config, seed=1).test != task.test
    assert load_task(replace(config, seed=1), seed=0) == load_task(config, seed=1)
    longer = load_task(replace(config, num_train=500), seed=0)
    assert (longer.test, longer.validation, longer.train[:300]) == (task.test, task.validation, task.train)


def question(row: Example) -> str:
    """What is asked, without the options."""
    return row.asked if row.constraints else row.query.partition("\nOptions:")[0]


def is_base(row: Example) -> bool:
    """Whether a row is for pre-training: of instructions those with one constraint are, by design."""
    return len(row.constraints) == 1 if row.constraints else is_pretraining(row.query)


@pytest.mark.parametrize("name", NAMES)
def test_pretraining_rows_never_meet_task_rows(name: str) -> None:
    generator = generated_task(name, {})
    pretraining = generator.pretraining_rows(0, 400)
    # One constraint comes again, with another answer.
    assert name == "instructions" or len({row.query for row in pretraining}) == 400
    assert len(pretraining) == 400 and all(map(is_base, pretraining))
    assert generator.pretraining_rows(0, 100) == pretraining[:100]
    for seed in range(3):
        rows = generator.splits(seed, 400, 10, 10).rows
        assert not any(map(is_base, rows)) and {*map(question, rows)}.isdisjoint(map(question, pretraining))


def test_about_a_quarter_of_queries_are_for_pretraining() -> None:
    assert 2300 < sum(is_pretraining(f"query {i}") for i in range(10_000)) < 2700


def test_more_queries_than_there_are_is_refused() -> None:
    # One thing, counted once: 4 categories of 8 things and 40 objects, 72 queries, some for pre-training.
    ones = dict.fromkeys(("min_items", "max_items", "max_count", "max_answer"), 1)
    generator = generated_task("object_counting", {**ones, "max_distractors": 0, "all_things": False})
    queries = {generator.row(9, i).query for i in range(3000)}
    wanted = sum(not is_pretraining(query) for query in queries)
    assert len(queries) == 72 and len(generator.splits(0, wanted - 4, 2, 2).train) == wanted - 4
    with pytest.raises(UserError, match=f"of 505 different .* give about {wanted}: widen"):
        generator.splits(0, 500, 2, 3)
    with pytest.raises(UserError, match=f"of 73 different .* give about {72 - wanted}: widen"):
        generator.pretraining_rows(0, 73)


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="max_item is no setting of object_counting: did you mean .*items"):
        generated_task("object_counting", {"max_item": 3})
    with pytest.raises(UserError, match="max_items must be an integer in .1, 14., not 'few'$"):
        generated_task("object_counting", {"max_items": "few"})
