"""Group Relative Policy Optimization: answers to one query are each other's baseline."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import Literal

from torch import Tensor

from hir.config.schema import limited
from hir.losses import chosen_log_probs, mean_entropy, row_means, token_log_probs
from hir.methods.base import Method, register
from hir.methods.ppo import clipped_policy_loss
from hir.policies.base import Batch, Policy, label_log_probs
from hir.records import Rollout, TrainingExample
from hir.relabel.base import Relabel


@register("grpo")
class GRPO(Method):
    """L = mean over rows of the mean over tokens of [clipped policy loss + kl * KL estimate].

    Source: Shao et al. 2024, arXiv 2402.03300, Eq. 3 and 4, with outcome supervision: the reward, 1 for a
    right answer and 0 for a wrong one, is normalised among the answers to a query, and every token of an
    answer has that for its advantage. A row's mean before the mean over rows is the paper's; later work
    (DAPO, Dr. GRPO) takes one mean over tokens, so that long answers count more.

    Departures: the reference of the KL term stays the start weights. Rows of groups without an advantage have
    no gradient where kl is 0 and are left out, so that the updates of an iteration, as many as ever, go over
    the others more often; the paper keeps them, DAPO (arXiv 2503.14476) samples others in their place.
    """

    @dataclass
    class Settings:
        clip: float = limited(0.2, "(0, 1)")
        """Clipping range: nothing is gained by a probability ratio outside 1 - clip .. 1 + clip."""
        kl: float = limited(0.0, "[0, inf)")
        """Weight of the KL divergence from the start weights; 0 keeps no copy. DeepSeekMath: 0.04."""
        reward: Literal["correct", "score"] = "correct"
        """What an answer earns: 1 if it is right, or its score, such as the share of constraints met."""

    on_policy = True
    min_samples = 2

    def __init__(self, config: Settings, relabel: Relabel, policy: Policy) -> None:
        self.config = config
        self.score = policy.score
        self.reference = policy.frozen() if config.kl else None

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """One row an answer with its advantage."""
        groups: dict[tuple[str, str], list[Rollout]] = {}
        for rollout in rollouts:
            groups.setdefault((rollout.instruction, rollout.query), []).append(rollout)
        rows = []
        for group in groups.values():
            advantages = group_advantages([getattr(r.verdict, self.config.reward) for r in group])
            for r, advantage in zip(group, advantages, strict=True):
                of_tokens = (advantage,) * len(r.output_ids)
                rows.append(TrainingExample.of(r, r.instruction, log_probs=r.log_probs, advantages=of_tokens))
        if self.reference:
            log_probs = self.score(rows, label_log_probs, self.reference)
            return [replace(row, reference_log_probs=p) for row, p in zip(rows, log_probs, strict=True)]
        # Where all answers are alike there is nothing to learn, and one row, a right one, lets the run go on.
        return [row for row in rows if row.advantages[0]] or sorted(rows, key=lambda r: not r.correct)[:1]

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        log_probs = token_log_probs(policy(batch).logits[0])  # (N, V)
        labels, rows, advantages = batch["labels"], batch["rows"], batch["advantages"]
        chosen = chosen_log_probs(log_probs, labels)
        costs = clipped_policy_loss(chosen - batch["log_probs"], advantages, self.config.clip)  # (N,)
        policy_loss = row_means(costs.detach(), rows, len(batch["weights"])).mean()
        terms = {"policy": policy_loss, "entropy": mean_entropy(log_probs.detach())}
        if self.reference:
            kl = kl_estimate(chosen, batch["reference_log_probs"])
            costs = costs + self.config.kl * kl
            terms["kl"] = kl.detach().mean()
        return row_means(costs, rows, len(batch["weights"])).mean(), terms


def group_advantages(rewards: Sequence[float]) -> list[float]:
    """(r - mean) / standard deviation over a group, the population's; 0 where all rewards are equal.

    Nothing is added to the deviation, which is far from 0 where rewards differ by more than rounding does.
    """
    mean, deviation = fmean(rewards), pstdev(map(float, rewards))
    return [(reward - mean) / deviation if deviation > 1e-6 else 0.0 for reward in rewards]


def kl_estimate(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """KL(policy || reference) estimated from one sampled token each: e^d - d - 1 with d = reference - policy.

    Never negative, and unbiased where the policy sampled the token ("k3": Schulman,
    http://joschu.net/blog/kl-approx.html; Eq. 4 of GRPO's paper, Shao et al. 2024). (N,), (N,) -> (N,).
    """
    log_ratios = reference_log_probs - log_probs
    return log_ratios.exp() - log_ratios - 1
