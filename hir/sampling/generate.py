"""Sampling with transformers' generate: works for every model it loads."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hir.config.schema import SamplingConfig
from hir.policies.base import evaluating
from hir.sampling.base import Sampler, register


@register("generate")
class GenerateSampler(Sampler):
    """A Sampler that calls generate of the policy's model."""

    def draw(
        self, encoded: dict[int, list[int]], num_samples: int, seed: int | None, config: SamplingConfig
    ) -> Iterator[tuple[Tensor, Tensor]]:
        policy, prompts = self.policy, list(encoded.values())
        options: dict[str, Any] = {"do_sample": seed is not None, "max_new_tokens": config.max_new_tokens}
        if seed is not None:
            options |= {"num_return_sequences": num_samples, "temperature": config.temperature}
            options |= {"top_k": config.top_k, "top_p": config.top_p}
        # generate draws from torch's global generators: seed them here and put them back afterwards.
        with torch.random.fork_rng(devices=[policy.device] if policy.device.type == "cuda" else []):
            torch.manual_seed(seed or 0)
            for start in range(0, len(prompts), config.batch_size):
                input_ids, attention_mask = policy.pad(prompts[start : start + config.batch_size])
                options |= {"input_ids": input_ids, "attention_mask": attention_mask}
                noted = LogProbs()
                with evaluating(policy):
                    output = policy.model.generate(num_beams=1, logits_processor=[noted], **options)
                log_probs = noted.of(output)
                yield output[:, -log_probs.shape[1] :], log_probs


class LogProbs:
    """Notes the log-probability of each token that generate chooses, before its own processors change it."""

    def __init__(self) -> None:
        self._chosen: list[Tensor] = []
        self._latest: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._note(input_ids)
        self._latest = scores.float().log_softmax(-1)
        return scores

    def _note(self, input_ids: Tensor) -> None:
        if self._latest is not None:
            self._chosen.append(self._latest.gather(-1, input_ids[:, -1:]))

    def of(self, output: Tensor) -> Tensor:
        """(R, T) log-probabilities of the tokens that ``output`` ends with, all that were generated."""
        self._note(output)
        return torch.cat(self._chosen, dim=1)
