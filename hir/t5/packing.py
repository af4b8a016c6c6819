"""Packs: outputs to the same prompt stand side by side in one row of the decoder, which reads it once.

A token sees the tokens before it of its own output alone. T5's position bias depends on the distance of two
tokens only, so that an output is worth the same at any place of a row.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hir.policies.base import padded

MAX_PACK = 128
"""Most tokens in a pack of several outputs: attention within it costs their square."""
WORTH_A_CUT = 0.15


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
    """Pack outputs, and say where each went.

    Args:
        outputs: the decoder's input for each output.
        prompts: number of the prompt that each reads.
        pad_id: fills up packs.
        cut: see ``buckets``.

    Returns:
        Packs in buckets, and the place of each output's first token in the buckets' (R, T), flattened, one
        after the other.
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


def segment_mask(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """(R, T) -> (R, 1, T, T): 0 where a token is read, the lowest number elsewhere."""
    same = segments[:, :, None] == segments[:, None, :]
    hidden = same.tril_().logical_not_()
    mask = torch.zeros(hidden.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None]


def buckets(
    items: Sequence[list[int]], cut: bool = True, length: Callable[[list[int]], int] = len
) -> list[Sequence[list[int]]]:
    """Items, ordered by length, cut where that drops at least ``WORTH_A_CUT`` of the padded tokens.

    All in one if not ``cut``.
    """
    longest = length(items[-1])
    # A cut at i pads the first i to the length of the last of them.
    saved, at = max(((longest - length(item)) * i, i) for i, item in enumerate(items, 1))
    if not cut or saved < WORTH_A_CUT * len(items) * longest:
        return [items]
    return [*buckets(items[:at], cut, length), *buckets(items[at:], cut, length)]
