"""Packs: outputs to the same prompt stand side by side in one row of the decoder, which reads it once.

A token sees the tokens before it of its own output alone. T5's position bias depends on the distance of two
tokens only, so that an output is worth the same at any place of a row. transformers calls the attention below
from its own modules: adapters, sharding by block and gradient checkpointing work as with its own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from hir.policies.base import buckets, padded

ATTENTION = "packed_outputs"
MAX_PACK = 128
"""Most tokens in a pack of several outputs: attention within it costs their square."""


class Packs(NamedTuple):
    """R packs of like length T."""

    prompts: Tensor
    """(R,) number of the prompt that each reads."""
    input_ids: Tensor
    """(R, T) what the decoder reads: each output behind a start token, but for its last token."""
    segments: Tensor
    """(R, T) which output of its pack a token is of, from 1; 0 is padding."""


def pack(
    outputs: Sequence[Sequence[int]], prompts: Sequence[int], pad_id: int, cut: bool = True
) -> tuple[list[Packs], list[int]]:
    """Packs of outputs in buckets, and the place of each output's first token in their (R, T), all flattened.

    An output comes as the decoder's input, with the number of its prompt; ``cut`` as in ``buckets``.
    """

    def length(numbers: list[int]) -> int:
        return sum(len(outputs[n]) for n in numbers)

    rows: list[list[int]] = []  # the outputs in each pack
    newest: dict[int, list[int]] = {}  # by prompt
    for number, prompt in enumerate(prompts):
        if prompt not in newest or length([*newest[prompt], number]) > MAX_PACK:
            newest[prompt] = []
            rows.append(newest[prompt])
        newest[prompt].append(number)
    packs, places, start = [], [0] * len(outputs), 0
    for bucket in buckets(sorted(rows, key=length), cut, length):
        for numbers in bucket:
            place = start
            for number in numbers:
                places[number] = place
                place += len(outputs[number])
            start += length(bucket[-1])
        index = torch.tensor([prompts[numbers[0]] for numbers in bucket])
        joined = [[token for n in numbers for token in outputs[n]] for numbers in bucket]
        segments = [[i + 1 for i, n in enumerate(numbers) for _ in outputs[n]] for numbers in bucket]
        packs.append(Packs(index, padded(joined, pad_id), padded(segments, 0)))
    return packs, places


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
    """Output (R, T, H, D) for query (R, H, T, D) and key and value (R, H, S, D), plain without ``shared``.

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


def segment_mask(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """(R, T) -> (R, 1, T, T): 0 where a token is read, the lowest number elsewhere."""
    hidden = (segments[:, :, None] == segments[:, None, :]).tril_().logical_not_()
    mask = torch.zeros(hidden.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None]


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


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)
