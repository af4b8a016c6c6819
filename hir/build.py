"""Builds a run's parts from its configuration: policy, tasks and the module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hir.config import Config
from hir.datamodule import HIRDataModule
from hir.errors import UserError
from hir.instructions import Instructions, render_prompt
from hir.methods.base import build_method
from hir.models import Seq2SeqPolicy, load_policy
from hir.module import HIRModule
from hir.records import Example
from hir.sampling.base import build_sampler
from hir.tasks.base import Task, load_task
from hir.tiny import Base, make_base


@dataclass(frozen=True)
class Run:
    """All parts of a run."""

    module: HIRModule
    datamodule: HIRDataModule
    base: Base | None
    """How the tiny model was pre-trained; None for any other model."""
    evaluation_tasks: tuple[Task, ...]
    """Further tasks to evaluate on."""
    num_overlong: int
    """Prompts of the task that the encoder would cut."""


def build_run(config: Config, say: Callable[[str], None] = print) -> Run:
    """Everything that a run needs; UserError for whatever of it cannot be had."""
    instructions = Instructions(
        config.instructions.correct, config.instructions.wrong, tuple(config.instructions.others)
    )
    task = load_task(config.task, config.seed)
    further = tuple(load_evaluation_task(config, name) for name in config.evaluation.tasks)
    policy, base = build_policy(config, say)
    if base:
        task, *rest = (without_queries(t, base.queries) for t in (task, *further))
        further = tuple(rest)
    method = build_method(config.method, instructions, policy.decode)
    sampler = build_sampler(policy, config.sampling, config.evaluation.batch_size)
    return Run(
        module=HIRModule(config, policy, method, sampler),
        datamodule=HIRDataModule(config, task, policy, method),
        base=base,
        evaluation_tasks=further,
        num_overlong=count_overlong(policy, task, instructions),
    )


def build_policy(config: Config, say: Callable[[str], None] = print) -> tuple[Seq2SeqPolicy, Base | None]:
    """The model of ``config.model``; the tiny one is made where it is not cached."""
    if config.model.path is not None:
        return load_policy(config.model), None
    instructions = Instructions(config.instructions.correct, config.instructions.wrong)
    base = make_base(config.model, instructions, config.task.name, config.task.settings, say)
    return load_policy(replace(config.model, path=str(base.path))), base


def load_evaluation_task(config: Config, name: str) -> Task:
    """A task to evaluate on, split as the run's own task is."""
    data_dir = config.evaluation.data_dir or config.task.data_dir
    other = replace(config.task, name=name, data_dir=data_dir, settings={})
    if name == config.task.name:
        other = config.task
    return load_task(other, config.seed)


def without_queries(task: Task, queries: frozenset[str]) -> Task:
    """The task without rows that the tiny base saw a label of; generated tasks have none of those."""

    def unseen(rows: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(row for row in rows if row.query not in queries)

    kept = replace(task, train=unseen(task.train), validation=unseen(task.validation), test=unseen(task.test))
    if not (kept.train and kept.validation and kept.test):
        raise UserError(f"task {task.name}: a split has no row that the tiny base was not pre-trained on")
    return kept


def count_overlong(policy: Seq2SeqPolicy, task: Task, instructions: Instructions) -> int:
    """Prompts that are longer than the encoder takes.

    Raises:
        UserError: there is one, and ``model.overlong`` is refuse.
    """
    rows = (*task.train, *task.validation, *task.test)
    prompts = [render_prompt(instructions.correct, row.query) for row in rows]
    lengths = [len(ids) for ids in policy.token_ids(prompts)]
    number = sum(length > policy.max_input_tokens for length in lengths)
    if number and policy.overlong == "refuse":
        raise UserError(
            f"task {task.name}: {number} of {len(rows)} prompts are over model.max_input_tokens="
            f"{policy.max_input_tokens}, the longest has {max(lengths)} tokens; "
            "raise it, or set model.overlong=cut"
        )
    return number
