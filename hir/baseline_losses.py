"""The terms of the baselines' losses, as pure functions of the tokens of a batch: see hir/losses.py."""

import torch
from torch import Tensor


def clipped_policy_loss(log_ratios: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """PPO's clipped surrogate objective, negated, a token (Schulman et al. 2017, Eq. 7), all (N,).

    -min(r A, clip(r, 1 - clip, 1 + clip) A) with r the policy's probability of a token by that of the policy
    that sampled it: nothing is gained by moving r further than ``clip`` in the direction that A asks for.

    Args:
        log_ratios: log r.
        advantages: A.
        clip: above 0 and below 1.
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


def kl_estimate(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """KL(policy || reference) estimated from one sampled token each: e^d - d - 1 with d = reference - policy.

    Never negative, and unbiased where the policy sampled the token ("k3": Schulman,
    http://joschu.net/blog/kl-approx.html; Eq. 4 of GRPO's paper, Shao et al. 2024). (N,), (N,) -> (N,).
    """
    log_ratios = reference_log_probs - log_probs
    return log_ratios.exp() - log_ratios - 1
