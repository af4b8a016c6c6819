"""The outline of a sweep file: program, metric, command."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hir.config.keys import suggest
from hir.config.load import ROOT
from hir.config.schema import Config
from hir.errors import UserError

FILE_KEYS = (
    *("program", "method", "metric", "parameters", "command", "early_terminate", "run_cap"),
    *("name", "description", "project", "entity", "apiVersion", "kind", "controller"),
)
"""What may stand at the top of a sweep file; the second row says nothing about the runs."""

ARGUMENTS = ("${args}", "${args_no_hyphens}")
"""The forms of W&B's arguments that train.py takes."""

METRICS = (
    "val/accuracy",
    "val/accuracy_p_wrong",
    "val/gap",
    "fraction_correct",
    "fraction_unique",
    "seconds",
)
"""Metrics of metrics.csv that a sweep may go by, beside train/... and the accuracies of further tasks."""


@dataclass(frozen=True)
class Metric:
    """What the runs are ranked by: its last value in metrics.csv."""

    name: str
    maximize: bool

    @property
    def goal(self) -> str:
        """W&B's word for it."""
        return "maximize" if self.maximize else "minimize"


def read_file(path: Path) -> dict[str, Any]:
    """The contents of a sweep file, its outline checked.

    Raises:
        UserError: it cannot be read, holds a key that W&B does not know, or sweeps another program.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # a ValueError: of text, of a date or of a number
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold keys with values: program, method, metric, parameters")
    for key in tree:
        if key not in FILE_KEYS:
            hint = suggest(str(key), FILE_KEYS) or f": a sweep run here has {', '.join(FILE_KEYS[:7])}"
            raise UserError(f"{path}: unknown key {key}{hint}")
    program = tree.get("program")
    if not isinstance(program, str) or (ROOT / program).resolve() != ROOT / "train.py":
        raise UserError(f"{path}: program must be train.py, not {program!r}")
    if not isinstance(tree.get("parameters"), dict) or not tree["parameters"]:
        raise UserError(f"{path}: parameters is missing or empty: nothing to sweep")
    cap = tree.get("run_cap")
    if cap is not None and (type(cap) is not int or cap < 1):
        raise UserError(f"{path}: run_cap must be an integer of at least 1, not {cap!r}")
    if isinstance(tree.get("command"), list):
        tree["command"] = [
            re.sub(r"\$\{envvar:([^}]*)\}", _variable, part) if isinstance(part, str) else part
            for part in tree["command"]
        ]
    return tree


def _variable(macro: re.Match[str]) -> str:
    if macro[1] not in os.environ:  # W&B's agent would pass on the name
        raise UserError(f"command: {macro[0]} stands for a variable of the environment that is not set")
    return os.environ[macro[1]]


def read_metric(tree: Mapping[str, Any], notes: list[str]) -> Metric:
    """The file's metric; without one, the validation accuracy.

    Raises:
        UserError: it is no metric that a run can be chosen by.
    """
    metric = tree.get("metric", {"name": "val/accuracy", "goal": "maximize"})
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        raise UserError(
            f"metric must be a mapping such as {{name: val/accuracy, goal: maximize}}, not {metric!r}"
        )
    name, goal = metric["name"], metric.get("goal", "minimize")  # W&B's default
    if goal not in ("maximize", "minimize"):
        raise UserError(f"metric.goal must be maximize or minimize, not {goal!r}")
    if name == "test/accuracy":
        raise UserError("metric test/accuracy: test rows are no part of a choice; use val/accuracy")
    if name not in METRICS and not name.startswith("train/") and not name.endswith("/accuracy"):
        hint = suggest(name, METRICS) or f": use {', '.join(METRICS)}, train/loss or TASK/accuracy"
        raise UserError(f"unknown metric {name}{hint}")
    if "goal" not in metric:
        notes.append(f"metric has no goal: {name} is minimised, as by W&B")
    if "target" in metric:
        notes.append("metric.target is left out here: no run ends the sweep")
    return Metric(name, goal == "maximize")


def check_metric(metric: Metric, config: Config) -> None:
    """Refuse the accuracy on a task that a run of this configuration does not evaluate or that it trains on.

    Raises:
        UserError: it is one.
    """
    task = metric.name.removesuffix("/accuracy")
    if metric.name in METRICS or metric.name.startswith("train/"):
        return
    if task == config.task.name:
        raise UserError(
            f"metric {metric.name}: test rows of the run's task are no part of a choice; use val/accuracy"
        )
    if task not in config.evaluation.tasks:
        raise UserError(f"metric {metric.name}: evaluation.tasks holds no {task}, so that no run has it")


def command_arguments(tree: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The arguments that the file's command gives to every run, before and after W&B's."""
    command = tree.get("command", ["${program}", "${args}"])
    if not isinstance(command, list) or "${program}" not in command:
        raise UserError(f"command must be a list with ${{program}} in it, not {command!r}")
    start = command.index("${program}")
    before, after = command[:start], [str(part) for part in command[start + 1 :]]
    for part in before:
        if part not in ("${env}", "${interpreter}", "python", "python3"):
            raise UserError(f"command: {part!r} before ${{program}} is nothing that is run here")
    for part in after:
        if part not in ARGUMENTS and (part.startswith("${") or "=" not in part):
            forms = f"{' or '.join(ARGUMENTS)}, ${{envvar:NAME}} and key=value"
            raise UserError(f"command: train.py takes {forms}, not {part!r}")
    place = next((i for i, part in enumerate(after) if part in ARGUMENTS), None)
    if place is None:
        raise UserError(f"command holds neither {' nor '.join(ARGUMENTS)}: no run would get its settings")
    return after[:place], [part for part in after[place:] if part not in ARGUMENTS]
