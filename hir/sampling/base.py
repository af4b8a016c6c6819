"""What a sampler is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Progress = Callable[[int], None]
"""Called with the number of prompts just answered."""


class Sampler(Protocol):
    """Draws answers from a policy."""

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
