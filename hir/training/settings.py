"""The whole configuration: settings that files declare themselves, and whether all of it goes together."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any

from hir.config.keys import keys_of
from hir.config.load import load_config
from hir.config.schema import Config, ConfigError
from hir.config.values import read_settings
from hir.errors import UserError
from hir.feedback.base import FEEDBACKS
from hir.feedback.judge import Judge
from hir.methods.base import METHODS
from hir.policies.base import Policy
from hir.registry import Registry
from hir.relabel.base import RELABELS, Relabel, stated
from hir.sampling.base import build_sampler
from hir.tasks.base import Task

ON_POLICY = {
    "buffer.window": 1,
    "buffer.max_wrong_fraction": None,
    "buffer.deduplicate": False,
    "sampling.temperature": 1.0,
    "sampling.retry_temperature": None,
    "sampling.top_k": 0,
    "sampling.top_p": 1.0,
}
"""What a method needs that weighs answers by their probability: all of an iteration's, drawn without cuts."""


def load_run_config(argv: list[str]) -> Config:
    """``load_config``, and ``complete``."""
    return complete(load_config(argv))


def complete(config: Config) -> Config:
    """All settings of the method, the feedback and the relabeling, their defaults included, and no others.

    A model's file may set what suits it beside several methods: settings of another one of the project's are
    left out. ConfigError where one is nobody's, of another type or beyond a limit.
    """
    registries = {"method": METHODS, "feedback": FEEDBACKS, "relabel": RELABELS}
    sections = {name: _complete(kinds, name, getattr(config, name)) for name, kinds in registries.items()}
    return replace(config, **sections)  # type: ignore[arg-type]


def _complete(registry: Registry[Any], section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    name = values["name"]
    kinds = {other: registry[other].Settings for other in registry.modules()}
    if name is None and (given := values.keys() - {"name"}):  # feedback.function=... says enough
        fitting = [other for other, kind in kinds.items() if given <= keys_of(kind).keys()]
        if len(fitting) != 1:
            known = ", ".join(sorted(kinds))
            raise ConfigError(f"{section}.{min(given)} needs {section}.name, one of {known}")
        (name,) = fitting
    own = registry[name].Settings if name else None
    others = {key for kind in kinds.values() for key in keys_of(kind)} - {*(keys_of(own) if own else ())}
    kept = {key: value for key, value in values.items() if key not in others}
    return {"name": name, **(asdict(read_settings(own, section, kept)) if own else {})}


def check_on_policy(config: Config) -> None:
    """Refuse settings under which a method has too few answers, or not just the policy's own; UserError."""
    name = config.method["name"]
    method = METHODS[name]
    if config.sampling.num_samples < (least := method.min_samples):
        raise UserError(f"method={name} compares answers: set sampling.num_samples to at least {least}")
    for key, needed in ON_POLICY.items():
        if method.on_policy and (value := attrgetter(key)(config)) != needed:
            told = f"set {key}={json.dumps(needed)}, not {json.dumps(value)}"
            raise UserError(f"method={name} learns from the answers that the policy just gave: {told}")


def check_rows(task: Task, config: Config) -> None:
    """Refuse what rows do not have: targets to train on, constraints to relabel, options; UserError."""
    name = config.method["name"]
    method = METHODS[name]
    if (method.reads_targets or not method.samples) and not all(row.targets for row in task.train):
        raise UserError(f"method={name} is trained on targets, and rows of {task.name} have none")
    for section in ("relabel", "feedback"):
        if getattr(config, section)["name"] == "constraints" and not any(r.constraints for r in task.train):
            raise UserError(
                f"{section}=constraints needs rows with constraints: those of {task.name} have none"
            )
    if config.task.answers == "text" and not any(row.options for row in task.train):
        raise UserError(f"task.answers=text needs rows with options, and those of {task.name} have none")


def check_lengths(policy: Policy, tasks: Sequence[Task], relabel: Relabel, config: Config) -> list[str]:
    """Notes on the tasks' rows: those left out, prompts that are cut, targets that are too long to answer;
    UserError where the model's context has no room for the longest prompt and answer."""
    notes = [note for task in tasks for note in task.notes]
    limit, most = policy.max_input_tokens, config.sampling.max_new_tokens
    if policy.context is not None and limit + most > policy.context:
        keys = f"model.max_input_tokens={limit} and sampling.max_new_tokens={most}"
        raise UserError(f"{keys} exceed the {policy.context} tokens of the model's context: lower them")
    for task in tasks:
        asked = [(stated(text, row.constraints), row.query) for text in relabel.texts for row in task.rows]
        lengths = [*map(len, policy.token_ids([policy.render(*each) for each in asked]))]
        if long := [length for length in lengths if length > limit]:
            line = f"{len(long)} of {len(lengths)} prompts of {task.name} are cut in their middle"
            notes.append(f"{line}: the longest has {max(long)} tokens, model.max_input_tokens={limit}")
        targets = [min(row.targets, key=len) for row in task.rows if row.targets and not row.constraints]
        lengths = [len(ids) - 1 for ids in policy.answer_ids(targets)]  # an answer may lack its end token
        if long := [length for length in lengths if length > most]:
            line = f"no answer is as long as {len(long)} of {len(task.rows)} targets of {task.name}"
            notes.append(f"{line}: the longest has {max(long)} tokens, sampling.max_new_tokens={most}")
    return notes


def ask_start(task: Task, policy: Policy, config: Config) -> None:
    """Let a judge without an endpoint ask a frozen copy of the policy as it is now, whole on each device."""
    if isinstance(task.feedback, Judge) and not task.feedback.url:
        start = copy.deepcopy(policy, {id(policy.tokenizer): policy.tokenizer}).requires_grad_(False)
        sampler = build_sampler(start, config.sampling, config.evaluation.batch_size)
        # It is no part of the module: no checkpoint has it, and it follows the policy to its device.
        task.feedback.ask_policy = lambda texts: [
            *map(start.to(policy.device).decode, sampler.greedy([*map(start.told, texts)]))
        ]
