import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hir.config.schema import TaskConfig
from hir.errors import UserError
from hir.feedback.match import exact_match
from hir.tasks import base, generated
from hir.tasks.base import generated_task, is_pretraining, known_tasks, load_task

NAMES = ["object_amount", "object_counting", "word_sorting"]
NUMBERS = {w: i for i, w in enumerate("zero one two three four five six seven eight nine".split())}
KINDS = {
    "animals": "cat dog goat pig cow duck frog bear",
    "fruits": "apple banana peach plum grape orange cherry pear",
    "vegetables": "carrot onion potato cabbage yam leek turnip pepper",
    "musical instruments": "piano flute violin drum trumpet clarinet harp guitar",
}
PLURALS = {"peach": "peaches", "cherry": "cherries", "potato": "potatoes", "couch": "couches"}


def count(query: str) -> int:
    """The answer of an object counting query, from its text alone; checks articles and plurals on the way."""
    match = re.fullmatch(r"I have (.+)\. How many (.+) do I have\?", query)
    assert match
    total = 0
    for phrase in match[1].replace(", and ", ", ").split(", "):
        word, noun = phrase.split(" ")
        if word in NUMBERS:
            assert NUMBERS[word] >= 2 and noun.endswith("s")
            singles = {plural: single for single, plural in PLURALS.items()}
            noun = singles.get(noun, noun[:-1])
            assert noun not in PLURALS or PLURALS[noun] in phrase
        else:
            assert word == ("an" if noun[0] in "aeio" else "a"), phrase
        if match[2] == "objects" or noun in KINDS[match[2]].split():
            total += NUMBERS.get(word, 1)
    return total


def test_rows_are_a_function_of_seed_and_index() -> None:
    for name in NAMES:
        one, other = generated_task(name, {}), generated_task(name, {})
        other.row(5, 7)
        assert [one.row(3, i) for i in range(20)] == [other.row(3, i) for i in reversed(range(20))][::-1]
        assert one.row(3, 0) != one.row(4, 0)


def test_rows_do_not_read_the_global_generator() -> None:
    random.seed(1)
    first = generated_task("word_sorting", {}).row(0, 0)
    random.seed(2)
    assert generated_task("word_sorting", {}).row(0, 0) == first


@pytest.mark.parametrize(
    "settings",
    [{}, {"min_items": 1, "max_items": 8, "max_count": 9, "max_answer": 72, "max_distractors": 8}],
)
def test_object_counting_answers(settings: dict[str, Any]) -> None:
    task = generated_task("object_counting", settings)
    rows = [task.row(0, i) for i in range(1000)]
    assert [row.targets for row in rows] == [(str(count(row.query)),) for row in rows]
    assert {row.query.split("How many ")[1] for row in rows} == {
        f"{k} do I have?" for k in [*KINDS, "objects"]
    }


def test_object_counting_answers_come_evenly() -> None:
    task = generated_task("object_counting", {})
    answers = Counter(task.row(0, i).targets[0] for i in range(4000))
    assert sorted(answers) == [str(n) for n in range(2, 10)]
    assert all(430 < n < 570 for n in answers.values()), answers  # 500 each, 3.3 standard deviations


def test_object_amount_answers() -> None:
    """The amount by the count that the text gives: up to 3 is few, up to 6 some."""
    task = generated_task("object_amount", {})
    answers: Counter[str] = Counter()
    for i in range(1500):
        row = task.row(0, i)
        text, options = row.query.split("\nOptions:\n")
        assert options == "(A) few\n(B) some\n(C) many" and row.options == ("few", "some", "many")
        total = count(text.replace("Do I have few, some or many ", "How many ").replace("?", " do I have?"))
        assert row.targets == ("(A)" if total <= 3 else "(B)" if total <= 6 else "(C)",)
        assert task.verify(row, row.targets[0].lower()) and not task.verify(row, "(D)")
        answers.update(row.targets)
    assert all(430 < n < 570 for n in answers.values()), answers  # 500 each


def test_word_sorting_draws_from_few_words() -> None:
    task = generated_task("word_sorting", {"num_words": 5})
    words = {word for i in range(200) for word in task.row(0, i).targets[0].split()}
    assert len(words) == 5 and min(words) == "able"
    assert (
        len(
            {
                word
                for i in range(2000)
                for word in generated_task("word_sorting", {"num_words": 378}).row(0, i).targets[0].split()
            }
        )
        == 378
    )


def test_word_sorting_answers() -> None:
    task = generated_task("word_sorting", {"min_words": 3, "max_words": 5})
    lengths = set()
    for i in range(500):
        row = task.row(0, i)
        head, words = row.query.split(" List: ")
        assert head == "Sort the following words alphabetically:"
        assert row.targets == (" ".join(sorted(words.split())),)
        assert len(set(words.split())) == len(words.split())
        lengths.add(len(words.split()))
        assert exact_match(row, row.targets[0].upper() + ".")
    assert lengths == {3, 4, 5}


@pytest.mark.parametrize("name", NAMES)
def test_splits_are_sized_disjoint_and_deterministic(name: str) -> None:
    config = TaskConfig(name=name, num_train=300, num_validation=40, num_test=50)
    task = load_task(config, seed=0)
    assert (len(task.train), len(task.validation), len(task.test)) == (300, 40, 50)
    assert len({row.query for row in task.train + task.validation + task.test}) == 390
    assert load_task(config, seed=0) == task
    assert load_task(config, seed=1).test != task.test
    longer = load_task(TaskConfig(name=name, num_train=500, num_validation=40, num_test=50), seed=0)
    assert (longer.test, longer.validation, longer.train[:300]) == (task.test, task.validation, task.train)


