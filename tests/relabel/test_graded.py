"""Relabeling by score."""

from dataclasses import replace

import pytest

from hir.config.schema import ConfigError, InstructionConfig
from hir.config.values import read_settings
from hir.records import Constraint, Example, Rollout, Verdict
from hir.relabel.base import build_relabel
from hir.relabel.graded import Graded

ROW = Example("How many?", ("3",))


def phi(**settings: object) -> Graded:
    relabel = build_relabel(InstructionConfig(), {"name": "graded", **settings})
    assert isinstance(relabel, Graded)
    return relabel


def rollout(score: float) -> Rollout:
    return Rollout(0, "How many?", "any", "3", (5, 1), Verdict(score == 1, score), "3")


def test_the_constraints_of_a_row_follow_every_quality() -> None:
    brief = (Constraint("Be brief.", "length"),)
    graded, answer = phi(levels=3, template="{level}!"), replace(rollout(0.5), constraints=brief)
    row = replace(ROW, constraints=brief)
    assert (graded.goal(row), graded.opposite(row)) == ("3! Be brief.", "1! Be brief.")
    assert graded.instruction(answer) == "2! Be brief."
    assert graded.contrast(answer) == ("3! Be brief.", "1! Be brief.")


def test_the_best_is_asked_for_and_the_worst_is_its_opposite() -> None:
    graded = phi(levels=3, template="Be {level} of {levels}.")
    assert graded.texts == ("Be 3 of 3.", "Be 2 of 3.", "Be 1 of 3.")
    assert (graded.goal(ROW), graded.opposite(ROW)) == ("Be 3 of 3.", "Be 1 of 3.")


@pytest.mark.parametrize(
    ("levels", "scores"),
    [
        (
            5,
            {0: 1, 0.12: 1, 0.125: 2, 0.25: 2, 0.5: 3, 0.75: 4, 0.87: 4, 0.875: 5, 1: 5},
        ),  # ends at odd eighths
        (2, {0: 1, 0.49: 1, 0.5: 2, 1: 2}),
        (11, {n / 10: n + 1 for n in range(11)}),  # points of ten, each its own
    ],
)
def test_a_score_is_the_nearest_quality(levels: int, scores: dict[float, int]) -> None:
    graded = phi(levels=levels, template="{level}")
    assert {score: graded.instruction(rollout(score)) for score in scores} == {
        s: str(q) for s, q in scores.items()
    }


@pytest.mark.parametrize(
    ("score", "contrast"),
    [(1, "4321"), (0.75, "5321"), (0.5, "5421"), (0.25, "5314"), (0, "5234")],  # of qualities 5, 4, 3, 2, 1
)
def test_contrasts_are_the_best_and_then_the_nearest(score: float, contrast: str) -> None:
    graded = phi(template="{level}")
    assert "".join(graded.contrast(rollout(score))) == contrast


@pytest.mark.parametrize("wrong", [{"levels": 1}, {"levels": 2.5}, {"template": "Be good."}])
def test_settings_that_tell_nothing_apart_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"relabel.{next(iter(wrong))} must be"):
        read_settings(Graded.Settings, "relabel", {"name": "graded", **wrong})
