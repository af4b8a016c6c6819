"""Hindsight over constraints: an answer is trained under the ones that it meets.

After "Replay Failures as Successes" (Zhang et al. 2025, arXiv 2512.23457), as plain supervised learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from statistics import fmean

from hir.config.schema import InstructionConfig, limited
from hir.records import Rollout
from hir.relabel.base import register
from hir.relabel.correctness import Correctness, stated


@register("constraints")
class Constraints(Correctness):
    """p* asks for the constraints that the answer meets, all of them for a right one.

    The contrast asks for one more, which it does not meet; of a right answer it is p_wrong with all. An
    answer that meets none is trained under p_wrong. Rows without constraints are relabeled by correctness.
    """

    @dataclass
    class Settings:
        keep: float = limited(1.0, "(0, 1]")
        """Share of the failed answers that is trained on, by what they meet and by their entropy."""
        met_weight: float = limited(2.0, "[0, inf)")
        """Weight of the share met beside the mean entropy of a token, in nats, in that choice (paper: 2)."""
        growth: float = limited(1.05, "[1, inf)")
        """Factor of that weight each iteration (paper: 1.05): from diverse to nearly right."""

    def __init__(self, instructions: InstructionConfig, config: Settings | None = None) -> None:
        super().__init__(instructions)
        self.config = config or self.Settings()

    def achieved(self, rollout: Rollout) -> bool:
        return rollout.correct or any(rollout.verdict.met)

    def instruction(self, rollout: Rollout) -> str | None:
        if rollout.correct or not self.achieved(rollout):
            return super().instruction(rollout)
        return stated(self.correct, compress(rollout.constraints, rollout.verdict.met))

    def contrast(self, rollout: Rollout) -> tuple[str, ...]:
        if rollout.correct or not self.achieved(rollout):
            return super().contrast(rollout)
        met = rollout.verdict.met
        first = met.index(False)
        more = (c for i, c in enumerate(rollout.constraints) if met[i] or i == first)
        return (stated(self.correct, more),)

    def select(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        failed = [r for r in rollouts if not r.correct]
        weight = self.config.met_weight * self.config.growth ** (rollouts[0].iteration if rollouts else 0)
        # The mean of -log p of what was drawn is an estimate of the entropy.
        failed.sort(key=lambda r: -(weight * r.verdict.score - fmean(r.log_probs or (0.0,))))
        kept = {id(r) for r in failed[: round(self.config.keep * len(failed))]}
        return [r for r in rollouts if r.correct or id(r) in kept]
