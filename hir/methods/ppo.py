"""Proximal Policy Optimization from right/wrong feedback, the RL baseline of HIR's paper."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from hir.config.schema import limited
from hir.losses import chosen_log_probs, mean_entropy, token_log_probs
from hir.methods.base import Method, register
from hir.policies.base import Batch, Policy, label_log_probs
from hir.records import Rollout, TrainingExample
from hir.relabel.base import Relabel


@register("ppo")
class PPO(nn.Module, Method):
    """L = clipped policy loss + value_weight * clipped value loss - beta * entropy, means over tokens.

    Sources: Schulman et al. 2017, arXiv 1707.06347 (Eq. 7 and 9); generalized advantage estimation, Schulman
    et al. 2015, arXiv 1506.02438; Ziegler et al. 2019, arXiv 1909.08593, for language: the reward of an
    answer's last token is 1 if it is right and 0 if not, and every token pays kl * (log-probability under the
    policy that sampled it - that under the start weights). HIR's paper (Zhang et al. 2023, arXiv 2302.05206)
    runs it as a baseline and gives no settings.

    The value function is linear in the decoder's states, which it trains along with the policy. Advantages
    are whitened over a batch on a device. Values are clipped around the old ones by the policy's ``clip``.
    An answer cut at its greatest length counts as ended. Departure: kl is constant, not controlled.
    """

    @dataclass
    class Settings:
        beta: float = limited(0.001, "[0, inf)")
        """Weight of the entropy term."""
        clip: float = limited(0.2, "(0, 1)")
        """Clipping range: nothing is gained by a probability ratio outside 1 - clip .. 1 + clip, nor by a
        value further than clip from the old one."""
        kl: float = limited(0.01, "[0, inf)")
        """Weight of the KL divergence from the start weights, a penalty on the reward; 0: no copy of them."""
        discount: float = limited(1.0, "[0, 1]")
        """Discount of rewards, each token."""
        gae_lambda: float = limited(0.95, "[0, 1]")
        """Lambda of generalized advantage estimation: 0 trusts the values, 1 the rewards alone."""
        value_weight: float = limited(0.1, "[0, inf)")
        """Weight of the value loss."""
        reward: Literal["correct", "score"] = "correct"
        """What an answer earns: 1 if it is right, or its score, such as the share of constraints met."""

    on_policy = True
    asks_policy = True  # relabel asks the live value function

    def __init__(self, config: Settings, relabel: Relabel, policy: Policy) -> None:
        super().__init__()
        self.config = config
        self.value_head = nn.Linear(policy.hidden_size, 1)
        nn.init.zeros_(self.value_head.weight)  # values of 0 at first, and no seed that matters
        nn.init.zeros_(self.value_head.bias)
        self.score = policy.score  # not the policy itself, which would become a submodule
        self.reference = policy.frozen() if config.kl else None

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """One row an answer, with advantages and returns by the values of now."""
        rows = [TrainingExample.of(r, r.instruction, log_probs=r.log_probs) for r in rollouts]
        values = self.score(rows, lambda batch, output: self.values(output.hidden[0]))
        reference = [row.log_probs for row in rows]
        if self.reference:
            reference = self.score(rows, label_log_probs, self.reference)
        earned = [float(getattr(r.verdict, self.config.reward)) for r in rollouts]
        return list(map(self._with_advantages, rows, earned, values, reference))

    def _with_advantages(
        self, row: TrainingExample, earned: float, values: Sequence[float], reference: Sequence[float]
    ) -> TrainingExample:
        rewards = [-self.config.kl * (p - q) for p, q in zip(row.log_probs, reference, strict=True)]
        rewards[-1] += earned
        advantages = generalized_advantages(rewards, values, self.config.discount, self.config.gae_lambda)
        returns = [a + v for a, v in zip(advantages, values, strict=True)]
        return replace(row, advantages=tuple(advantages), returns=tuple(returns))

    def values(self, hidden: Tensor) -> Tensor:
        """What is still to be earned, in float32, (N, D) -> (N,): a token's state is what comes before it."""
        with torch.autocast(hidden.device.type, enabled=False):
            values: Tensor = self.value_head(hidden.to(self.value_head.weight.dtype)).squeeze(-1)
            return values

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        config, output = self.config, policy(batch)
        log_probs = token_log_probs(output.logits[0])  # (N, V)
        log_ratios = chosen_log_probs(log_probs, batch["labels"]) - batch["log_probs"]
        advantages, returns = batch["advantages"], batch["returns"]
        policy_loss = clipped_policy_loss(log_ratios, whiten(advantages), config.clip).mean()
        old_values = returns - advantages  # as relabel made returns
        values = self.values(output.hidden[0])
        value_loss = clipped_value_loss(values, old_values, returns, config.clip).mean()
        entropy = mean_entropy(log_probs)
        loss = policy_loss + config.value_weight * value_loss - config.beta * entropy
        terms = {"policy": policy_loss, "value": value_loss, "entropy": entropy}
        return loss, {name: term.detach() for name, term in terms.items()}


def generalized_advantages(
    rewards: Sequence[float], values: Sequence[float], discount: float, gae_lambda: float
) -> list[float]:
    """A_t = delta_t + discount * lambda * A_(t+1), delta_t = r_t + discount * V_(t+1) - V_t; 0 after the end.

    ``rewards`` are of each token, ``values`` of the state before it.
    """
    advantages: list[float] = []
    advantage = next_value = 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        advantage = reward + discount * next_value - value + discount * gae_lambda * advantage
        advantages.append(advantage)
        next_value = value
    return advantages[::-1]


def clipped_policy_loss(log_ratios: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """PPO's clipped surrogate objective, negated, a token (Schulman et al. 2017, Eq. 7), all (N,).

    -min(r A, clip(r, 1 - clip, 1 + clip) A) with r the policy's probability of a token by that of the policy
    that sampled it: nothing is gained by moving r further than ``clip`` in the direction that A asks for.
    """
    ratios = log_ratios.exp()
    return -torch.minimum(ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages)


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the squared error, of the worse of a value and the value held within ``clip`` of the old one.

    As in OpenAI's baselines; the paper has no clipping here. All (N,).
    """
    held = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (held - returns).square())


def whiten(values: Tensor) -> Tensor:
    """The values with mean 0 and standard deviation 1 (the population's); 0 where all are equal."""
    centred = values - values.mean()
    return centred / (centred.square().mean().sqrt() + 1e-4)  # rounding of equal values is not blown up
