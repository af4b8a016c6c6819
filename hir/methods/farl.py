"""Final-Answer RL, a baseline of HIR's paper: imitate the right answers, throw the others away."""

from dataclasses import dataclass

from torch import Tensor

from hir.config.schema import limited
from hir.losses import smoothed_nll, token_log_probs
from hir.methods.base import Method, register
from hir.policies.base import Batch, Policy
from hir.records import Rollout


@register("farl")
class FARL(Method):
    """L = label-smoothed cross entropy of right answers under the goal, a mean over tokens.

    Source: Zhang et al. 2023, arXiv 2302.05206, where it is the baseline that filters by the final answer.
    The paper says no more of it; here it shares all else with HIR (sampling, window, label smoothing) and
    lacks what HIR adds: wrong answers with their instruction, the contrast and the entropy term.
    """

    @dataclass
    class Settings:
        epsilon: float = limited(0.2, "[0, 1)")
        """Label smoothing."""

    def instruction(self, rollout: Rollout) -> str | None:
        """The goal for a right answer, None for any other."""
        return rollout.instruction if rollout.correct else None

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        log_probs = token_log_probs(policy(batch).logits[0])  # (N, V)
        supervise = smoothed_nll(log_probs, batch["labels"], self.config.epsilon)
        return supervise, {"supervise": supervise.detach()}
