"""The paper's relabeling: an answer is right or wrong, and each has its instruction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hir.config.schema import InstructionConfig
from hir.records import Constraint, Example, Rollout
from hir.relabel.base import register


def stated(text: str, constraints: Iterable[Constraint]) -> str:
    """An instruction with the constraints it asks for, if it asks for any."""
    return " ".join([text, "; ".join(constraint.text for constraint in constraints)]).strip()


@register("correctness")
class Correctness:
    """p_correct for right answers, p_wrong for wrong ones; the contrast is the other, then any further.

    The constraints of a row's own follow either.
    """

    @dataclass
    class Settings:
        """None."""

    def __init__(self, instructions: InstructionConfig, config: Settings | None = None) -> None:
        self.correct, self.wrong = instructions.correct, instructions.wrong
        self.texts = tuple(dict.fromkeys((self.correct, self.wrong, *instructions.others)))

    def goal(self, row: Example) -> str:
        return stated(self.correct, row.constraints)

    def opposite(self, row: Example) -> str:
        return stated(self.wrong, row.constraints)

    def achieved(self, rollout: Rollout) -> bool:
        return rollout.correct

    def select(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        return list(rollouts)

    def instruction(self, rollout: Rollout) -> str | None:
        return stated(self.correct if rollout.correct else self.wrong, rollout.constraints)

    def contrast(self, rollout: Rollout) -> tuple[str, ...]:
        own = self.correct if rollout.correct else self.wrong
        return tuple(stated(text, rollout.constraints) for text in self.texts if text != own)
