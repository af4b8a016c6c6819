"""Builds a run's parts from its configuration: policy, tasks and the module."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hir.config.load import task_settings
from hir.config.schema import Config, check
from hir.feedback.answers import in_words
from hir.feedback.base import build_feedback
from hir.methods.base import build_method
from hir.policies.base import Policy
from hir.policies.load import load_policy
from hir.relabel.base import build_relabel
from hir.sampling.base import build_sampler
from hir.tasks.base import Task, load_task
from hir.training.datamodule import HIRDataModule
from hir.training.module import HIRModule
from hir.training.settings import ask_start, check_lengths, check_on_policy, check_rows
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
    notes: list[str]
    """Lines on prompts and targets that are too long."""


def build_run(config: Config, say: Callable[[str], None] = print) -> Run:
    """Everything that a run needs; UserError for whatever of it cannot be had."""
    check_on_policy(config)
    relabel = build_relabel(config.instructions, config.relabel)
    tasks = load_tasks(config)
    check_rows(tasks[0], config)
    policy, base = build_policy(config, say)
    ask_start(tasks[0], policy, config)
    if base:
        tasks = list(map(base.unseen, tasks))
    data = HIRDataModule(config, tasks[0], policy, build_method(config.method, relabel, policy), relabel)
    sampler = build_sampler(policy, config.sampling, config.evaluation.batch_size)
    module = HIRModule(config, data, sampler, [task.fingerprint for task in tasks])
    return Run(module, data, base, tasks[1:], check_lengths(policy, tasks, relabel, config))


def build_policy(config: Config, say: Callable[[str], None] = print) -> tuple[Policy, Base | None]:
    """The model of ``config.model``; a tiny one is made where it is not cached."""
    if config.model.path is not None:
        return load_policy(config.model), None
    torch.set_num_threads(1)  # too small to gain from more, and so its numbers depend on no number of cores
    base = make_base(config, say)
    return load_policy(replace(config.model, path=str(base.path))), base


def load_tasks(config: Config) -> list[Task]:
    """The run's own task, and those of evaluation.tasks: split as it is, or whole where a source is named."""
    own = load_task(config.task, config.seed)
    if config.task.answers == "text":
        train, validation, test = (
            tuple(map(in_words, rows)) for rows in (own.train, own.validation, own.test)
        )
        own = replace(own, train=train, validation=validation, test=test)
    judged = replace(own, feedback=build_feedback(config.feedback, own.feedback))
    return [judged, *(_further_task(name, own, config) for name in config.evaluation.tasks)]


def _further_task(text: str, own: Task, config: Config) -> Task:
    source, _, name = text.rpartition("/")
    known = source in ("", "bbh", "bigbench", "generated")
    known &= text not in ("train", "val", "test")  # under which the run's own metrics stand
    rule = "NAME, other than train, val and test, bbh/NAME, bigbench/NAME or generated/NAME"
    check(known, "evaluation.tasks", rule, text)
    folder = config.evaluation.data_dir or config.task.data_dir
    if source and folder and Path(folder, source).expanduser().is_dir():
        folder = str(Path(folder, source))
    kind: Any = source or (None if config.task.source == "generated" else config.task.source)
    settings = config.task.settings if name == config.task.name else task_settings(name)
    asked = replace(
        config.task, name=name, mix=[], source=kind, data_dir=folder, num_train=None, settings=settings
    )
    task = load_task(asked, config.seed)
    if not source:
        return task
    learnt = {row.asked for row in (*own.train, *own.validation)}
    whole = tuple(row for row in task.rows if row.asked not in learnt)
    return replace(task, name=text, train=(), validation=(), test=whole)
