"""Builds a run's parts from its configuration: policy, tasks and the module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from hir.config.schema import Config
from hir.feedback.base import build_feedback
from hir.methods.base import build_method
from hir.policies.load import load_policy
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import Example
from hir.relabel.base import build_relabel
from hir.sampling.base import build_sampler
from hir.tasks.base import Task, load_task
from hir.training.checks import check_lengths, check_on_policy, check_targets
from hir.training.datamodule import HIRDataModule
from hir.training.module import HIRModule
from hir.training.tiny import Base, make_base


@dataclass(frozen=True)
class Run:
    """All parts of a run."""

    module: HIRModule
    datamodule: HIRDataModule
    base: Base | None
    """How the tiny model was pre-trained; None for any other model."""
    evaluation_tasks: list[Task]
    """Further tasks to evaluate on."""
    notes: tuple[str, ...]
    """Lines on prompts and targets that are too long."""


def build_run(config: Config, say: Callable[[str], None] = print) -> Run:
    """Everything that a run needs; UserError for whatever of it cannot be had."""
    check_on_policy(config)
    relabel = build_relabel(config.instructions, config.relabel)
    tasks = load_tasks(config)
    check_targets(tasks[0], config.method["name"])
    policy, base = build_policy(config, say)
    ask_start(tasks[0], policy, config)
    if base:
        tasks = [without_queries(task, base.queries) for task in tasks]
    method = build_method(config.method, relabel, policy)
    sampler = build_sampler(policy, config.sampling, config.evaluation.batch_size)
    return Run(
        module=HIRModule(config, policy, method, sampler, [task.fingerprint for task in tasks]),
        datamodule=HIRDataModule(config, tasks[0], policy, method, relabel),
        base=base,
        evaluation_tasks=tasks[1:],
        notes=check_lengths(policy, tasks, relabel, config),
    )


def build_policy(config: Config, say: Callable[[str], None] = print) -> tuple[Seq2SeqPolicy, Base | None]:
    """The model of ``config.model``; the tiny one is made where it is not cached."""
    if config.model.path is not None:
        return load_policy(config.model), None
    torch.set_num_threads(1)  # too small to gain from more, and so its numbers depend on no number of cores
    base = make_base(config, say)
    return load_policy(replace(config.model, path=str(base.path))), base


def load_tasks(config: Config) -> list[Task]:
    """The run's own task, and those of evaluation.tasks, which are split as it is."""
    own = load_task(config.task, config.seed)
    others = [
        replace(
            config.task,
            name=name,
            source=None if config.task.source == "generated" else config.task.source,
            data_dir=config.evaluation.data_dir or config.task.data_dir,
            num_train=None,
            settings=config.task.settings if name == config.task.name else {},
        )
        for name in config.evaluation.tasks
    ]
    judged = replace(own, feedback=build_feedback(config.feedback, own.feedback))
    return [judged, *(load_task(other, config.seed) for other in others)]


def ask_start(task: Task, policy: Seq2SeqPolicy, config: Config) -> None:
    """Let a judge that asks the policy's start ask a frozen copy of it as it is now, whole on each device.

    It is no part of the module, and so of no checkpoint: a run that goes on makes it again.
    """
    if getattr(task.feedback, "ask_policy", ask_start) is not None:
        return
    start = copy.deepcopy(policy, {id(policy.tokenizer): policy.tokenizer}).requires_grad_(False)
    sampler = build_sampler(start, config.sampling, config.evaluation.batch_size)

    def ask(prompts: Sequence[str]) -> list[str]:
        start.to(policy.device)  # which it has not been given before training starts
        return list(map(start.decode, sampler.greedy(prompts)))

    task.feedback.ask_policy = ask  # type: ignore[attr-defined]


def without_queries(task: Task, queries: frozenset[str]) -> Task:
    """The task without rows that the tiny base saw a label of; generated tasks have none of those."""

    def unseen(rows: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(row for row in rows if row.asked not in queries)

    return replace(task, train=unseen(task.train), validation=unseen(task.validation), test=unseen(task.test))
