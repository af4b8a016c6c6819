"""Sampling with transformers' generate: works for every model it loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from hir.config.schema import SamplingConfig
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.sampling.base import Answer, Progress, make_answer, register


@register("generate")
class GenerateSampler:
    """A Sampler over ``transformers`` generate.

    Args:
        policy: its live weights are sampled from, in eval mode; the mode it was in is restored.
        config: temperature, top_k, top_p, max_new_tokens, batch_size.
        greedy_batch_size: prompts a forward pass in ``greedy``.
    """

    def __init__(self, policy: Seq2SeqPolicy, config: SamplingConfig, greedy_batch_size: int) -> None:
        self.policy = policy
        self.config = config
        self.greedy_batch_size = greedy_batch_size
        self.root: Any = policy.model  # unused: generate reads weights where they are

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

    @torch.no_grad()
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
                input_ids, attention_mask = policy.pad([encoded[i] for i in chosen])
                log_probs = LogProbs()
                output = policy.model.generate(
                    input_ids=input_ids,
                    attention_mask=attention_mask,
                    max_new_tokens=self.config.max_new_tokens,
                    num_beams=1,
                    logits_processor=[log_probs],
                    **options,
                )
                sequences = output[:, 1:].tolist()  # position 0 is the start token
                values = log_probs.of(output).tolist()
                per_prompt = len(sequences) // len(chosen)
                for row, tokens in enumerate(sequences):
                    answers[chosen[row // per_prompt]].append(make_answer(policy, tokens, values[row]))
                if progress:
                    progress(len(chosen))
        finally:
            policy.train(was_training)
        return answers


class LogProbs(LogitsProcessor):
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
        """(R, T) log-probabilities of all tokens of ``output`` (R, 1 + T) but the start token."""
        self._note(output)
        return torch.cat(self._chosen, dim=1)
