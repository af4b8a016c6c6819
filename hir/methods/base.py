"""What a method is. A file of this folder that registers a method under its own name is found by itself."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor

from hir.config.schema import MethodConfig
from hir.losses import by_row, chosen_log_probs, smoothed_nll, token_log_probs
from hir.policies.base import Batch, Output, Policy
from hir.records import Rollout, TrainingExample
from hir.registry import Registry
from hir.relabel.base import Relabel


class Method(Protocol):
    """How rollouts become training rows, and the loss on a batch of those.

    A method that has weights of its own is an nn.Module too: they are trained and saved with the policy's.
    One with ``on_policy = True`` is refused where it would be trained on more than what was just sampled, and
    one with ``min_samples`` where a query has fewer answers.
    """

    def __init__(self, config: MethodConfig, relabel: Relabel, policy: Policy) -> None: ...

    def instruction(self, rollout: Rollout) -> str | None:
        """The instruction that the method trains this answer under, None where it does not; for the log."""
        ...

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """Training rows made from judged answers, all samples of a query together."""
        ...

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and its terms by name for the log."""
        ...


def label_log_probs(outputs: Iterable[tuple[Batch, Output]]) -> list[tuple[float, ...]]:
    """Log-probabilities of the tokens of each row, from what a policy makes of batches of them."""
    return [
        values
        for batch, output in outputs
        for values in by_row(
            chosen_log_probs(token_log_probs(output.logits[0]), batch["labels"]), batch["rows"]
        )
    ]


def supervised_loss(policy: Policy, batch: Batch, epsilon: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Label-smoothed cross entropy of the rows under their own instruction, a mean over tokens."""
    log_probs = token_log_probs(policy(batch).logits[0])  # (N, V)
    supervise = smoothed_nll(log_probs, batch["labels"], epsilon)
    return supervise, {"supervise": supervise.detach()}


METHODS: Registry[type[Method]] = Registry(__package__, "method.name")
register = METHODS.register


def build_method(config: MethodConfig, relabel: Relabel, policy: Policy) -> Method:
    """The method of hir/methods/<config.name>.py; UserError if there is none."""
    return METHODS[config.name](config, relabel, policy)
