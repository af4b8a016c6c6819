"""Evaluate a run or any checkpoint: python -m hir evaluate run=PATH [task=NAME] [key=value ...]

It prints greedy accuracy on the test rows of the task and of evaluation.tasks, under both instructions; the
last line is the same as JSON. Any key of train.py changes the run's configuration, though not its model.
Without run= it evaluates the configured model as it is, for example model=flan_t5_base task=word_sorting.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import torch

from hir.callbacks.evaluation import accuracy, answer
from hir.config.load import load_config
from hir.errors import UserError
from hir.files import find_checkpoint
from hir.quiet import quiet_libraries
from hir.relabel.base import build_relabel
from hir.sampling.base import build_sampler
from hir.training.build import build_policy, load_tasks
from hir.training.checkpoints import load_weights, read_checkpoint
from hir.training.settings import ask_start, check_lengths, load_run_config


@dataclass
class Options:
    run: str | None = None
    """Run folder or checkpoint; null: the configured model."""


def run(options: Options, settings: list[str]) -> int:
    """Print the results as lines and as JSON; UserError for a mistake in run, settings or files."""
    for setting in settings:
        key = re.split("[.=]", setting.removeprefix("--"))[0]
        if key in ("run_dir", "resume") or (key == "model" and options.run):
            raise UserError(f"{setting}: evaluate takes run=PATH, and a run has its own model")
    own, checkpoint = list[str](), None
    if options.run is not None:
        folder, checkpoint = find_checkpoint(options.run)
        own = [f"config={folder / 'config.yaml'}"]
    trained = load_run_config(own or settings)  # what the model is made from, whatever task it is now asked
    named = [text.partition("=")[2] for text in settings if re.match("(--)?task=", text)]
    if own and named:  # in place of the trained task's
        fresh = load_config([f"task={named[-1]}"]).task
        own += ["task.source=null", "task.num_train=null", "task.settings={}"]
        own += [f"task.settings.{key}={json.dumps(value)}" for key, value in fresh.settings.items()]
        own.append(f"task.mix={json.dumps(fresh.mix)}")
    config = load_run_config([*own, *settings])
    quiet_libraries()
    tasks = load_tasks(config)
    policy, base = build_policy(trained)
    ask_start(tasks[0], policy, config)
    if checkpoint:
        load_weights(policy, checkpoint)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    sampler = build_sampler(policy, config.sampling, config.evaluation.batch_size)
    relabel = build_relabel(config.instructions, config.relabel)
    if base:
        tasks = list(map(base.unseen, tasks))
    if checkpoint and trained.task.name == config.task.name:
        if read_checkpoint(checkpoint)["hir"].get("rows", [""])[0] != tasks[0].fingerprint:
            print(f"the rows of {tasks[0].name} are not split as in training: some may have been trained on")
    for note in check_lengths(policy, tasks, relabel, config):
        print(note)
    results: dict[str, Any] = {}
    asked = (relabel.goal, relabel.opposite)
    for task in tasks:
        right, wrong = (accuracy(answer(policy, sampler, task, task.test, text)) for text in asked)
        results[task.name] = {"rows": len(task.test), "accuracy": right, "accuracy_p_wrong": wrong}
        print(f"{task.name} ({len(task.test)} test rows)  {right:.3f}, under p_wrong {wrong:.3f}")
    print(json.dumps(results))
    return 0
