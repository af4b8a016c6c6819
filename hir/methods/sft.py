"""Supervised fine-tuning on the right answers: what can be had where they are known."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hir.config.schema import limited
from hir.methods.base import register
from hir.methods.farl import FARL
from hir.records import Rollout, TrainingExample


@register("sft")
class SFT(FARL):
    """FARL's L of a query's target: label-smoothed cross entropy under the goal, a mean over tokens.

    An upper reference and no competitor: it reads the targets, which a method that learns from right/wrong
    feedback never sees. It is given the queries and the updates that the others are given, and draws no
    answers. HIR's paper has it as fine-tuning (Zhang et al. 2023, arXiv 2302.05206).
    """

    samples = False

    @dataclass
    class Settings:
        epsilon: float = limited(0.0, "[0, 1)")
        """Label smoothing; HIR's would only blunt labels that are known to be right."""

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """One row a query, however often it was asked."""
        once = {(rollout.instruction, rollout.query): rollout for rollout in rollouts}
        return [TrainingExample.of(rollout, rollout.instruction) for rollout in once.values()]
