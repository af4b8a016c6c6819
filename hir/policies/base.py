"""What a policy is: the language model as methods and samplers see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from hir.records import TOKEN_VALUES, TrainingExample
from hir.registry import Registry

Batch = Mapping[str, Any]
"""B rows with N trained tokens in all: ``labels`` (N,), the tokens, and ``rows`` (N,), the row of each;
``weights`` and ``correct`` (B,); those of ``records.TOKEN_VALUES`` that the rows bring, (N,) each; and what
the policy needs besides."""


class Output(NamedTuple):
    """What a policy makes of a batch's N trained tokens under its K instructions, the rows' own first."""

    logits: Tensor
    """(K, N, V)"""
    hidden: Tensor
    """(K, N, D), the states that the logits are made of."""


class Policy(Protocol):
    """The language model as a method sees it."""

    @property
    def hidden_size(self) -> int:
        """Width D of the states that logits are made of."""

    def render(self, instruction: str, query: str, prefix: str = "") -> str:
        """The prompt of a query under an instruction; it may hold the start of the answer."""

    def __call__(self, batch: Batch) -> Output: ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of an answer's tokens, without special tokens and outer spaces."""

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """Tokens that a perfect policy would have sampled for ``text``, end token last."""


POLICIES: Registry[Any] = Registry(__package__, "model.policy")
"""By name, the class of a policy: ``kind(model, tokenizer, max_input_tokens)``."""
register = POLICIES.register


def row_tensors(rows: Sequence[TrainingExample]) -> dict[str, Tensor]:
    """What of B rows methods read: see ``Batch``."""
    return {
        "labels": torch.tensor([token for row in rows for token in row.output_ids]),
        "rows": torch.tensor([i for i, row in enumerate(rows) for _ in row.output_ids]),
        "weights": torch.tensor([row.weight for row in rows]),
        "correct": torch.tensor([row.correct for row in rows]),
        **{
            name: torch.tensor([value for row in rows for value in getattr(row, name)])
            for name in TOKEN_VALUES
            if getattr(rows[0], name)
        },
    }


def padded(sequences: Sequence[Sequence[int]], value: int) -> Tensor:
    """Right-padded (B, longest) long tensor."""
    longest = max(len(sequence) for sequence in sequences)
    return torch.tensor([[*sequence, *[value] * (longest - len(sequence))] for sequence in sequences])


def token_mask(sequences: Sequence[Sequence[int]]) -> Tensor:
    """(B, longest): 1 at tokens, 0 at padding."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return (torch.arange(int(lengths.max())) < lengths[:, None]).long()
