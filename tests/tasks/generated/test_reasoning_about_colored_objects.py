import pytest

from hir.errors import UserError
from hir.tasks.base import generated_task
from hir.tasks.solvers.reasoning_about_colored_objects import solve

ROW = "On a sofa, you see several items arranged in a row: a red pen, a blue mug, a red hat, and a teal pen."
GROUPS = "On the sofa, there are two red pens, one teal mug, and three red mugs. If I remove all the "


def test_answers_by_hand() -> None:
    assert solve(f"{ROW} What is the color of the item furthest from the teal item?", ("red",)) == "red"
    assert solve(f"{ROW} How many non-red items do you see to the right of the mug?", ("1", "one")) == "1"
    with pytest.raises(ValueError, match="too many values"):
        solve(f"{ROW} What color is the pen?", ("red",))
    assert solve(f"{GROUPS}red items from the sofa, how many mugs remain on it?", ("one",))


def test_settings() -> None:
    small = generated_task("reasoning_about_colored_objects", {"max_objects": 3, "max_left": 2})
    answers = {row.options[ord(row.targets[0][1]) - 65] for row in (small.row(0, i) for i in range(500))}
    assert {"zero", "three", "yes", "teal"} <= answers and not answers & {"four", "five"}
    with pytest.raises(UserError, match="max_left must be"):
        generated_task("reasoning_about_colored_objects", {"max_left": 17})
