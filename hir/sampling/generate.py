"""Sampling with transformers' generate: works for every model it loads."""

from typing import Any

import torch
from torch import Tensor

from hir.config.schema import SamplingConfig
from hir.policies.base import evaluating
from hir.sampling.base import Batches, Prompts, Sampler, register


@register("generate")
class GenerateSampler(Sampler):
    """A Sampler that calls generate of the policy's model."""

    def draw(self, encoded: Prompts, num_samples: int, seed: int | None, config: SamplingConfig) -> Batches:
        policy, prompts = self.policy, list(encoded.values())
        options: dict[str, Any] = {"do_sample": seed is not None, "max_new_tokens": config.max_new_tokens}
        options |= {"pad_token_id": policy.pad_id, "eos_token_id": sorted(policy.end_ids)}
        options |= {"decoder_start_token_id": getattr(policy, "start_id", None)}
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
                noted.choose(output)
                yield output[:, -len(noted.steps) :], torch.cat(noted.steps, dim=1)


class LogProbs:
    """Notes the log-probability of each token that generate chooses, before its own processors change it."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []
        """(R, 1) a step; of the newest, until its token is chosen, (R, V)."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.choose(input_ids)
        self.steps.append(scores.float().log_softmax(-1))
        return scores

    def choose(self, input_ids: Tensor) -> None:
        if self.steps:
            self.steps[-1] = self.steps[-1].gather(-1, input_ids[:, -1:])
