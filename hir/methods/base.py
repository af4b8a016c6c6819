"""What a method is. A file of this folder that registers a method under its own name is found by itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from hir.config import MethodConfig
from hir.instructions import Instructions
from hir.records import Rollout, TrainingExample
from hir.registry import Registry

Batch = Mapping[str, Tensor]
"""``labels`` (B, T), ``weights`` (B,), ``correct`` (B,) and what the policy needs besides."""
Policy = Callable[[Batch], Tensor]
"""Logits (K, B, T, V) of the batch's outputs under each of its K instructions, the rows' own first."""
Decode = Callable[[Sequence[int]], str]
"""Text of some tokens."""


class Method(Protocol):
    """How rollouts become training rows, and the loss on a batch of those."""

    def __init__(self, config: MethodConfig, instructions: Instructions, decode: Decode) -> None: ...

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """Training rows made from judged answers."""
        ...

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and its terms by name for the log."""
        ...


METHODS: Registry[type[Method]] = Registry(__package__, "method.name")
register = METHODS.register


def build_method(config: MethodConfig, instructions: Instructions, decode: Decode) -> Method:
    """The method of hir/methods/<config.name>.py; UserError if there is none."""
    return METHODS[config.name](config, instructions, decode)
