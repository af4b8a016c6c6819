import re
from collections import Counter

import pytest

from hir.errors import UserError
from hir.tasks.base import generated_task
from hir.tasks.solvers.object_counting import solve

NUMBERS = {w: i for i, w in enumerate("zero one two three four five six seven eight nine".split())}
KINDS = {
    "animals": "cat dog goat pig cow duck frog bear",
    "fruits": "apple banana peach plum grape orange cherry pear",
    "vegetables": "carrot onion potato cabbage yam leek turnip pepper",
    "musical instruments": "piano flute violin drum trumpet clarinet harp guitar",
}
PLURALS = {"peach": "peaches", "cherry": "cherries", "potato": "potatoes", "couch": "couches"}
EASY = {"max_items": 5, "max_count": 3, "max_answer": 9, "max_distractors": 0, "even": True}
EASY["all_things"] = False
WIDEST = {**EASY, "min_items": 1, "max_items": 8, "max_count": 9, "max_answer": 72, "max_distractors": 8}


def count(query: str) -> int:
    """The answer, from the text of a query alone; checks articles and plurals on the way."""
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


@pytest.mark.parametrize("settings", [EASY, WIDEST])
def test_answers_are_right(settings: dict[str, int]) -> None:
    task = generated_task("object_counting", settings)
    rows = [task.row(0, i) for i in range(4000)]
    assert [row.targets for row in rows] == [(str(count(row.query)),) for row in rows]
    asked = {row.query.split("How many ")[1] for row in rows}
    assert asked == {f"{kind} do I have?" for kind in [*KINDS, "objects"]}
    answers = Counter(row.targets[0] for row in rows)
    if settings is EASY:
        assert sorted(answers) == [str(n) for n in range(2, 10)]
        assert all(430 < n < 570 for n in answers.values()), answers  # 500 each, 3.3 standard deviations


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_items": 15}, r"max_items must be an integer in \[1, 14\], not 15"),
        ({"max_items": 9}, "max_items must be at most 8 without all_things"),
        ({"min_items": 6}, "min_items must be at most max_items"),
        ({"max_answer": 1}, "at most max_items and max_answer"),
        ({"max_answer": 16}, "max_answer <= max_items x max_count"),
    ],
)
def test_settings_that_cannot_be_drawn_from_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        generated_task("object_counting", {**EASY, **settings})


def test_the_defaults_are_as_hard_as_bigbench() -> None:
    listed = "a lettuce head, two mice, three stalks of celery, a horse, and five lemons"
    for kind, number in {"vegetables": 4, "animals": 3, "fruits": 5, "objects": 12}.items():
        assert solve(f"I have {listed}. How many {kind} do I have?", ()) == str(number)
    rows = [generated_task("object_counting", {}).row(0, i) for i in range(2000)]
    assert [row.targets for row in rows] == [(solve(row.query, ()),) for row in rows]
    assert {row.targets[0] for row in rows} == {str(n) for n in range(2, 22)}
    listed = [re.split(", and |, ", row.query.removeprefix("I have ")) for row in rows]
    ones = [phrase.split()[0] in ("a", "an") for phrases in listed for phrase in phrases]
    assert 0.72 < sum(ones) / len(ones) < 0.82  # in BIG-bench 0.80
