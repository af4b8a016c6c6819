"""Hindsight Instruction Relabeling (Zhang et al. 2023, Algorithm 1): keep failures, rewrite their goal."""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch import Tensor

from hir.config import MethodConfig
from hir.instructions import Instructions
from hir.losses import (
    contrastive_instruction_loss,
    mean_entropy,
    mean_log_prob,
    smoothed_nll,
    token_log_probs,
)
from hir.methods.base import Batch, Decode, Policy, register
from hir.records import Rollout, TrainingExample


@register("hir")
class HIR:
    """L = L_supervise + alpha L_contrastive + beta L_entropy on relabeled rollouts (Eq. 4 to 6).

    Departures from the paper, each switchable: log-probabilities are means over tokens, as in the reference
    code; the contrast is smoothed by epsilon, as there; wrong rows can weigh less in L_supervise.
    """

    def __init__(self, config: MethodConfig, instructions: Instructions, decode: Decode) -> None:
        self.config = config
        self.instructions = instructions
        self.decode = decode

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """One row a rollout, under the instruction its answer fits; an empty answer teaches nothing."""
        return [self._relabel(rollout, rng) for rollout in rollouts if rollout.output_ids]

    def _relabel(self, rollout: Rollout, rng: random.Random) -> TrainingExample:
        instruction = self.instructions.relabel(rollout.correct)
        contrast: tuple[str, ...] = ()
        if self.config.alpha and self.config.contrast == "negated":
            contrast = (self.instructions.negate(instruction),)
        elif self.config.alpha:
            everything = (self.instructions.correct, self.instructions.wrong, *self.instructions.others)
            contrast = tuple(other for other in dict.fromkeys(everything) if other != instruction)
        prefix_ids, output_ids, prompt_suffix = self._sub_output(rollout.output_ids, rng)
        return TrainingExample(
            iteration=rollout.iteration,
            query=rollout.query,
            instruction=instruction,
            output_ids=output_ids,
            correct=rollout.correct,
            contrast=contrast,
            weight=1.0 if rollout.correct else self.config.wrong_weight,
            prefix_ids=prefix_ids,
            prompt_suffix=prompt_suffix,
        )

    def _sub_output(
        self, output_ids: tuple[int, ...], rng: random.Random
    ) -> tuple[tuple[int, ...], tuple[int, ...], str]:
        """Given prefix, trained tokens and prompt suffix; the part is drawn anew for every rollout."""
        if self.config.sub_output == "none":
            return (), output_ids, ""
        start = rng.randrange(len(output_ids))
        if self.config.sub_output == "decoder":
            return output_ids[:start], output_ids[start:], ""
        end = rng.randint(start + 1, len(output_ids))
        return (), output_ids[start:end], self.decode(output_ids[:start])

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        log_probs = token_log_probs(policy(batch))  # (K, B, T, V)
        labels = batch["labels"]  # (B, T)
        supervise = smoothed_nll(log_probs[0], labels, self.config.epsilon, batch["weights"])
        entropy = mean_entropy(log_probs[0], labels)
        loss = supervise - self.config.beta * entropy
        terms = {"supervise": supervise.detach(), "entropy": entropy.detach()}
        if len(log_probs) > 1:
            of_outputs = mean_log_prob(log_probs.flatten(0, 1), labels.repeat(len(log_probs), 1))
            contrast = contrastive_instruction_loss(of_outputs.view(len(log_probs), -1), self.config.epsilon)
            loss = loss + self.config.alpha * contrast
            terms["contrast"] = contrast.detach()
        return loss, terms
