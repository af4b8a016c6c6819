import pytest

from hir.errors import UserError
from hir.tasks.base import generated_task
from hir.tasks.solvers.tracking_shuffled_objects import solve

NAME = "tracking_shuffled_objects_five_objects"
STORY = """Ann, Ben, and Cid are playing a game. At the start of the game, they are each holding a ball: Ann
has a red ball, Ben has a orange ball, and Cid has a tan ball. As the game progresses, pairs of players trade
balls. First, Cid and Ann swap balls. Then, Ann and Ben swap balls. Finally, Ben and Cid swap balls. At the
end of the game, {} has the"""
ANSWERS = {"Ann": "orange ball", "Ben": "red ball", "Cid": "tan ball"}


@pytest.mark.parametrize("asked", ANSWERS)
def test_a_row_by_hand(asked: str) -> None:
    assert solve(STORY.format(asked), tuple(sorted(ANSWERS.values()))) == ANSWERS[asked]


def test_settings() -> None:
    query = generated_task(NAME, {"num_swaps": 2}).row(0, 0).query
    assert "First, " in query and "Then, " not in query and "Finally, " in query
    with pytest.raises(UserError, match="num_swaps"):
        generated_task(NAME, {"num_swaps": 1})
