"""Single values: read off a command line as their key's type asks, and put into a typed tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hir.config.keys import Key, keys_of, suggest
from hir.config.schema import ConfigError, as_integer

T = TypeVar("T")

NULLS = ("None", "null")  # W&B's agent prints a null as None


def parse_value(key: Key, text: str) -> Any:
    """Read an argument's text as its key's type asks; a prompt stays as it is, whatever it holds."""
    if text in NULLS or (key.nullable and not text):
        return None
    if key.kind is str or (":" in text and text[0] not in "[{"):
        return text  # 12:00:00:00, a duration, YAML would take for one number
    try:
        if key.kind is list:  # of texts: 1e3 stays 1e3
            return yaml.load(text if text.startswith("[") else f"[{text}]", yaml.BaseLoader)
        return read_yaml(text)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        if key.kind is list:
            raise ConfigError(f"{key.name} must be {key.type_name}, not {text!r}") from error
        return text


def read_yaml(text: str) -> Any:
    """A value as YAML, or a list or a mapping as Python prints it, and so W&B's agent."""
    try:
        return ast.literal_eval(text if text.startswith(("[", "{")) else "")
    except (ValueError, SyntaxError):
        tree: Any = OmegaConf.to_container(OmegaConf.create(f"value: {text}"))
        return tree["value"]


def set_value(tree: Any, key: Key, name: str, value: Any) -> None:
    """Set a value of a structured OmegaConf tree, its type checked; mappings merge, an empty one empties.

    Args:
        tree: what OmegaConf.structured made.
        key: of the value, or of the mapping that holds it.
        name: dotted.
        value: as ``parse_value`` or YAML reads it.

    Raises:
        ConfigError: it is of another type.
    """
    if key.kind is int:
        value = as_integer(value)
    elif key.kind is list and isinstance(value, str):
        value = [value]
    if key.kind in (str, list):
        for item in value if isinstance(value, list) else [value]:
            # OmegaConf would make "True" of yes, and let a: b be in a list.
            if isinstance(item, bool | dict | list):
                raise ConfigError(f"{name} must be {key.type_name}, not {item!r}: put it in quotes")
    try:
        OmegaConf.update(tree, name, escape(value), merge=value != {})
    except OmegaConfBaseException as error:
        raise ConfigError(f"{name} must be {key.type_name}, not {value!r}") from error


def read_settings(kind: type[T], section: str, values: Mapping[str, Any]) -> T:
    """Settings as the dataclass of the file that they are for, their types and limits checked.

    Args:
        kind: the dataclass.
        section: dotted key of the mapping that holds them.
        values: of the mapping; "name" is no setting.

    Raises:
        ConfigError: one is unknown, of another type or beyond a limit.
    """
    keys, tree = keys_of(kind), OmegaConf.create()
    OmegaConf.update(tree, section, OmegaConf.structured(kind))
    for name, value in values.items():
        if name in keys:
            set_value(tree, keys[name], f"{section}.{name}", value)
        elif name != "name":
            hint = suggest(name, keys, f"{section}.") or f": there are {', '.join(keys) or 'none'}"
            raise ConfigError(f"{section}.{name} is no setting of {values.get('name', 'this')}{hint}")
    settings = OmegaConf.to_object(OmegaConf.select(tree, section))
    assert isinstance(settings, kind)
    return settings


def escape(value: Any) -> Any:
    """Keep OmegaConf from interpreting ${ in texts, at any depth."""
    if isinstance(value, dict):
        return {name: escape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [escape(item) for item in value]
    if isinstance(value, str):
        # OmegaConf halves the backslashes before ${ and takes an odd one for an escape.
        return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value)
    return value
