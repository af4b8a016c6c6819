"""What counts for an accuracy."""

import pytest

from hir.callbacks.evaluation import GreedyAnswer, measured
from hir.errors import UserError


def test_answers_that_were_not_judged_count_for_no_accuracy() -> None:
    right, wrong, lost = (GreedyAnswer("q", "t", "o", c, float(c), j) for c, j in ((1, 1), (0, 1), (0, 0)))
    assert measured("test", [right, wrong]) == {"test/accuracy": 0.5}
    assert measured("val", [right, wrong, right, lost]) == {"val/accuracy": 0.666667, "val/judged": 0.75}
    with pytest.raises(UserError, match="the judge failed on all 2 answers of an evaluation"):
        measured("val", [lost, lost])
