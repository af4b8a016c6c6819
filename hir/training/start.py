"""The policy as it was at the start, as the judge of what it becomes."""

from __future__ import annotations

import copy

from hir.config.schema import Config
from hir.feedback.judge import Judge
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.sampling.base import build_sampler
from hir.tasks.base import Task


def ask_start(task: Task, policy: Seq2SeqPolicy, config: Config) -> None:
    """Let a judge without an endpoint ask a frozen copy of the policy as it is now, whole on each device."""
    if isinstance(task.feedback, Judge) and not task.feedback.url:
        start = copy.deepcopy(policy, {id(policy.tokenizer): policy.tokenizer}).requires_grad_(False)
        sampler = build_sampler(start, config.sampling, config.evaluation.batch_size)
        # It is no part of the module: no checkpoint has it, and it follows the policy to its device.
        task.feedback.ask_policy = lambda prompts: [
            *map(start.to(policy.device).decode, sampler.greedy(prompts))
        ]
