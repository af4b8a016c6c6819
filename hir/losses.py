"""The terms of the losses as pure functions of tensors (HIR: Zhang et al. 2023, Eq. 4 to 6; PPO, GRPO).

A batch of B rows has N trained tokens in all, side by side and unpadded: ``labels`` (N,) are the tokens and
``rows`` (N,) says which row each is of.
"""

import torch
from torch import Tensor


def token_log_probs(logits: Tensor) -> Tensor:
    """Log-probabilities over the vocabulary, the last axis, in float32 or finer."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def chosen_log_probs(log_probs: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each label, (..., N, V) and (N,) -> (..., N)."""
    return log_probs.gather(-1, labels.expand(log_probs.shape[:-1]).unsqueeze(-1)).squeeze(-1)


def row_sums(values: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    """Sum over the tokens of each row, (..., N) -> (..., B)."""
    return values.new_zeros(*values.shape[:-1], num_rows).index_add(-1, rows, values)


def row_means(values: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    """Mean over the tokens of each row, (..., N) -> (..., B); 0 for a row without tokens."""
    return row_sums(values, rows, num_rows) / rows.bincount(minlength=num_rows).clamp(min=1)


def smoothed_nll(
    log_probs: Tensor, labels: Tensor, epsilon: float, token_weights: Tensor | None = None
) -> Tensor:
    """Label-smoothed token cross entropy, mean over tokens (L_supervise, Eq. 4).

    A token costs (1 - epsilon) * -log p(label) + epsilon * mean over the vocabulary of -log p, with epsilon
    in [0, 1), in the paper 0.2; ``log_probs`` are (N, V), ``labels`` (N,). ``token_weights`` (N,) scale the
    cost and not the count.
    """
    cost = -(1 - epsilon) * chosen_log_probs(log_probs, labels)
    if epsilon:
        cost = cost - epsilon * log_probs.mean(-1)
    if token_weights is not None:
        cost = cost * token_weights
    return cost.sum() / max(1, len(labels))


def contrastive_instruction_loss(log_probs: Tensor, epsilon: float) -> Tensor:
    """Each output must be likelier under its own instruction than under the others (Eq. 5).

    The paper has epsilon = 0. The reference code smooths, (1 - epsilon) * -log s_own + epsilon * the mean of
    -log s_other over the others, which bounds the best margin at log((1 - epsilon) / epsilon) for two.
    ``log_probs`` (K, B) are of each output under each instruction, its own in row 0.
    """
    log_share = log_probs.log_softmax(0)
    loss = -(1 - epsilon) * log_share[0]
    if epsilon:
        loss = loss - epsilon * log_share[1:].mean(0)
    return loss.mean()


def unlikelihood(log_probs: Tensor) -> Tensor:
    """-log(1 - P) of outputs that must become unlikely, by their log P in whole, elementwise.

    Unlike log P in a contrast, it keeps its gradient where P is near 1, up to 1 - 1e-6. Welleck et al. 2019,
    arXiv 1908.04319, have it for each token; of a whole output it falls on the tokens that are least certain.
    """
    return -torch.log(-torch.expm1(log_probs.clamp(max=-1e-6)))


def mean_entropy(log_probs: Tensor) -> Tensor:
    """Mean entropy in nats of token distributions (N, V); L_entropy (Eq. 6) is minus it."""
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    return entropy.sum() / max(1, entropy.numel())
