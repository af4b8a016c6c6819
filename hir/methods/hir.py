"""Hindsight Instruction Relabeling (Zhang et al. 2023, Algorithm 1): keep failures, rewrite their goal."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from hir import losses
from hir.config.schema import check, limited
from hir.methods.base import Method, register
from hir.policies.base import Batch, Policy
from hir.records import Rollout, TrainingExample
from hir.relabel.base import Relabel


@register("hir")
class HIR(Method):
    """L = L_supervise + alpha L_contrastive + beta L_entropy on relabeled rollouts (Eq. 4 to 6).

    Departures from the paper: log-probabilities are means over tokens, as in the reference code; the contrast
    is smoothed by epsilon, as there. Two more are off by default: wrong rows can weigh less in L_supervise,
    and there can be an unlikelihood term of wrong answers under p_correct, since the contrast's gradient
    vanishes where the policy is sure of a wrong answer, and an answer never sampled is never found right.
    """

    @dataclass
    class Settings:
        alpha: float = limited(1.0, "[0, inf)")
        """Weight of the contrastive instruction loss."""
        beta: float = limited(0.001, "[0, inf)")
        """Weight of the entropy term."""
        epsilon: float = limited(0.2, "[0, 1)")
        """Label smoothing of the supervised loss and of the contrast."""
        contrast: Literal["negated", "set"] = "negated"
        """negated: own against the opposite instruction; set: against all of instructions."""
        sub_output: Literal["none", "decoder"] = "none"
        """decoder: sub-output relabeling, where what is before the trained part of an answer, drawn anew for
        every rollout, stays in the decoder (paper)."""
        wrong_weight: float = limited(1.0, "[0, inf)")
        """Factor of the supervised loss on wrong rows."""
        unlikelihood: float = limited(0.0, "[0, inf)")
        """Weight of -log(1 - P) of wrong answers under the goal, a mean over rows; 0 as in the paper."""

        def __post_init__(self) -> None:
            rule = "0 with method.sub_output, since a part of a wrong answer may be right"
            whole = not self.unlikelihood or self.sub_output == "none"
            check(whole, "method.unlikelihood", rule, self.unlikelihood)

    def __init__(self, config: Settings, relabel: Relabel, policy: Policy) -> None:
        self.config, self.phi = config, relabel

    def instruction(self, rollout: Rollout) -> str | None:
        """The one that the answer fits."""
        return self.phi.instruction(rollout)

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """One row a rollout, under the instruction its answer fits."""
        rows = []
        for rollout in self.phi.select(rollouts):
            if instruction := self.instruction(rollout):
                achieved, ids = self.phi.achieved(rollout), rollout.output_ids
                start = rng.randrange(len(ids)) if self.config.sub_output == "decoder" else 0
                row = TrainingExample.of(
                    rollout,
                    instruction,
                    contrast=self._contrast(rollout),
                    weight=1.0 if achieved else self.config.wrong_weight,
                    correct=achieved,
                    prefix_ids=ids[:start],
                    output_ids=ids[start:],
                )
                rows.append(row)
        return rows

    def _contrast(self, rollout: Rollout) -> tuple[str, ...]:
        if not self.config.alpha and not self.config.unlikelihood:
            return ()
        return self.phi.contrast(rollout)[: 1 if self.config.contrast == "negated" else None]

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        log_probs = losses.token_log_probs(policy(batch).logits)  # (K, N, V)
        labels, rows, weights = batch["labels"], batch["rows"], batch["weights"]
        supervise = losses.smoothed_nll(log_probs[0], labels, self.config.epsilon, weights[rows])
        entropy = losses.mean_entropy(log_probs[0])
        loss = supervise - self.config.beta * entropy
        terms = {"supervise": supervise.detach(), "entropy": entropy.detach()}
        if len(log_probs) > 1:
            chosen = losses.chosen_log_probs(log_probs, labels)  # (K, N)
            of_outputs = losses.row_means(chosen, rows, len(weights))  # (K, B)
            contrast = losses.contrastive_instruction_loss(of_outputs, self.config.epsilon)
            loss = loss + self.config.alpha * contrast
            terms["contrast"] = contrast.detach()
        if self.config.unlikelihood:
            # Of a wrong row's other instructions the goal is the first.
            costs = losses.unlikelihood(losses.row_sums(chosen[1], rows, len(weights)))
            unlikely = (costs * ~batch["correct"]).mean()
            loss = loss + self.config.unlikelihood * unlikely
            terms["unlikelihood"] = unlikely.detach()
        return loss, terms
