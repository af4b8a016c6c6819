"""Evaluate a run or any checkpoint: python -m hir evaluate run=PATH [task=NAME] [key=value ...]

It prints greedy accuracy on the test rows of the task and of evaluation.tasks, under both instructions; the
last line is the same as JSON. Any key of train.py changes the run's configuration, though not its model.
Without run= it evaluates the configured model as it is, for example model=flan_t5_base task=word_sorting.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hir.config.load import find_checkpoint
from hir.config.schema import Config

TAKES_SETTINGS = True


@dataclass
class Options:
    """What the command line asks for, settings apart."""

    run: str | None = None
    """Run folder or checkpoint; null: the configured model."""


def run(options: Options, settings: list[str]) -> int:
    """Print the results as a table and as JSON; UserError for a mistake in run, settings or files."""
    from rich.console import Console
    from rich.table import Table

    from hir.training.settings import load_run_config

    if options.run is None:
        results = evaluate_model(load_run_config(settings))
    else:
        folder, checkpoint = find_checkpoint(options.run)
        own = [f"config={folder / 'config.yaml'}"]
        trained = load_run_config(own)
        if any(setting.removeprefix("--").startswith("task=") for setting in settings):
            own += [
                "task.source=null",
                "task.num_train=null",
                "task.settings={}",
            ]  # which are the trained task's
        results = evaluate_model(load_run_config([*own, *settings]), trained, checkpoint)
    table = Table("task", "test rows", "accuracy", "under p_wrong", box=None)
    for name, result in results.items():
        accuracies = (f"{result[key]:.3f}" for key in ("accuracy", "accuracy_p_wrong"))
        table.add_row(name, str(result["rows"]), *accuracies)
    Console().print(table)
    print(json.dumps(results))
    return 0


def evaluate_model(
    config: Config, trained: Config | None = None, checkpoint: Path | None = None
) -> dict[str, Any]:
    """By task the number of test ``rows``, ``accuracy`` and ``accuracy_p_wrong``.

    Args:
        config: tasks, instructions and sampling.
        trained: of the run whose weights the checkpoint holds; None for the model of ``config`` as it is.
        checkpoint: the run's.
    """
    import torch

    from hir.callbacks.evaluation import accuracy, answer
    from hir.quiet import quiet_libraries
    from hir.relabel.base import build_relabel
    from hir.sampling.base import build_sampler
    from hir.training.build import build_policy, load_tasks, without_queries
    from hir.training.checkpoints import load_weights, read_checkpoint
    from hir.training.checks import count_overlong, long_targets

    quiet_libraries()
    # The model is the trained run's, whatever task it is now asked.
    policy, base = build_policy(trained or config)
    if checkpoint:
        load_weights(policy, checkpoint)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    sampler = build_sampler(policy, config.sampling, config.evaluation.batch_size)
    relabel = build_relabel(config.instructions, config.relabel)
    tasks = load_tasks(config)
    if base:
        tasks = [without_queries(task, base.queries) for task in tasks]
    if trained and checkpoint and trained.task.name == config.task.name:
        rows, *_ = read_checkpoint(checkpoint)["hir"].get("rows", [tasks[0].fingerprint])
        if rows != tasks[0].fingerprint:
            print(f"the rows of {tasks[0].name} are not split as in training: some may have been trained on")
    num_overlong = count_overlong(policy, tasks, relabel, config.model.overlong)
    if num_overlong:
        print(f"{num_overlong} prompts are over {config.model.max_input_tokens} tokens and are cut")
    for line in long_targets(policy, tasks, config.sampling.max_new_tokens):
        print(line)
    results: dict[str, Any] = {}
    for task in tasks:
        right, wrong = (
            accuracy(answer(policy, sampler, task, task.test, asked), policy.device)
            for asked in (relabel.goal, relabel.opposite)
        )
        results[task.name] = {"rows": len(task.test), "accuracy": right, "accuracy_p_wrong": wrong}
    return results
