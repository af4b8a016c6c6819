"""Sampling from a T5 with a decoder of the project's own.

A query is encoded once, and its cross-attention keys and values serve all its answers. Answers of a query
that begin alike are one row until they part, and finished ones leave the batch.
"""

import torch
from torch import Tensor

from hir.config.schema import SamplingConfig
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.sampling.base import Batches, Prompts, Sampler, register
from hir.sampling.draw import draw, uniforms_for
from hir.t5.weights import Queries, Rows, T5Weights

DROP = 0.1
"""Ended answers leave the batch when they are this share of it; dropping them has a price of its own."""


@register("t5")
class T5Sampler(Sampler):
    """A Sampler for the T5 family; UserError where the policy's model is of another."""

    def __init__(self, policy: Seq2SeqPolicy, config: SamplingConfig, greedy_batch_size: int) -> None:
        super().__init__(policy, config, greedy_batch_size)
        self.weights = T5Weights(policy.model, config.max_new_tokens, torch.float32)

    def draw(self, encoded: Prompts, num_samples: int, seed: int | None, config: SamplingConfig) -> Batches:
        kind = self.policy.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        if (self.weights.dtype, self.weights.device) != (dtype, self.policy.device):
            self.weights = T5Weights(self.policy.model, self.config.max_new_tokens, dtype)
        self.weights.refresh(self.policy.root[0])
        uniforms, numbers = uniforms_for(len(encoded), num_samples, seed, config), list(encoded)
        for start in range(0, len(numbers), config.batch_size):
            chosen = numbers[start : start + config.batch_size]
            own = None if uniforms is None else uniforms[chosen].flatten(0, 1).to(self.weights.device)
            with torch.no_grad():
                queries = self.weights.encode(*self.policy.pad([encoded[i] for i in chosen]))
                answers = self._answers(queries, num_samples, own, config)
            yield answers

    def _answers(
        self, queries: Queries, num_samples: int, uniforms: Tensor | None, config: SamplingConfig
    ) -> tuple[Tensor, Tensor]:
        """Tokens and log-probabilities (N, T) of ``num_samples`` answers to each of P queries, N in all.

        They are drawn by ``uniforms`` (N, T, 2), or greedily.
        """
        num_queries, max_length, device = len(queries.mask), config.max_new_tokens, self.weights.device
        rows = Rows(self.weights.room(num_queries * num_samples, max_length))
        newest = torch.full((num_queries,), self.policy.start_id, device=device)
        place_of = torch.arange(num_queries, device=device)  # where a query stands among those still encoded
        live = torch.arange(num_queries * num_samples, device=device)  # the answers that tokens are drawn for
        row_of = live // num_samples  # the row of each: one a query at first
        ended = torch.zeros_like(live, dtype=torch.bool)
        tokens = torch.full((len(live), max_length), self.policy.pad_id, device=device)
        log_probs = torch.zeros(len(live), max_length, device=device)
        for t in range(max_length):
            logits = self.weights.decode(newest, t, rows, queries)
            numbers = None if uniforms is None else uniforms[live, t]
            chosen, values = draw(logits, row_of, numbers, config)
            tokens[live, t], log_probs[live, t] = chosen, values
            ended |= chosen == self.policy.eos_id
            num_ended = int(ended.sum())
            if num_ended == len(live):
                break
            if len(newest) == len(live) and num_ended < DROP * len(live):
                newest.index_copy_(0, row_of, chosen)  # every answer has a row of its own, and most go on
                continue
            live, row_of, chosen = live[~ended], row_of[~ended], chosen[~ended]
            ended = torch.zeros_like(live, dtype=torch.bool)
            # A row for every different beginning: answers of a row part where they drew different tokens.
            beginnings, row_of = torch.unique(row_of * logits.shape[1] + chosen, return_inverse=True)
            place = rows.follow(beginnings // logits.shape[1], t + 1)
            row_of = place[row_of]
            newest = torch.empty_like(place).index_copy_(0, row_of, chosen)
            member = torch.empty_like(place).index_copy_(0, row_of, live)  # one of a row's answers
            asked = torch.unique(live // num_samples)
            if len(asked) <= len(queries.mask) // 2:
                kept = place_of[asked]
                queries = Queries([part.index_select(1, kept) for part in queries.cross], queries.mask[kept])
                place_of[asked] = torch.arange(len(asked), device=device)
            rows.slot = place_of[member // num_samples] * num_samples + member % num_samples
            rows.width = num_samples
        return tokens, log_probs
