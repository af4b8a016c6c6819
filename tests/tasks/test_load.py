"""Finding files in a folder, and load_task on them."""

import json
from pathlib import Path
from typing import Any

import pytest

from hir.config.schema import Config, EvaluationConfig, TaskConfig
from hir.errors import UserError
from hir.tasks.base import Task, load_task
from hir.tasks.files import find_file
from hir.training.build import load_tasks


def write(path: Path, rows: list[dict[str, Any]], **keys: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"examples": rows, **keys}))
    return path


def tracking_rows(num_stories: int) -> list[dict[str, Any]]:
    """Rows like BIG-Bench Hard's tracking_shuffled_objects: each story asks after all three people."""
    options = "Options:\n(A) red ball\n(B) blue ball\n(C) green ball"
    story = "Alice, Bob, and Claire are playing. Alice has a red ball.\nFirst, Bob and Claire swap {} times."
    return [
        {"input": f"{story.format(i)} At the end of the game, {who} has the\n{options}", "target": target}
        for i in range(num_stories)
        for who, target in (("Alice", "(A)"), ("Bob", "(C)"), ("Claire", "(B)"))
    ]


def load(folder: Path, name: str, **keys: Any) -> Task:
    return load_task(TaskConfig(name=name, data_dir=str(folder), **keys), seed=0)


NAME = "tracking_shuffled_objects_three_objects"


@pytest.mark.parametrize("place", [f"{NAME}.json", "tracking_shuffled_objects/three_objects/task.json"])
def test_files_are_found_in_every_layout(tmp_path: Path, place: str) -> None:
    path = write(tmp_path / place, tracking_rows(1))
    assert find_file(str(tmp_path), NAME) == path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("riddle", r"holds no file of task riddle: did you mean riddles\?"),
        ("logical_deduction_fife_objects", "did you mean logical_deduction_five_objects"),
        ("zzz", "there are logical_deduction_five_objects, riddles"),
        ("../data/riddles", r"holds no file of task \.\./data/riddles"),  # a name cannot leave the folder
    ],
)
def test_a_missing_file_gets_a_hint(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path / "data/logical_deduction/five_objects/task.json", [])
    write(tmp_path / "data/riddles.json", [])
    with pytest.raises(UserError, match=message):
        find_file(str(tmp_path / "data"), name)


def test_either_format_is_known_by_its_content(tmp_path: Path) -> None:
    write(tmp_path / "hard.json", tracking_rows(10))
    scores = [{"input": f"Which is {i}?", "target_scores": {"x": i % 2, "y": 1 - i % 2}} for i in range(30)]
    write(tmp_path / "native/task.json", scores, task_prefix="Choose.")
    for name, source in (("hard", "bigbench"), ("native", "bbh"), ("native", None)):
        task = load(tmp_path, name, source=source)
        assert (len(task.train), len(task.validation), len(task.test)) == (21, 3, 6)
        assert all(task.verify(row, row.targets[0]) for row in task.test)


def test_a_file_goes_before_a_generator_where_data_dir_is_given(tmp_path: Path) -> None:
    write(tmp_path / "object_counting.json", tracking_rows(10))
    assert len(load(tmp_path, "object_counting").train) == 21
    assert len(load(tmp_path, "object_counting", source="generated", num_train=15).train) == 15


def test_grouped_split_keeps_a_story_on_one_side(tmp_path: Path) -> None:
    write(tmp_path / "tracking.json", tracking_rows(20))
    for split, shared in (("grouped", False), ("random", True)):
        task = load(tmp_path, "tracking", split=split)
        assert (len(task.train), len(task.validation), len(task.test)) == (42, 6, 12)
        assert bool({row.group for row in task.train} & {row.group for row in task.test}) is shared


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(UserError, match="unknown task 'object_countng'.*: did you mean object_counting"):
        load_task(TaskConfig(name="object_countng"), seed=0)
    for name in ("date_understandin", "my_tasks.halving"):
        with pytest.raises(UserError, match=f"task.name={name}: .* holds .*object_counting.* no module is"):
            load_task(TaskConfig(name=name, source="generated"), seed=0)


def test_any_file_is_a_task_with_so_many_training_queries_and_no_more(tmp_path: Path) -> None:
    write(tmp_path / "plus.json", [{"input": f"{i} + 1?", "target": str(i + 1)} for i in range(100)])
    task = load(tmp_path, "plus")
    # 100 less 20 for the test less 10 for validation.
    assert (task.name, len(task.train), len(task.validation), len(task.test)) == ("plus", 70, 10, 20)
    assert load(tmp_path, "plus") == task
    few = load(tmp_path, "plus", num_train=30)
    assert (few.train, few.test) == (task.train[:30], task.test)
    with pytest.raises(UserError, match="task.num_train must be at most 70, the training rows of plus"):
        load(tmp_path, "plus", num_train=71)


