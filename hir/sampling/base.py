"""What a sampler is. A file of this folder that registers a sampler under its own name is found by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hir.config import SamplingConfig
from hir.registry import Registry

Progress = Callable[[int], None]
"""Called with the number of prompts just answered."""


class Sampler(Protocol):
    """Draws answers from a policy's live weights.

    Args:
        policy: what it samples from.
        config: temperature, top_k, top_p, max_new_tokens, batch_size.
        greedy_batch_size: prompts a forward pass in ``greedy``.
    """

    def __init__(self, policy: Any, config: SamplingConfig, greedy_batch_size: int) -> None: ...

    def sample(
        self, prompts: Sequence[str], num_samples: int, seed: int, progress: Progress | None = None
    ) -> list[list[tuple[int, ...]]]:
        """``num_samples`` answers a prompt, in the prompts' order.

        An answer is its tokens, the end token included if it came, without start token and padding.
        The same weights, prompts and seed give the same answers.
        """
        ...

    def greedy(self, prompts: Sequence[str], progress: Progress | None = None) -> list[tuple[int, ...]]:
        """The answer of likeliest tokens for each prompt."""
        ...


SAMPLERS: Registry[type[Sampler]] = Registry(__package__, "sampling.name")
register = SAMPLERS.register


def build_sampler(policy: Any, config: SamplingConfig, greedy_batch_size: int) -> Sampler:
    """The sampler of hir/sampling/<config.name>.py; UserError if there is none."""
    return SAMPLERS[config.name](policy, config, greedy_batch_size)
