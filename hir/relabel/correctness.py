"""The paper's relabeling: an answer is right or wrong, and each has its instruction."""

from __future__ import annotations

from dataclasses import dataclass

from hir.config.schema import InstructionConfig
from hir.records import Example, Rollout
from hir.relabel.base import register


@register("correctness")
class Correctness:
    """p_correct for right answers, p_wrong for wrong ones; the contrast is the other, then any further."""

    @dataclass
    class Settings:
        """None."""

    def __init__(self, instructions: InstructionConfig, config: Settings | None = None) -> None:
        self.correct, self.wrong = instructions.correct, instructions.wrong
        self.texts = tuple(dict.fromkeys((self.correct, self.wrong, *instructions.others)))

    def goal(self, row: Example) -> str:
        return self.correct

    def opposite(self, row: Example) -> str:
        return self.wrong

    def instruction(self, rollout: Rollout) -> str | None:
        return self.correct if rollout.correct else self.wrong

    def contrast(self, rollout: Rollout) -> tuple[str, ...]:
        own = self.instruction(rollout)
        return tuple(text for text in self.texts if text != own)
