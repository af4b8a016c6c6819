"""Attention for T5 where several outputs to a prompt stand in one row of the decoder.

transformers calls a registered function from its own modules, so adapters, sharding by block and gradient
checkpointing work as with its own attention. Without ``shared``, as in generate, it is plain.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from hir.t5.packing import segment_mask

NAME = "packed_outputs"


class Shared:
    """What the layers of a stack share in one pass through it.

    No dataclass: FSDP hands copies of those to the layers.
    """

    def __init__(self, segments: Tensor | None = None) -> None:
        self.segments = segments
        """(R, T) of a decoder's packs."""
        self.bias: Tensor | None = None
        """Position bias and mask as one tensor, once the first layer has run."""


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float,
    position_bias: Tensor,
    shared: Shared | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Output (R, T, H, D) for query (R, H, T, D) and key and value (R, H, S, D).

    ``attention_mask`` is 0 where a token is read and the lowest number elsewhere, (R, 1, T, S), or None;
    ``position_bias`` (1, H, T, S).
    """
    shared = shared or Shared()
    if module.is_decoder and not module.is_causal:  # cross-attention: its position bias is all zeros
        bias = attention_mask
    else:
        # The first layer owns the position bias; gradient checkpointing runs it again, which makes a new one.
        if shared.bias is None or module.has_relative_attention_bias:
            mask = attention_mask if shared.segments is None else segment_mask(shared.segments, query.dtype)
            shared.bias = position_bias if mask is None else position_bias + mask
        bias = shared.bias
    # On a CPU plain products are faster, forward and backward, than the fused ones with a bias that learns.
    products = plain_products if query.device.type == "cpu" else fused_products
    return products(query, key, value, bias, dropout).transpose(1, 2), None


def fused_products(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    """softmax(query key^T + bias) value in one kernel; T5 does not scale the products."""
    if bias is not None:
        bias = bias.to(query.dtype).expand(len(query), query.shape[1], query.shape[2], key.shape[2])
    return F.scaled_dot_product_attention(query, key, value, bias, dropout, scale=1.0)


def plain_products(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    """The same, written out."""
    scores = torch.matmul(query, key.transpose(2, 3))
    if bias is not None:
        scores = scores.add_(bias)
    return torch.matmul(F.dropout(scores.softmax(-1), dropout), value)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, eager_mask)
