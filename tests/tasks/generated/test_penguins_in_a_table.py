import pytest

from hir.errors import UserError
from hir.tasks.base import generated_task
from hir.tasks.solvers.penguins_in_a_table import solve

TABLE = """The first line is a header and each subsequent line is a penguin:
name, age, height (cm), weight (kg)
Ann, 4, 60, 12\nTom, 6, 50, 11\nWe now add a penguin to the table:\nEd, 3, 70, 13
We then delete the penguin named Ann from the table.\n"""


def test_answers_by_hand() -> None:
    assert solve(f"{TABLE}Which penguin is younger but taller than Tom?", ()) == "Ed"
    assert solve(f"{TABLE}What is the name of the last penguin sorted by alphabetic order?", ()) == "Tom"
    assert solve(f"{TABLE}How many penguins are more than 3 years old and weight less than 12 kg?", ()) == "1"
    with pytest.raises(ValueError, match="'ann' is not in list"):
        solve(f"{TABLE}What is the age of Ann?", ())


def test_settings() -> None:
    plain = generated_task("penguins_in_a_table", {"max_changes": 0})
    assert not any(word in plain.row(0, i).query for word in ("We ", "giraffes:") for i in range(300))
    with pytest.raises(UserError, match="max_changes must be"):
        generated_task("penguins_in_a_table", {"max_changes": 3})


def test_the_options_of_a_sum_do_not_give_it_away() -> None:
    told = []
    for row in generated_task("penguins_in_a_table", {}).unique_rows(0, 1500, lambda row: True):
        if " cumulated " in row.query or " average " in row.query:
            options, right = [*map(int, row.options)], ord(row.targets[0][1]) - ord("A")
            step = options[1] - options[0]  # a sixth of the right one, once
            sixths = [option // 6 == step for option in options]
            told.append(sixths[right] and sum(sixths) == 1)
    assert len(told) > 200 and sum(told) < 0.25 * len(told)
