"""A configuration as flat keys: what departs from the defaults, and the command that repeats the run."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from hir.config.keys import GROUPS, KEYS
from hir.config.load import group_files, merge_layers
from hir.config.schema import Config, ConfigError

UNSET = "not set"
"""Stands where one of two configurations lacks a key of a mapping."""

OF_THE_PLACE = ("run_dir", "resume")
"""Keys that say where a run lies, not what it is."""


@dataclass(frozen=True)
class Settings:
    """What a configuration sets beyond its groups' files."""

    groups: str
    """Arguments that choose the files, such as ``method=ppo``; empty for the default run's."""
    changed: dict[str, tuple[str, str]]
    """Key to its value and its default, which is the one beside the groups' files."""
    command: str
    """Repeats the run."""


def flatten(config: Config) -> dict[str, str]:
    """Dotted key to value, as an argument of the command line states it."""
    values: dict[str, Any] = {}
    for key in KEYS.values():
        value: Any = reduce(getattr, key.name.split("."), config)
        if key.kind is dict:
            values |= {f"{key.name}.{name}": item for name, item in value.items()}
        elif key.name not in OF_THE_PLACE:
            values[key.name] = value
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


def different(configs: list[dict[str, str]]) -> dict[str, list[str]]:
    """Keys of flat configurations that are not equal in all, with the value in each."""
    keys = dict.fromkeys(key for config in configs for key in config)
    found = {key: [config.get(key, UNSET) for config in configs] for key in keys}
    return {key: values for key, values in found.items() if len(set(values)) > 1}


def settings_of(config: Config, folder: Path) -> Settings:
    """What the run in a folder sets; where no arguments give its configuration, its own file does."""
    default = merge_layers([])
    arguments = []
    for group in GROUPS:
        name = getattr(config, group).name
        known = group == "task" or name in group_files(group)
        if known and name != getattr(default, group).name:
            arguments.append(f"{group}={name}")
    try:
        base = merge_layers(arguments)
    except ConfigError:  # model=seq2seq says nothing of the path that it asks for
        arguments.append(f"model.path={config.model.path}")
        base = merge_layers(arguments)
    groups = " ".join(arguments)
    values = flatten(config)
    changed = {key: (new, old) for key, (new, old) in different([values, flatten(base)]).items()}
    arguments += [f"{key}={new}" for key, (new, _) in changed.items()]
    try:
        repeats = flatten(merge_layers(arguments)) == values
    except ConfigError:
        repeats = False
    if not repeats:
        arguments = [f"config={folder / 'config.yaml'}"]
    return Settings(groups, changed, shlex.join(["python", "train.py", *arguments]))
