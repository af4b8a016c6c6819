"""The one fine-tuning of TeaMs-RL, and hindsight from feedback alone after it, in one run."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hir.config.schema import limited
from hir.methods.base import register
from hir.methods.hir import HIR
from hir.policies.base import Policy
from hir.records import Rollout, TrainingExample, Verdict
from hir.relabel.base import Relabel


@register("sft_hir")
class SFTHIR(HIR):
    """HIR whose first iterations take each query's target in place of the answers that were drawn.

    Those iterations read targets, as the method sft does and HIR never; the ones after hear verdicts alone.
    """

    reads_targets = True

    @dataclass
    class Settings(HIR.Settings):
        sft_iterations: int = limited(10, "[0, inf)")
        """Iterations of supervised fine-tuning."""

    def __init__(self, config: Settings, relabel: Relabel, policy: Policy) -> None:
        super().__init__(config, relabel, policy)
        self.sft_iterations, self.encode = config.sft_iterations, policy.encode_answer

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """One row a query in the first iterations, HIR's after them."""
        if rollouts and rollouts[0].iteration < self.sft_iterations:
            once = {(rollout.instruction, rollout.query): rollout for rollout in rollouts}.values()
            right = Verdict(True, 1.0)
            rollouts = [
                replace(r, output=r.target, output_ids=self.encode(r.target), verdict=right, log_probs=())
                for r in once
            ]
        return super().relabel(rollouts, rng)
