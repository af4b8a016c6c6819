"""What methods that weigh probabilities, PPO and GRPO, ask of a policy besides a forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from hir.losses import chosen_log_probs, token_log_probs
from hir.policies.base import Batch, Output, Policy
from hir.records import TrainingExample

SCORED_ROWS = 128
"""Rows a forward pass."""


class ScoringPolicy(Policy, Protocol):
    """A Policy that scores rows, and remembers what it was.

    Who inherits from it is a module with ``model``, ``tokenizer``, ``device`` and ``collate``.
    """

    def outputs(
        self: Any, rows: Sequence[TrainingExample], model: Callable[[Batch], Output] | None = None
    ) -> Iterator[tuple[Batch, Output]]:
        """The rows in batches, on the device, with what the policy, or ``model``, makes of them.

        In their order, in eval mode and without gradients.
        """
        for start in range(0, len(rows), SCORED_ROWS):
            batch = move_data_to_device(self.collate(rows[start : start + SCORED_ROWS]), self.device)
            with evaluating(self):
                output = (model or self)(batch)
            yield batch, output

    def frozen(self: Any) -> Callable[[Batch], Output]:
        """The policy with its weights of now, for good: a copy, or itself with its adapters off."""
        twin, adapters = self, getattr(self.model, "disable_adapter", nullcontext)
        if adapters is nullcontext:
            twin = copy.deepcopy(self, {id(self.tokenizer): self.tokenizer}).requires_grad_(False).eval()

        def start(batch: Batch) -> Output:
            with adapters():
                output: Output = twin.to(self.device)(batch)
            return output

        return start


@contextmanager
def evaluating(policy: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients; the mode it was in comes back."""
    training = policy.training
    policy.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        policy.train(training)


def label_log_probs(outputs: Iterable[tuple[Batch, Output]]) -> list[tuple[float, ...]]:
    """Log-probabilities of the tokens of each row, from what a policy makes of batches of them."""
    of_rows: list[tuple[float, ...]] = []
    for batch, output in outputs:
        of_tokens = chosen_log_probs(token_log_probs(output.logits[0]), batch["labels"])
        of_rows += by_row(of_tokens, batch["rows"])
    return of_rows


def by_row(values: Tensor, rows: Tensor) -> list[tuple[float, ...]]:
    """The numbers of each row's tokens, from those of all tokens (N,); no row is without."""
    return [tuple(part.tolist()) for part in values.split(rows.bincount().tolist())]
