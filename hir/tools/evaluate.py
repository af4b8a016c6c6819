"""Evaluate a run or any checkpoint: `python -m hir evaluate run=PATH [task=NAME] [key=value ...]`.

Without run= it evaluates the configured model as it is, for example model=flan_t5_base task=word_sorting.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hir.config.schema import Config
from hir.errors import UserError


def evaluate_run(run: str | None, arguments: list[str]) -> dict[str, Any]:
    """Greedy accuracy on the test rows of a task and of evaluation.tasks, under both instructions.

    Args:
        run: run folder or checkpoint, None for the configured model.
        arguments: key=value overrides of the run's configuration.
    """
    from hir.config.load import find_checkpoint
    from hir.training.settings import load_run_config

    if run is None:
        return _evaluate(load_run_config(arguments), None, None)
    folder, checkpoint = find_checkpoint(run)
    trained = load_run_config([f"config={folder / 'config.yaml'}"])
    own = [f"config={folder / 'config.yaml'}"]
    if any(argument.removeprefix("--").startswith("task=") for argument in arguments):
        own += ["task.source=null", "task.num_train=null", "task.settings={}"]  # which are the trained task's
    return _evaluate(load_run_config([*own, *arguments]), trained, checkpoint)


def _evaluate(config: Config, trained: Config | None, checkpoint: Path | None) -> dict[str, Any]:
    from dataclasses import replace

    import torch

    from hir.callbacks.evaluation import accuracy, answer
    from hir.feedback.base import build_feedback
    from hir.quiet import quiet_libraries
    from hir.relabel.base import build_relabel
    from hir.sampling.base import build_sampler
    from hir.tasks.base import load_task
    from hir.training.build import (
        build_policy,
        load_evaluation_task,
        without_queries,
    )
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
    tasks = [load_task(config.task, config.seed)]
    tasks[0] = replace(tasks[0], feedback=build_feedback(config.feedback, tasks[0].feedback))
    tasks += [load_evaluation_task(config, name) for name in config.evaluation.tasks]
    if base:
        tasks = [without_queries(task, base.queries) for task in tasks]
    if trained and checkpoint and trained.task.name == config.task.name:
        (rows, *_) = read_checkpoint(checkpoint)["hir"].get("rows", [tasks[0].fingerprint])
        if rows != tasks[0].fingerprint:
            print(
                f"the rows of {config.task.name} are not split as in training: some may have been trained on"
            )
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


def main(argv: list[str]) -> int:
    if "-h" in argv or "--help" in argv:
        print(__doc__)
        return 0
    runs = [argument.partition("=")[2] for argument in argv if argument.startswith("run=")]
    rest = [argument for argument in argv if not argument.startswith("run=")]
    try:
        results = evaluate_run(runs[-1] if runs else None, rest)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    table = Table("task", "test rows", "accuracy", "under p_wrong", box=None)
    for task, result in results.items():
        table.add_row(
            task, str(result["rows"]), f"{result['accuracy']:.3f}", f"{result['accuracy_p_wrong']:.3f}"
        )
    Console().print(table)
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