def test_own_seed_of_the_task_goes_before_the_run_seed() -> None:
    config = TaskConfig(num_train=10, num_validation=10, num_test=10, seed=7)
    assert load_task(config, seed=0) == load_task(config, seed=1)


@pytest.mark.parametrize("name", NAMES)
def test_pretraining_rows_never_meet_task_rows(name: str) -> None:
    generator = generated_task(name, {})
    pretraining = generator.pretraining_rows(0, 400)
    assert len({row.query for row in pretraining}) == 400
    assert all(is_pretraining(row.query) for row in pretraining)
    assert generator.pretraining_rows(0, 100) == pretraining[:100]
    for seed in range(3):
        task = generator.splits(seed, 400, 10, 10)
        assert not any(is_pretraining(row.query) for row in task.train + task.validation + task.test)


def test_about_a_quarter_of_queries_are_for_pretraining() -> None:
    assert 2300 < sum(is_pretraining(f"query {i}") for i in range(10_000)) < 2700


def test_more_queries_than_there_are_is_refused() -> None:
    # One thing, counted once: 4 categories of 8 things and 40 objects, 72 queries, some for pre-training.
    settings = {"min_items": 1, "max_items": 1, "max_count": 1, "max_answer": 1}
    generator = generated_task("object_counting", settings)
    queries = {generator.row(9, i).query for i in range(3000)}
    assert len(queries) == 72
    wanted = sum(not is_pretraining(query) for query in queries)
    assert len(generator.splits(0, wanted - 4, 2, 2).train) == wanted - 4
    with pytest.raises(
        UserError,
        match=rf"than it has: num_train=500 \+ num_validation=2 \+ num_test=3.* about {wanted}$",
    ):
        generator.splits(0, 500, 2, 3)
    with pytest.raises(UserError, match="more queries asked than it has: 73 for pre-training"):
        generator.pretraining_rows(0, 73)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "object_counting",
            {"max_item": 3},
            "task.settings.max_item is not a setting.*did you mean 'max_items'",
        ),
        ("object_counting", {"zzz": 3}, "known: min_items, max_items"),
        ("object_counting", {"max_items": "4"}, "task.settings.max_items must be of type int, not '4'"),
        ("object_counting", {"max_items": True}, "must be of type int, not True"),
        ("object_counting", {"max_items": 3.5}, "must be of type int, not 3.5"),
        ("object_counting", {"max_items": 9}, "min_items <= max_items <= 8"),
        ("object_counting", {"min_items": 0}, "1 <= min_items"),
        ("object_counting", {"max_count": 10}, "max_count must be 1 to 9"),
        ("object_counting", {"max_distractors": -1}, "max_distractors must be 0 to 8"),
        ("object_counting", {"max_answer": 16}, "max_answer <= max_items x max_count"),
        ("object_counting", {"max_answer": 1}, "min_items <= max_answer"),
        ("word_sorting", {"min_words": 1}, "2 <= min_words"),
        ("word_sorting", {"max_words": 21}, "max_words <= 20"),
        ("word_sorting", {"num_words": 3}, "max_words <= num_words <= 378"),
        ("word_sorting", {"num_words": 379}, "max_words <= num_words <= 378"),
        ("object_amount", {"max_few": 6}, "max_few < max_some"),
        ("object_amount", {"max_some": 9}, "max_some < max_answer"),
        ("object_countin", {}, "no generated task 'object_countin'; did you mean 'object_counting'"),
        ("base", {}, "no generated task 'base'; known: .*object_amount.*object_counting.*word_sorting"),
    ],
)
def test_bad_settings(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        generated_task(name, settings)


def test_a_whole_number_with_a_point_is_an_integer_where_one_is_wanted() -> None:
    max_items = generated_task("object_counting", {"max_items": 3.0}).settings.max_items
    assert max_items == 3 and type(max_items) is int


def test_known_tasks_are_the_papers_twelve_at_least() -> None:
    assert len(known_tasks()) >= 12
    assert set(NAMES) < set(known_tasks())


def test_a_new_task_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doubling.py").write_text(
        "from dataclasses import dataclass\n"
        "from hir.records import Example\n"
        "from hir.tasks.base import GeneratedTask, register\n"
        "@dataclass(frozen=True)\n"
        "class Settings:\n"
        "    scale: float = 1.0\n"
        "@register('doubling')\n"
        "class Doubling(GeneratedTask[Settings]):\n"
        "    Settings = Settings\n"
        "    def example(self, rng):\n"
        "        n = rng.randrange(1000)\n"
        "        return Example(f'2 x {n}', (str(2 * n * self.settings.scale),))\n"
    )
    monkeypatch.setattr(generated, "__path__", [*generated.__path__, str(tmp_path)])
    monkeypatch.setattr(base, "_GENERATORS", dict(base._GENERATORS))
    base.generators.cache_clear()
    try:
        config = TaskConfig(name="doubling", num_train=9, num_validation=2, num_test=3, settings={"scale": 3})
        assert len(load_task(config, seed=0).train) == 9
        assert "doubling" in known_tasks()
    finally:
        sys.modules.pop("hir.tasks.generated.doubling", None)
        base.generators.cache_clear()
