"""Relabeling by score."""

from dataclasses import replace

import pytest

from hir.config.schema import ConfigError, InstructionConfig
from hir.records import Constraint, Example, Rollout, Verdict
from hir.relabel.base import Relabel, build_relabel


def phi(**settings: object) -> Relabel:
    return build_relabel(InstructionConfig(), {"name": "graded", **settings})


def rollout(score: float) -> Rollout:
    return Rollout(0, "How many?", "any", "3", (5, 1), Verdict(score == 1, score), "3")


def test_the_best_is_asked_for_the_worst_is_its_opposite_and_a_rows_own_constraints_follow() -> None:
    row = Example("How many?", ("3",), constraints=(Constraint("Be brief.", "length"),))
    graded, answer = phi(levels=3, template="{level}!"), replace(rollout(0.5), constraints=row.constraints)
    assert (graded.goal(row), graded.opposite(row)) == ("3! Be brief.", "1! Be brief.")
    assert graded.instruction(answer) == "2! Be brief."
    assert graded.contrast(answer) == ("3! Be brief.", "1! Be brief.")
    assert phi(levels=2, template="Be {level} of {levels}.").texts == ("Be 2 of 2.", "Be 1 of 2.")


@pytest.mark.parametrize(
    ("levels", "scores"),
    [
        (5, {0: 1, 0.12: 1, 0.125: 2, 0.25: 2, 0.5: 3, 0.75: 4, 0.87: 4, 0.875: 5, 1: 5}),  # at odd eighths
        (2, {0: 1, 0.49: 1, 0.5: 2, 1: 2}),
        (11, {n / 10: n + 1 for n in range(11)}),  # points of ten, each its own
    ],
)
def test_a_score_is_the_nearest_quality(levels: int, scores: dict[float, int]) -> None:
    graded = phi(levels=levels, template="{level}")
    assert {s: int(graded.instruction(rollout(s)) or 0) for s in scores} == scores


def test_contrasts_are_the_best_and_then_the_nearest() -> None:
    graded = phi(template="{level}")
    scores = (1, 0.75, 0.5, 0.25, 0)  # of qualities 5, 4, 3, 2, 1
    contrasts = ["".join(graded.contrast(rollout(score))) for score in scores]
    assert contrasts == ["4321", "5321", "5421", "5314", "5234"]


@pytest.mark.parametrize("wrong", [{"levels": 1}, {"levels": 2.5}, {"template": "Be good."}])
def test_settings_that_tell_nothing_apart_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"relabel.{next(iter(wrong))} must be"):
        phi(**wrong)
