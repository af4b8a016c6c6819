"""What a method is. A file of this folder that registers one under its own name is found by itself."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from torch import Tensor

from hir.config import MethodConfig
from hir.errors import UserError
from hir.instructions import Instructions
from hir.records import Rollout, TrainingExample

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


METHODS: dict[str, type[Method]] = {}
M = TypeVar("M", bound=type[Method])


def register(name: str) -> Callable[[M], M]:
    """Class decorator: make a method known by the name of its file."""

    def add(method: M) -> M:
        METHODS[name] = method
        return method

    return add


def build_method(config: MethodConfig, instructions: Instructions, decode: Decode) -> Method:
    """The method named by ``config.name``, from hir/methods/<name>.py.

    Raises:
        UserError: there is no such file.
    """
    module = f"{__package__}.{config.name}"
    if not config.name.isidentifier() or importlib.util.find_spec(module) is None:
        raise UserError(f"method.name={config.name}: there is no hir/methods/{config.name}.py")
    importlib.import_module(module)
    return METHODS[config.name](config, instructions, decode)
