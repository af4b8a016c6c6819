import pytest

from hir.errors import UserError
from hir.tasks.base import generated_task
from hir.tasks.solvers.logical_deduction import solve

NAME = "logical_deduction_seven_objects"
STEM = """A fruit stand sells five fruits: limes, figs, plums, dates, and melons. The figs are the third-most
expensive. The plums are less expensive than the dates. The dates are less expensive than the figs. The limes
are more expensive than the melons."""
ORDER = [("limes", "most expensive"), ("melons", "second-most expensive"), ("dates", "second-cheapest")]


@pytest.mark.parametrize(("fruit", "place"), ORDER)
def test_a_row_by_hand(fruit: str, place: str) -> None:
    options = tuple(f"The {thing} are the {place}." for thing in "limes figs plums dates melons".split())
    assert solve(STEM, options) == f"The {fruit} are the {place}."


def test_settings() -> None:
    query = generated_task(NAME, {"num_scenarios": 1, "place_share": 1.0}).row(0, 0).query
    assert "seven birds" in query and " of the " not in query  # only places are told
    with pytest.raises(UserError, match="place_share"):
        generated_task(NAME, {"place_share": 2.0})
