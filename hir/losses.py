"""The terms of the HIR loss as pure functions of tensors (Zhang et al. 2023, Eq. 4 to 6).

Shapes: B rows, T output positions, V vocabulary, K instructions. ``labels`` hold -100 where nothing is
trained: padding, and the given prefix under sub-output relabeling. Functions of ``logits`` have a twin of
``log_probs``, for a loss of several terms that takes the softmax once.
"""

from __future__ import annotations

import torch
from torch import Tensor

IGNORE = -100


def token_log_probs(logits: Tensor) -> Tensor:
    """Log-probabilities over the vocabulary, the last axis, in float32 or finer."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(dtype).log_softmax(-1)


def label_smoothed_nll(
    logits: Tensor, labels: Tensor, epsilon: float, row_weights: Tensor | None = None
) -> Tensor:
    """Label-smoothed token cross entropy, mean over real tokens (L_supervise, Eq. 4).

    A token costs (1 - epsilon) * -log p(label) + epsilon * mean over the vocabulary of -log p.

    Args:
        logits: (B, T, V).
        labels: (B, T), -100 where ignored.
        epsilon: smoothing in [0, 1); the paper uses 0.2.
        row_weights: (B,) factors of the rows' tokens; None counts every row fully.
    """
    return smoothed_nll(token_log_probs(logits), labels, epsilon, row_weights)


def smoothed_nll(
    log_probs: Tensor, labels: Tensor, epsilon: float, row_weights: Tensor | None = None
) -> Tensor:
    """``label_smoothed_nll`` of token log-probabilities (B, T, V)."""
    real = labels != IGNORE
    nll = -log_probs.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    cost = (1 - epsilon) * nll
    if epsilon:
        cost = cost - epsilon * log_probs.mean(-1)
    if row_weights is not None:
        cost = cost * row_weights.unsqueeze(-1)
    return (cost * real).sum() / real.sum().clamp(min=1)


def sequence_log_prob(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean log-probability a real token, (B, T, V) and (B, T) -> (B,).

    Length-normalised as in the reference code, where the paper sums; 0 for a row without real tokens.
    """
    return mean_log_prob(token_log_probs(logits), labels)


def mean_log_prob(log_probs: Tensor, labels: Tensor) -> Tensor:
    """``sequence_log_prob`` of token log-probabilities (B, T, V)."""
    chosen = log_probs.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    real = labels != IGNORE
    return (chosen * real).sum(-1) / real.sum(-1).clamp(min=1)


def contrastive_instruction_loss(log_probs: Tensor, epsilon: float) -> Tensor:
    """Each output must be likelier under its own instruction than under the others (Eq. 5).

    The paper has epsilon = 0. The reference code smooths, (1 - epsilon) * -log s_own + epsilon * the mean of
    -log s_other over the others, which bounds the best margin at log((1 - epsilon) / epsilon) for two.

    Args:
        log_probs: (K, B) log-probability of each output under each instruction, its own in row 0.
        epsilon: smoothing in [0, 1).
    """
    log_share = log_probs.log_softmax(0)
    loss = -(1 - epsilon) * log_share[0]
    if epsilon:
        loss = loss - epsilon * log_share[1:].mean(0)
    return loss.mean()


def token_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean entropy in nats of the token distributions at real positions; L_entropy (Eq. 6) is minus it."""
    return mean_entropy(token_log_probs(logits), labels)


def mean_entropy(log_probs: Tensor, labels: Tensor) -> Tensor:
    """``token_entropy`` of token log-probabilities (B, T, V)."""
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    real = labels != IGNORE
    return (entropy * real).sum() / real.sum().clamp(min=1)
