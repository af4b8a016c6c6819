"""What counts for an accuracy."""

import pytest
import torch

from hir.callbacks.evaluation import GreedyAnswer, measured
from hir.errors import UserError


def test_answers_that_were_not_judged_count_for_no_accuracy() -> None:
    right, wrong, lost = (GreedyAnswer("q", "t", "o", c, float(c), j) for c, j in ((1, 1), (0, 1), (0, 0)))
    cpu = torch.device("cpu")
    assert measured("test", [right, wrong], cpu) == {"test/accuracy": 0.5}
    assert measured("val", [right, wrong, right, lost], cpu) == {"val/accuracy": 0.666667, "val/judged": 0.75}
    with pytest.raises(UserError, match="the judge failed on all answers of an evaluation, 2 here"):
        measured("val", [lost, lost], cpu)
