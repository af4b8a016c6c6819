from collections import Counter

import pytest

from hir.errors import UserError
from hir.tasks.base import generated_task
from tests.tasks.generated.test_object_counting import EASY, count


def test_answers_are_right_and_come_evenly() -> None:
    """The amount by the count that the text gives: up to 3 is few, up to 6 some."""
    task = generated_task("object_amount", EASY)
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"max_few": 6}, "max_few < max_some"), ({"max_some": 9}, "max_some < max_answer")],
)
def test_settings_that_cannot_be_drawn_from_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        generated_task("object_amount", {**EASY, **settings})
