"""Sampling with transformers' generate: works for every model it loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hir.config.schema import SamplingConfig
from hir.sampling.base import Answer, Progress, make_answer, register


@register("generate")
class GenerateSampler:
    """A Sampler over ``transformers`` generate.

    Args:
        policy: its live weights are sampled from, in eval mode; the mode it was in is restored.
        config: temperature, top_k, top_p, max_new_tokens, batch_size.
        greedy_batch_size: prompts a forward pass in ``greedy``.
    """

    def __init__(self, policy: Any, config: SamplingConfig, greedy_batch_size: int) -> None:
        self.policy = policy
        self.config = config
        self.greedy_batch_size = greedy_batch_size

    def sample(
        self,
        prompts: Sequence[str],
        num_samples: int,
        seed: int,
        progress: Progress | None = None,
        config: SamplingConfig | None = None,
    ) -> list[list[Answer]]:
        config = config or self.config
        # generate draws from torch's global generators: seed them here and put them back afterwards.
        devices = [self.policy.device] if self.policy.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            return self._generate(
                prompts,
                config.batch_size,
                progress,
                do_sample=True,
                num_return_sequences=num_samples,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
            )

    def greedy(self, prompts: Sequence[str], progress: Progress | None = None) -> list[tuple[int, ...]]:
        answers = self._generate(prompts, self.greedy_batch_size, progress, do_sample=False)
        return [answer.tokens for (answer,) in answers]

    def _generate(
        self, prompts: Sequence[str], batch_size: int, progress: Progress | None, **options: Any
    ) -> list[list[Answer]]:
        policy = self.policy
        encoded = policy.encode(prompts)
        # Prompts of like length share a batch, so little of it is padding.
        order = sorted(range(len(prompts)), key=lambda i: (len(encoded[i]), i))
        answers: list[list[Answer]] = [[] for _ in prompts]
        was_training = policy.training
        policy.eval()
        try:
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                sequences, values = policy.generate(
                    [encoded[i] for i in chosen], max_new_tokens=self.config.max_new_tokens, **options
                )
                per_prompt = len(sequences) // len(chosen)
                for row, tokens in enumerate(sequences):
                    answers[chosen[row // per_prompt]].append(make_answer(policy, tokens, values[row]))
                if progress:
                    progress(len(chosen))
        finally:
            policy.train(was_training)
        return answers
