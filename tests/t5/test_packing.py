"""Packs of outputs by hand; that they change no number is test_attention.py's."""

import pytest

from hir.t5 import packing
from hir.t5.packing import buckets, pack


@pytest.mark.parametrize(
    ("lengths", "cut"),
    [
        ([5], [[5]]),
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


def test_pack_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_PACK", 5)
    # Prompt 0 is read by three outputs, prompt 1 by one. At most 5 tokens: the third starts another pack.
    outputs = [[11, 12], [21, 22, 23, 24], [13, 14, 15], [16]]
    packs, places = pack(outputs, [0, 1, 0, 0], pad_id=9)
    assert [[tensor.tolist() for tensor in bucket] for bucket in packs] == [
        [[0], [[16]], [[1]]],
        [[1, 0], [[21, 22, 23, 24, 9], [11, 12, 13, 14, 15]], [[1, 1, 1, 1, 0], [1, 1, 2, 2, 2]]],
    ]
    # 1 place in the first bucket, then rows of 5.
    assert places == [6, 1, 8, 0]


def test_an_output_longer_than_a_pack_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_PACK", 2)
    packs, places = pack([[1, 2, 3], [4]], [0, 0], pad_id=0)
    assert [bucket.input_ids.tolist() for bucket in packs] == [[[4]], [[1, 2, 3]]]
    assert places == [1, 0]
