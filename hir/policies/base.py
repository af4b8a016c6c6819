"""What a policy is: the language model as methods and samplers see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from hir.records import TrainingExample

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
    def hidden_size(self) -> int: ...

    def __call__(self, batch: Batch) -> Output: ...

    def collate(self, rows: Sequence[TrainingExample]) -> dict[str, Any]:
        """A batch, on the CPU."""
        ...

    def outputs(
        self, rows: Sequence[TrainingExample], model: Callable[[Batch], Output] | None = None
    ) -> Iterator[tuple[Batch, Output]]:
        """The rows in batches, on the device, with what the policy, or ``model``, makes of them.

        In their order, in eval mode and without gradients.
        """
        ...

    def frozen(self) -> Callable[[Batch], Output]:
        """The policy with its weights of now, for good."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of some tokens."""
        ...

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """Tokens that a perfect policy would have sampled for ``text``, end token last."""
        ...
