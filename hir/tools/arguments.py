"""The arguments of a tool: its own keys, off a dataclass, and settings of train.py where it takes those."""

from collections.abc import Sequence
from functools import reduce
from operator import getitem
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf

from hir.config.help import entry
from hir.config.keys import keys_of, suggest
from hir.config.values import parse_value, set_value, to_object
from hir.errors import UserError

T = TypeVar("T")


def read_options(kind: type[T], argv: Sequence[str], takes_settings: bool = False) -> tuple[T, list[str]]:
    """The options in a command line, and what in it are settings of train.py, where it takes any.

    A key may be named --key, too, and the first one need not be named; the last of a repeated one wins.
    MISSING is the default of one that must be given. Raises UserError where a key is unknown or missing, or a
    value of another type.
    """
    keys, tree, settings = keys_of(kind), OmegaConf.structured(kind), []
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not equals:
            name, text = next(iter(keys)), argument
        if name in keys:
            set_value(tree, keys[name], name, parse_value(keys[name], text))
        elif takes_settings:
            settings.append(argument)
        else:
            raise UserError(f"unknown key {name}{suggest(name, keys)}")
    missing = sorted(map(str, OmegaConf.missing_keys(tree)))
    if missing:
        raise UserError(f"{missing[0]}= is missing: {keys[missing[0]].meaning}")
    return to_object(tree), settings


def help_of(kind: type[Any], about: str | None) -> str:
    """A tool's help: what it is about, and its keys."""
    lines = [(about or "").strip(), ""]
    tree: Any = OmegaConf.to_container(OmegaConf.structured(kind))
    for name, key in keys_of(kind).items():
        default = reduce(getitem, name.split("."), tree)
        text = "none, give one" if default == MISSING else "null" if default is None else str(default)
        lines += entry(name, key.type_name, text, key.meaning)
    return "\n".join(lines)
