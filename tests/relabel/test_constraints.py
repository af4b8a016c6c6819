"""Hindsight over constraints."""

import pytest

from hir.config.schema import InstructionConfig
from hir.feedback.constraints import Constraints as Feedback
from hir.records import Constraint, Example, Rollout
from hir.relabel.base import build_relabel, stated
from hir.relabel.constraints import Constraints
from hir.tasks import ifeval  # noqa: F401  # brings the checkers

COMMA = Constraint("no comma", "punctuation:no_comma")
UPPER = Constraint("all capitals", "change_case:english_capital")


def words(relation: str, number: int) -> Constraint:
    arguments = (("num_words", number), ("relation", relation))
    return Constraint(f"{relation} {number} words", "length_constraints:number_words", arguments)


def phi(**settings: object) -> Constraints:
    instructions = InstructionConfig(correct="Do:", wrong="Do not:")
    relabel = build_relabel(instructions, {"name": "constraints", **settings})
    assert isinstance(relabel, Constraints)
    return relabel


def answered(output: str, *constraints: Constraint, surprise: float = 1.0) -> Rollout:
    row = Example("Name pets.", (), constraints=constraints)
    (verdict,) = Feedback()([row], [output])
    asked = stated("Do:", constraints)
    return Rollout(0, row.query, asked, output, (5, 1), verdict, "", (-surprise,), constraints)


PART = answered("cat dog", COMMA, words("at least", 3), UPPER)  # meets the first alone
OTHER = answered("CAT", words("at least", 1), UPPER)
NONE = answered("cat, dog", COMMA, UPPER)


def test_what_is_missed_is_left_out_or_gives_way_to_what_is_met_of_its_kind() -> None:
    swapping, dropping = phi(), phi(swap=False)
    for relabel in (swapping, dropping):
        assert relabel.select([PART, OTHER]) == [PART, OTHER]
        assert relabel.contrast(PART) == ("Do: no comma; at least 3 words; all capitals",)
        assert relabel.achieved(PART)
    assert swapping.instruction(PART) == "Do: no comma; at least 1 words"
    assert dropping.instruction(PART) == "Do: no comma"


def test_a_right_answer_keeps_its_instruction_and_is_told_from_p_wrong() -> None:
    relabel = phi()
    assert relabel.select([OTHER]) == [OTHER] and OTHER.correct and relabel.achieved(OTHER)
    assert relabel.instruction(OTHER) == "Do: at least 1 words; all capitals"
    assert relabel.contrast(OTHER) == ("Do not: at least 1 words; all capitals",)


def test_an_answer_that_meets_nothing_is_left_out_or_goes_under_p_wrong() -> None:
    assert phi().instruction(NONE) is None and not phi().achieved(NONE)
    assert phi(unmet=True).instruction(NONE) == "Do not: no comma; all capitals"


def test_rows_without_constraints_are_relabeled_by_correctness() -> None:
    wrong = Rollout(0, "2 + 2 = ?", "Do:", "5", (5, 1), Feedback()([Example("", ("4",))], ["5"])[0], "4")
    assert phi().instruction(wrong) == "Do not:" and not phi().achieved(wrong)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"keep": 1.0}, ["half", "sure", "third", "right"]),
        ({"keep": 0.34, "met_weight": 2.0}, ["third", "right"]),  # 2/3 + 3 over 1 + 1 and 1 + 0.5
        ({"keep": 0.67, "met_weight": 2.0}, ["half", "third", "right"]),
        ({"keep": 0.34, "met_weight": 20.0}, ["half", "right"]),  # 10 + 1 over 20/3 + 3
        ({"keep": 0.67, "met_weight": 20.0}, ["half", "sure", "right"]),
    ],
)
def test_wrong_answers_are_chosen_by_what_they_meet_and_by_entropy(
    settings: dict[str, float], kept: list[str]
) -> None:
    of = {
        "half": answered("cat", COMMA, UPPER, surprise=1.0),
        "sure": answered("dog", COMMA, UPPER, surprise=0.5),
        "third": answered("cat", COMMA, UPPER, words("at least", 3), surprise=3.0),
        "right": answered("cat", COMMA),
    }
    assert [of[name] for name in kept] == phi(**settings).select([*of.values()])
