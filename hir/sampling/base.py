"""What a sampler is. A file of this folder that registers a sampler under its own name is found by itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from hir.config.schema import SamplingConfig
from hir.registry import Registry

Prompts = dict[int, list[int]]
"""Tokens of each prompt by its number, in the order in which they are answered."""
Batches = Iterator[tuple[Tensor, Tensor]]
"""Tokens and log-probabilities (R, T) of the answers in a batch."""


class Answer(NamedTuple):
    """One sampled answer."""

    tokens: tuple[int, ...]
    """The end token included if it came, without start token and padding."""
    log_probs: tuple[float, ...]
    """Log-probability of each token under the policy as it is, at temperature 1 and without cuts."""


class Sampler:
    """Draws answers from a policy's live weights; ``greedy`` has a batch size of its own, in prompts."""

    def __init__(self, policy: Any, config: SamplingConfig, greedy_batch_size: int) -> None:
        self.policy, self.config, self.greedy_batch_size = policy, config, greedy_batch_size
        self.progress: Callable[[int, int], object] = lambda done, total: None
        """Told after each batch how many of the prompts are answered; the console sets it."""

    def sample(
        self, prompts: Sequence[str], num_samples: int, seed: int | None, config: SamplingConfig | None = None
    ) -> list[list[Answer]]:
        """``num_samples`` answers a prompt, in the prompts' order, drawn by ``config`` in place of its own.

        The same weights, prompts and seed give the same answers; no seed gives the likeliest one.
        """
        encoded, ends = self.policy.encode(prompts), self.policy.end_ids
        # Prompts of like length share a batch, so little of it is padding.
        in_order = dict(sorted(enumerate(encoded), key=lambda pair: len(pair[1])))
        answers: list[list[Answer]] = [[] for _ in prompts]
        prompt_of = (i for i in in_order for _ in range(num_samples))
        for batch in self.draw(in_order, num_samples, seed, config or self.config):
            for tokens, log_probs in zip(*(part.tolist() for part in batch), strict=True):
                length = next((i for i, token in enumerate(tokens, 1) if token in ends), len(tokens))
                answers[next(prompt_of)].append(Answer(tuple(tokens[:length]), tuple(log_probs[:length])))
            self.progress(sum(map(bool, answers)), len(prompts))
        return answers

    def draw(self, encoded: Prompts, num_samples: int, seed: int | None, config: SamplingConfig) -> Batches:
        """Answers to prompts in their order, those to one together, without start token.

        What comes behind an end token is ignored.
        """
        raise NotImplementedError

    def greedy(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of the likeliest answer, token by token, for each prompt."""
        config = replace(self.config, batch_size=self.greedy_batch_size)
        return [answer.tokens for (answer,) in self.sample(prompts, 1, None, config)]


SAMPLERS: Registry[type[Sampler]] = Registry(__package__, "sampling.name")
register = SAMPLERS.register


def build_sampler(policy: Any, config: SamplingConfig, greedy_batch_size: int) -> Sampler:
    """The sampler of hir/sampling/<config.name>.py; UserError if there is none."""
    return SAMPLERS[config.name](policy, config, greedy_batch_size)
