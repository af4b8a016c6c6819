"""Packs of outputs by hand; that they change no number is test_attention.py's."""

import pytest

from hir.policies.base import buckets
from hir.t5 import packing
from hir.t5.packing import pack


@pytest.mark.parametrize(
    ("lengths", "cut"),
    [
        ([5, 5, 5], [[5, 5, 5]]),
        ([8, 9, 10], [[8, 9, 10]]),  # 2 of 30 tokens are saved at most
        ([5, 5, 10], [[5, 5], [10]]),  # 10 of 30
        ([4, 5, 5, 9, 10], [[4, 5, 5], [9, 10]]),  # 15 of 50; further cuts would save 1 of 15 and 1 of 20
        ([1, 1, 5, 5, 20, 20], [[1, 1], [5, 5], [20, 20]]),
    ],
)
def test_buckets(lengths: list[int], cut: list[list[int]]) -> None:
    sequences = [[7] * length for length in lengths]
    assert [[len(sequence) for sequence in bucket] for bucket in buckets(sequences)] == cut
    assert buckets(sequences, cut=False) == [sequences]


def test_pack_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_PACK", 5)
    # Prompt 0 is read by three outputs: at most 5 tokens, so the third starts another pack. Prompt 1 is read
    # by one, which is longer than a pack.
    outputs = [[11, 12], [21, 22, 23, 24, 25, 26], [13, 14, 15], [16]]
    packs, places = pack(outputs, [0, 1, 0, 0], pad_id=9)
    assert [[tensor.tolist() for tensor in bucket] for bucket in packs] == [
        [[0], [[16]], [[1]]],
        [[0, 1], [[11, 12, 13, 14, 15, 9], [21, 22, 23, 24, 25, 26]], [[1, 1, 2, 2, 2, 0], [1] * 6]],
    ]
    # 1 place in the first bucket, then rows of 6.
    assert places == [1, 7, 3, 0]
