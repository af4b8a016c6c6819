"""Hindsight over constraints: an answer is trained under what it meets.

After "Replay Failures as Successes" (Zhang et al. 2025, arXiv 2512.23457), as plain supervised learning.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from hir.config.schema import InstructionConfig, limited
from hir.feedback.constraints import CHECKERS, check
from hir.records import Constraint, Rollout
from hir.relabel.base import Relabel, register, stated


@register("constraints")
class Constraints(Relabel):
    """p* asks for the constraints that the answer meets, all of them for a right one.

    One that it misses gives way to another query's of its kind that it meets ("three words" to "two words"),
    as goals do in hindsight experience replay (Andrychowicz et al. 2017, arXiv 1707.01495), or is left out as
    in the paper. The contrast of a wrong answer is the instruction it was sampled under; of a right one it is
    p_wrong. Answers of which no judge said what they meet are relabeled by correctness.
    """

    @dataclass
    class Settings:
        keep: float = limited(1.0, "(0, 1]")
        """Share of the wrong answers that is trained on, by what they meet and by their entropy."""
        met_weight: float = limited(2.0, "[0, inf)")
        """Weight of the share met beside the mean entropy of a token, in nats, in that choice (paper: 2)."""
        growth: float = limited(1.05, "[1, inf)")
        """Factor of that weight each iteration (paper: 1.05): from diverse to nearly right."""
        swap: bool = True
        """Whether a missed constraint may give way to one that is met; false leaves it out (paper)."""
        unmet: bool = False
        """Whether answers to which no constraint is left are trained under p_wrong."""

    def __init__(self, instructions: InstructionConfig, config: Settings | None = None) -> None:
        super().__init__(instructions)
        self.config = config or self.Settings()
        self.asked: dict[str, dict[Constraint, None]] = {}
        """By kind, the constraints of the answers that :meth:`select` was last given, in their order."""
        self.dropped: set[Rollout] = set()
        """Those of them that it left out."""

    def select(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        self.asked = defaultdict(dict)
        for rollout in rollouts:
            for constraint in rollout.constraints:
                self.asked[constraint.kind][constraint] = None
        wrong = [r for r in rollouts if not r.correct]
        weight = self.config.met_weight * self.config.growth ** (rollouts[0].iteration if rollouts else 0)
        # The mean of -log p of what was drawn is an estimate of the entropy.
        wrong.sort(key=lambda r: -(weight * r.verdict.score - fmean(r.log_probs or (0.0,))))
        number = round(self.config.keep * len(wrong))
        self.dropped = {*wrong[number:]} - {*wrong[:number]}
        return [r for r in rollouts if r not in self.dropped]

    def instruction(self, rollout: Rollout) -> str | None:
        if rollout in self.dropped:
            return None
        if rollout.correct or not rollout.verdict.met:
            return super().instruction(rollout)
        if fitting := self._fitting(rollout):
            return stated(self.correct, fitting)
        return super().instruction(rollout) if self.config.unmet else None

    def achieved(self, rollout: Rollout) -> bool:
        return rollout.correct or bool(self._fitting(rollout))

    def _fitting(self, rollout: Rollout) -> tuple[Constraint, ...]:
        """The constraints of its row, or others in their place, that an answer meets."""
        fitting = []
        for constraint, met in zip(rollout.constraints, rollout.verdict.met, strict=False):
            others = [constraint] if met else []
            if self.config.swap and not met and constraint.kind in CHECKERS:
                others = [c for c in self.asked.get(constraint.kind, ()) if check(c, rollout.output)]
            if others:
                key = f"{rollout.iteration}/{constraint.text}/{rollout.output}"  # the same whenever asked
                fitting.append(random.Random(key).choice(others))
        return tuple(dict.fromkeys(fitting))
