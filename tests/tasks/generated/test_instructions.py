import random
from itertools import combinations

import pytest

from hir.config.schema import ConfigError, TaskConfig
from hir.feedback.constraints import check
from hir.records import Constraint
from hir.tasks.base import generated_task, load_task
from hir.tasks.generated.instructions import KINDS, Answer, constraint, is_held_out, read


def test_a_list_is_read_as_it_was_written() -> None:
    for i in range(300):
        row = generated_task("instructions", {}).row(0, i)
        answer = read(row.targets[0])
        assert answer is not None and answer.text == row.targets[0]
    assert read(" [ CAT - OWL ]? ") == Answer(("cat", "owl"), "upper", " - ", "[]", "?")
    assert read("Dog") == Answer(("dog",), "title", "", "", "")


@pytest.mark.parametrize(
    "text",
    ["", "!", "cat owl", "cat - owl, pig", "CAT - owl", "[ cat", "[ cat )", "cat - rose", "cat - ", "cat!!"],
)
def test_any_other_text_is_no_list_and_meets_nothing(text: str) -> None:
    assert read(text) is None
    assert not check(Constraint("without pig", "words:avoid", (("word", "pig"),)), text)


@pytest.mark.parametrize(
    ("kind", "arguments", "meets", "misses"),
    [
        ("count", {"number": 2}, "cat, owl", "cat"),
        ("first", {"word": "owl"}, "OWL / CAT", "CAT / OWL"),
        ("last", {"word": "owl"}, "cat / owl!", "owl / cat!"),
        ("include", {"word": "owl"}, "cat, owl, pig", "cat, pig"),
        ("avoid", {"word": "owl"}, "cat, pig", "cat, owl, pig"),
        ("sorted", {}, "cat, cow, dog", "cow, cat"),
        ("distinct", {}, "cow, cat", "cow, cow"),
        ("ends", {}, "cow, cat, cow", "cow"),
        ("longest", {"number": 3}, "cow, cat", "cow, bear"),
        ("no_letter", {"letter": "e"}, "cow, cat", "cow, bear"),
        ("case", {"case": "title"}, "Cow, Cat", "cow, cat"),
        ("separator", {"separator": " & "}, "cow & cat", "cow, cat"),
        ("brackets", {"brackets": "<>"}, "< cow >", "( cow )"),
        ("mark", {"mark": ";"}, "cow;", "cow"),
    ],
)
def test_each_kind(kind: str, arguments: dict[str, object], meets: str, misses: str) -> None:
    asked = Constraint("any", f"words:{kind}", tuple(arguments.items()))
    assert (check(asked, meets), check(asked, misses)) == (True, False)


def test_constraints_say_what_they_check() -> None:
    answer, rng = Answer(("cow", "owl", "cat"), "upper", " = ", "{}", "."), random.Random(0)
    texts = {kind: made.text for kind in KINDS if (made := constraint(kind, answer, rng))}
    unlike = {kind: texts.pop(kind) for kind in ("avoid", "no_letter")}
    assert texts == {
        "count": "three words", "first": "cow first", "last": "cat last", "include": "with owl",
        "distinct": "no repeats", "longest": "up to three letters", "case": "upper case",
        "separator": "equals between", "brackets": "curly brackets", "mark": ". at the end",
    }  # fmt: skip
    assert unlike["avoid"].removeprefix("without ") in ("dog", "goat", "pig", "bear", "tiger")
    assert unlike["no_letter"].removeprefix("no ") in "egir"


def test_no_two_kinds_of_a_test_row_that_are_held_out_stand_in_any_training_row() -> None:
    task = load_task(TaskConfig(name="instructions", num_train=1500, num_validation=50, num_test=100), seed=0)
    seen = {pair for row in task.train for pair in combinations(sorted(c.kind for c in row.constraints), 2)}
    for row in (*task.validation, *task.test):
        assert is_held_out(row)
        assert any(pair not in seen for pair in combinations(sorted(c.kind for c in row.constraints), 2))
    assert len(seen) > 70 and all(len(row.constraints) == 6 for row in task.rows)
    assert {kind.removeprefix("words:") for pair in seen for kind in pair} == {*KINDS}


def test_rows_have_as_many_constraints_as_settings_say() -> None:
    task = generated_task("instructions", {"min_constraints": 3, "max_constraints": 5})
    assert {len(task.row(0, i).constraints) for i in range(100)} == {3, 4, 5}
    with pytest.raises(ConfigError, match="task.settings.max_constraints must be 6 or more"):
        generated_task("instructions", {"max_constraints": 5})
