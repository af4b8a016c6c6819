"""A policy with given outputs, for losses and rows that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any

import torch

from hir.config.schema import InstructionConfig
from hir.methods.base import build_method
from hir.policies.base import Batch, Output, row_tensors
from hir.records import Rollout, TrainingExample, Verdict
from hir.relabel.base import Relabel

RIGHT, WRONG = "Be right.", "Be wrong."
START = [1 / 2, 1 / 4, 1 / 4]
"""The start weights give every token these probabilities."""
LN2 = log(2)
FIRST, SECOND, THIRD = [0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]
"""One of three words likelier than the others: -log p is ln 2 for it and 2 ln 2 for the others, 5/3 ln 2 in
the mean, and the entropy is 3/2 ln 2."""


def instructions(*others: str) -> Relabel:
    return Relabel(InstructionConfig(RIGHT, WRONG, list(others)))


def build(name: str, policy: Any = None, others: Sequence[str] = (), **config: Any) -> Any:
    """The method of that name, with settings."""
    return build_method({"name": name, **config}, instructions(*others), policy or FakePolicy())


def decode(ids: Sequence[int]) -> str:
    return "-".join(map(str, ids))


def rollout(
    correct: bool, output_ids: tuple[int, ...], query: str = "How many?", log_probs: tuple[float, ...] = ()
) -> Rollout:
    verdict, log_probs = Verdict(correct, float(correct)), log_probs or (-1.0,) * len(output_ids)
    return Rollout(3, query, RIGHT, decode(output_ids), output_ids, verdict, "2", log_probs)


class FakePolicy:
    """Tokens of three words, states of width 1.

    Args:
        probabilities: (K, N, V), what it makes of a batch.
        hidden: (K, N, D), the states that come with them.
    """

    hidden_size = 1

    def __init__(self, probabilities: Any = None, hidden: Any = None) -> None:
        if probabilities is not None:
            self.logits = torch.tensor(probabilities).log().requires_grad_()
        self.hidden = torch.tensor([[[0.0]]] if hidden is None else hidden).requires_grad_()
        self.asked: list[Batch] = []
        self.num_frozen = 0

    def __call__(self, batch: Batch) -> Output:
        self.asked.append(batch)
        return Output(self.logits, self.hidden)

    def score(
        self, rows: Sequence[TrainingExample], values: Any, model: Callable[[Batch], Output] | None = None
    ) -> list[tuple[float, ...]]:
        """A row at a time. The state before a token is the token, so that a value shows whose it is."""
        scores = []
        for row in rows:
            batch = row_tensors([row])
            own = Output(torch.empty(1, len(row.output_ids), 3), batch["labels"][None, :, None])
            scores.append(tuple(values(batch, model(batch) if model else own).tolist()))
        return scores

    def frozen(self) -> Callable[[Batch], Output]:
        self.num_frozen += 1
        logits = torch.tensor(START).log()
        return lambda batch: Output(logits.expand(1, len(batch["labels"]), 3), torch.empty(0))

    def decode(self, ids: Sequence[int]) -> str:
        return decode(ids)