def test_rows_that_cannot_be_used_are_left_out_and_told(tmp_path: Path) -> None:
    rows = [{"input": f"{i} + 1?", "target": str(i + 1)} for i in range(39)]
    write(tmp_path / "sums.json", [*rows, {"input": "", "target": "1"}])
    task = load(tmp_path, "sums")
    assert len(task.rows) == 39
    left_out = "1 of 40 rows of sums cannot be used and are left out: the first is example 40, empty input"
    assert task.notes == (left_out,)
    with pytest.raises(UserError, match="example 40 of 40: empty input"):
        load(tmp_path, "sums", bad_rows="refuse")


@pytest.mark.parametrize("seed", range(4))
def test_constraints_judge_wherever_their_row_falls(tmp_path: Path, seed: int) -> None:
    no_comma = {"text": "no comma", "kind": "punctuation:no_comma", "arguments": {}}
    rows = [{"input": f"{i}?", "target": str(i)} for i in range(10)]
    write(tmp_path / "mine.json", [*rows, {"input": "List.", "target": "a,b", "constraints": [no_comma]}])
    task = load_task(TaskConfig("mine", data_dir=str(tmp_path)), seed=seed)
    row = next(row for row in task.rows if row.constraints)
    assert task.verify(row, "ab") and not task.verify(row, "a,b")


def test_a_mix_shares_its_numbers_of_rows_and_judges_each_row_as_its_task_does(tmp_path: Path) -> None:
    settings = {"object_counting": {"max_items": 3, "max_answer": 5}}
    mix = {"mix": ["object_counting", "word_sorting"], "settings": settings}
    task = load_task(TaskConfig("two", num_train=100, num_validation=20, num_test=40, **mix), seed=0)
    for rows, number in ((task.train, 50), (task.validation, 10), (task.test, 20)):
        assert [row.task for row in rows] == ["object_counting"] * number + ["word_sorting"] * number
    assert {int(row.target) for row in task.rows[:50]} <= {2, 3, 4, 5}
    assert all(task.verify(row, row.target) and not task.verify(row, "none") for row in task.rows)
    for wrong in ({"max_items": 3}, {"object_countin": {}}, {"word_sorting": 3}):
        with pytest.raises(UserError, match="task.settings must be the settings of one of task.mix each"):
            load_task(TaskConfig("two", **{**mix, "settings": wrong}), seed=0)
    for name in mix["mix"]:
        write(tmp_path / f"{name}.json", [{"input": f"{i}?", "target": str(i)} for i in range(20)])
    assert len(load_task(TaskConfig("two", data_dir=str(tmp_path), **mix), seed=0).train) == 2 * 14


def test_a_further_task_of_a_named_source_is_whole_but_for_what_was_learnt(tmp_path: Path) -> None:
    write(tmp_path / "bbh/sums.json", [{"input": f"{i} + 1?", "target": str(i + 1)} for i in range(40)])
    config = Config(task=TaskConfig("sums", data_dir=str(tmp_path / "bbh")))
    config.evaluation = EvaluationConfig(tasks=["sums", "bbh/sums"], data_dir=str(tmp_path))
    with pytest.raises(UserError, match="holds no file of task sums"):  # neither bbh nor bigbench is named
        load_tasks(config)
    config.evaluation.tasks = ["bbh/sums"]
    own, whole = load_tasks(config)
    assert whole.name == "bbh/sums" and set(whole.test) == set(own.test) and whole.train == ()
    config.task = TaskConfig("object_counting", num_train=10, num_validation=1, num_test=1)
    assert len(load_tasks(config)[1].test) == 40
    for name in ("bigbnch/sums", "val"):
        config.evaluation.tasks = [name]
        with pytest.raises(UserError, match=f"evaluation.tasks must be NAME, .*, bbh/NAME, .* not '{name}'"):
            load_tasks(config)
    for wrong in (
        TaskConfig("sums", data_dir=str(tmp_path / "bbh"), settings={"a": 1}),
        TaskConfig(source="teams_rl"),
    ):
        with pytest.raises(UserError, match="^task.settings must be empty|^task must be instructions"):
            load_task(wrong, seed=0)
