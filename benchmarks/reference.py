"""The manner of the reference code (github tianjunz/HIR): one query a generate call, three forwards a step.

Written anew from its description as a baseline to measure against. The reference also starts processes and
loads weights in every iteration, which is not counted here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.models import MAX_NEW_TOKENS, TOP_K, ended
from hir.losses import chosen_log_probs, mean_entropy, row_means, smoothed_nll, token_log_probs
from hir.methods.hir import HIR
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import TrainingExample


@torch.no_grad()
def sample(
    policy: Seq2SeqPolicy, prompts: Sequence[str], num_samples: int = 1
) -> list[list[tuple[int, ...]]]:
    """A generate call of a batch of one query for each prompt, without attention mask."""
    policy.model.eval()
    answers = []
    for ids in policy.encode(prompts):
        output = policy.model.generate(
            input_ids=torch.tensor([ids], device=policy.device),
            do_sample=True,
            top_k=TOP_K,
            num_return_sequences=num_samples,
            max_new_tokens=MAX_NEW_TOKENS,
        )
        answers.append([ended(policy, tokens) for tokens in output[:, 1:].tolist()])
    return answers


def collate(
    policy: Seq2SeqPolicy, rows: Sequence[TrainingExample], contrast: bool = True
) -> dict[str, Tensor]:
    """A prompt for each row: B under its own instruction and, for the contrast, B under the negated one."""
    input_ids, mask = policy.pad(policy.encode([policy.render(row.instruction, row.query) for row in rows]))
    labels, real = policy.pad([row.output_ids for row in rows])
    batch = {"input_ids": input_ids, "attention_mask": mask, "labels": labels.masked_fill(real == 0, -100)}
    if contrast:
        other = policy.encode([policy.render(row.contrast[0], row.query) for row in rows])
        batch["other_ids"], batch["other_mask"] = policy.pad(other)
    return batch


def loss(policy: Seq2SeqPolicy, batch: dict[str, Tensor], config: HIR.Settings) -> Tensor:
    """Supervised loss and entropy of one forward, contrast of two more: in value hir's own loss."""
    model, labels = policy.model, batch["labels"]

    def logits(ids: str, mask: str) -> Tensor:
        output: Tensor = model(input_ids=batch[ids], attention_mask=batch[mask], labels=labels).logits
        return output

    real = labels != -100
    log_probs = token_log_probs(logits("input_ids", "attention_mask")[real])
    total = smoothed_nll(log_probs, labels[real], config.epsilon) - config.beta * mean_entropy(log_probs)
    own = sequence_log_prob(logits("input_ids", "attention_mask"), labels)
    other = sequence_log_prob(logits("other_ids", "other_mask"), labels)
    share = torch.stack([own, other]).log_softmax(0)
    contrast = -(1 - config.epsilon) * share[0] - config.epsilon * share[1]
    return total + config.alpha * contrast.mean()


def sequence_log_prob(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean log-probability a real token, (B, T, V) and (B, T) -> (B,); the paper sums."""
    real = labels != -100
    chosen = chosen_log_probs(token_log_probs(logits[real]), labels[real])
    return row_means(chosen, real.nonzero()[:, 0], len(labels))


def plain_loss(policy: Seq2SeqPolicy, batch: dict[str, Tensor]) -> Tensor:
    """transformers' plain loop: supervised, one instruction, one forward. It does less than the others."""
    output: Tensor = policy.model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]
    ).loss
    return output
