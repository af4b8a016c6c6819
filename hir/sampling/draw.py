"""Draws tokens. Every random number belongs to a prompt, an answer and a position: but for rounding, the size
of a batch changes no answer.
"""

import torch
from torch import Tensor

from hir.config.schema import SamplingConfig


def uniforms_for(prompts: int, samples: int, seed: int | None, config: SamplingConfig) -> Tensor | None:
    """What ``draw`` needs for all answers, (prompts, samples, max_new_tokens, 2) in [0, 1); no seed, None."""
    if seed is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(prompts, samples, config.max_new_tokens, 2, generator=generator)


def draw(
    logits: Tensor, row_of: Tensor, uniforms: Tensor | None, config: SamplingConfig
) -> tuple[Tensor, Tensor]:
    """The next token of N answers, and its log-probability under the policy as it is: temperature 1, uncut.

    Args:
        logits: (R, V), float32.
        row_of: (N,) the row that each answer's token is drawn from.
        uniforms: (N, 2) numbers in [0, 1); None takes the likeliest token, and gives no log-probability.
        config: temperature, top_k, top_p.
    """
    if uniforms is None:
        tokens = logits.argmax(-1)[row_of]
        return tokens, torch.zeros_like(tokens, dtype=torch.float32)
    own = logits.softmax(-1)
    probs = (own if config.temperature == 1 else (logits / config.temperature).softmax(-1))[row_of]
    if not 0 < config.top_k < probs.shape[1] and config.top_p == 1:
        tokens = _invert(probs, uniforms[:, 0])
    elif probs.is_cuda or config.top_k and config.top_p < 1:
        tokens = _draw_cut(probs, uniforms[:, 1], config)
    else:
        # Sorting costs more than all else here. A draw from the whole distribution that falls within the cut
        # is a draw from the cut one; only the others, few as a rule, are drawn anew.
        tokens = _invert(probs, uniforms[:, 0])
        likelier = probs > probs.gather(-1, tokens[:, None])
        if config.top_k:
            outside = likelier.sum(-1) >= config.top_k
        else:
            outside = (probs * likelier).sum(-1) >= config.top_p
        tokens[outside] = _draw_cut(probs[outside], uniforms[outside, 1], config)
    return tokens, own[row_of, tokens].log()


def _draw_cut(probs: Tensor, uniforms: Tensor, config: SamplingConfig) -> Tensor:
    """Tokens (N,) from the top_k likeliest of probs (N, V), and of those the fewest that hold top_p."""
    kept, tokens = probs.topk(min(config.top_k, probs.shape[1]) or probs.shape[1])
    before = kept.cumsum(-1) - kept
    kept = kept.where(before < config.top_p * kept.sum(-1, keepdim=True), 0.0)
    return tokens.gather(-1, _invert(kept, uniforms)[:, None]).squeeze(-1)


def _invert(weights: Tensor, uniforms: Tensor) -> Tensor:
    """The index (N,) at which the cumulative sum of weights (N, V) passes each uniform share of the total."""
    total = weights.cumsum(-1)
    index = torch.searchsorted(total, uniforms[:, None] * total[:, -1:], right=True).squeeze(-1)
    return index.clamp(max=weights.shape[1] - 1)
