"""Sampling with transformers' generate: works for every model it loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hir.config.schema import SamplingConfig
from hir.sampling.base import Answer, Progress, Sampler, make_answer, register


@register("generate")
class GenerateSampler(Sampler):
    """A Sampler over the policy's own ``generate``."""

    def sample(
        self,
        prompts: Sequence[str],
        num_samples: int,
        seed: int | None,
        progress: Progress | None = None,
        config: SamplingConfig | None = None,
    ) -> list[list[Answer]]:
        policy, config = self.policy, config or self.config
        options: dict[str, Any] = {"do_sample": seed is not None, "max_new_tokens": config.max_new_tokens}
        if seed is not None:
            options |= {"num_return_sequences": num_samples, "temperature": config.temperature}
            options |= {"top_k": config.top_k, "top_p": config.top_p}
        encoded = policy.encode(prompts)
        # Prompts of like length share a batch, so little of it is padding.
        order = sorted(range(len(prompts)), key=lambda i: (len(encoded[i]), i))
        answers: list[list[Answer]] = [[] for _ in prompts]
        # generate draws from torch's global generators: seed them here and put them back afterwards.
        with torch.random.fork_rng(devices=[policy.device] if policy.device.type == "cuda" else []):
            torch.manual_seed(seed or 0)
            for start in range(0, len(order), config.batch_size):
                chosen = order[start : start + config.batch_size]
                sequences, values = policy.generate([encoded[i] for i in chosen], **options)
                for row, (tokens, log_probs) in enumerate(zip(sequences, values, strict=True)):
                    answers[chosen[row // num_samples]].append(make_answer(policy, tokens, log_probs))
                if progress:
                    progress(len(chosen))
        return answers
