"""Sampling from a decoder-only model, each prompt read once.

Its keys and values serve all its answers: those are columns of one row, of which each reads the prompt and
itself. A prompt whose answers have all ended leaves the batch.
"""

import torch
from torch import Tensor
from transformers import DynamicCache

from hir.config.schema import SamplingConfig
from hir.distributed import gather
from hir.errors import UserError
from hir.policies.base import evaluating, gathered, padded
from hir.policies.causal import CausalPolicy
from hir.sampling.base import Batches, Prompts, Sampler, register
from hir.sampling.draw import draw, uniforms_for


@register("causal")
class CausalSampler(Sampler):
    """A Sampler for decoder-only models; UserError where the policy is another."""

    def __init__(self, policy: CausalPolicy, config: SamplingConfig, greedy_batch_size: int) -> None:
        super().__init__(policy, config, greedy_batch_size)
        if not isinstance(policy, CausalPolicy):
            raise UserError("sampling=causal samples from decoder-only models: set sampling=generate, or t5")

    def draw(self, encoded: Prompts, num_samples: int, seed: int | None, config: SamplingConfig) -> Batches:
        uniforms = uniforms_for(len(encoded), num_samples, seed, config)
        numbers, size = list(encoded), config.batch_size
        batches = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        # Under FSDP a rank that has fewer batches than others answers a prompt of one token for them.
        idle = max(gather([len(batches)])) - len(batches) if self.policy.sharded else 0
        with gathered(self.policy.root[0]):
            for batch in [*batches, *[[]] * idle]:
                prompts = [encoded[i] for i in batch] or [[self.policy.eos_id]]
                drawn = None
                if batch and uniforms is not None:
                    drawn = uniforms[batch].flatten(0, 1).to(self.policy.device)
                with evaluating(self.policy):
                    answers = self._answers(prompts, num_samples, drawn, config)
                if batch:
                    yield answers

    def _answers(
        self, prompts: list[list[int]], num_samples: int, uniforms: Tensor | None, config: SamplingConfig
    ) -> tuple[Tensor, Tensor]:
        """Tokens and log-probabilities (P * n, T) of n answers to each of P prompts.

        They are drawn by ``uniforms`` (P * n, T, 2), or greedily.
        """
        policy, device, cache = self.policy, self.policy.device, DynamicCache()
        ids = padded(prompts, policy.pad_id).to(device)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        query, place = torch.arange(len(ids), device=device), torch.arange(ids.shape[1], device=device)
        # Padding is behind, where no token reads it.
        states = policy.states(ids, place[None], past_key_values=cache)[query, lengths - 1]
        row_of = query.repeat_interleave(num_samples)
        live = torch.arange(len(row_of), device=device)  # the answers that tokens are drawn for
        ended = torch.zeros(len(live), dtype=torch.bool, device=device)
        ends = torch.tensor(sorted(policy.end_ids), device=device)
        tokens = torch.full((len(live), config.max_new_tokens), policy.pad_id, device=device)
        log_probs = torch.zeros(tokens.shape, device=device)
        prompt = (place < lengths[:, None])[:, None].expand(-1, num_samples, -1)  # (P, n, S)
        own = torch.eye(num_samples, dtype=torch.bool, device=device)
        for t in range(config.max_new_tokens):
            numbers = None if uniforms is None else uniforms[live, t]
            newest, log_probs[live, t] = draw(policy.logits(states).float(), row_of, numbers, config)
            tokens[live, t] = newest
            ended[live] |= torch.isin(newest, ends)
            stays = ~ended[live].view(-1, num_samples).all(1)
            if t + 1 == config.max_new_tokens or not (policy.sharded or stays.any()):
                break
            if not stays.all() and stays.any():
                live, newest = (part.view(-1, num_samples)[stays].flatten() for part in (live, newest))
                lengths, prompt = lengths[stays], prompt[stays]
                cache.batch_select_indices(stays)
            read = torch.cat([prompt, own.repeat(1, t + 1).expand(len(prompt), -1, -1)], -1)[:, None]
            positions = (lengths + t)[:, None].expand(-1, num_samples)
            newest = newest.view(positions.shape)
            states = policy.states(newest, positions, read, past_key_values=cache).flatten(0, 1)
            row_of = torch.arange(len(states), device=device)
        return tokens, log_probs
