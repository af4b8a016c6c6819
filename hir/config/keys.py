"""The dotted keys of the configuration, read off the dataclasses: name, type, limits and meaning of each."""

import ast
import inspect
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from textwrap import dedent
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hir.config.schema import Config, ConfigError

GROUPS = ("task", "model", "feedback", "relabel", "method", "sampling")
"""Sections whose name an undotted key sets, as method=ppo; conf/GROUP/NAME.yaml, if there is one, is read."""

CHOICES = (*GROUPS, "experiment", "config")
"""Undotted keys that name a file."""

TYPES: dict[type, str] = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
TYPES |= {list: "a list of texts", dict: "a mapping"}


@dataclass(frozen=True)
class Key:
    """One thing that can be set. A mapping stands for all keys below it, as trainer for trainer.devices."""

    name: str
    kind: type
    """One of TYPES."""
    type_name: str
    """The type and the interval in words."""
    nullable: bool
    interval: str
    """Where a number must lie, such as [0, 1); empty for anywhere."""
    meaning: str


def keys_of(options: type, prefix: str = "") -> dict[str, Key]:
    """The dotted keys of a dataclass, those of the dataclasses in it included."""
    keys: dict[str, Key] = {}
    hints, texts = get_type_hints(options), _texts(options)
    for field in fields(options):
        name, hint = prefix + field.name, hints[field.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            keys |= keys_of(hint, f"{name}.")
            continue
        nullable = NoneType in get_args(hint)
        kind: Any = get_args(hint)[0] if nullable else hint
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        kind = str if choices else get_origin(kind) or kind
        interval = field.metadata.get("interval", "")
        words = [*choices] if choices else [TYPES[kind] + (f" in {interval}" if interval else "")]
        type_name = " or ".join([*words, "null"] if nullable else words)
        keys[name] = Key(name, kind, type_name, nullable, interval, texts.get(field.name, ""))
    return keys


@cache
def _texts(options: type) -> dict[str, str]:
    texts: dict[str, str] = {}
    for kind in filter(is_dataclass, reversed(options.__mro__)):
        with suppress(OSError, TypeError):  # a class of a notebook has no source that can be found
            texts |= meanings(ast.parse(dedent(inspect.getsource(kind))).body[0])
    return texts


def meanings(definition: ast.AST) -> dict[str, str]:
    """The text under each field of a class, which Python itself does not keep."""
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: " ".join(ast.literal_eval(text.value).split())
        for field, text in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
    }


KEYS = keys_of(Config)
SECTIONS = {name.rpartition(".")[0] for name in KEYS} - {""}


def lookup(name: str) -> Key:
    """Find a key, or the mapping that holds it; raises ConfigError with a suggestion where there is none."""
    for key in KEYS.values():
        if name == key.name or (key.kind is dict and name.startswith(f"{key.name}.")):
            return key
    # training is a section, and lr stands for training.lr.
    near = [key for key in KEYS if key.startswith(f"{name}.") or key.endswith(f".{name}")][:2]
    near = near or get_close_matches(name, [*CHOICES, *KEYS], n=1, cutoff=0.7)
    hint = f": did you mean {' or '.join(near)}?" if near else " (--help lists the keys)"
    raise ConfigError(f"unknown key {name}{hint}")


def suggest(word: str, options: Iterable[str], prefix: str = "") -> str:
    """The tail of an error: the likeliest option as a question, or the first thirty where none is close."""
    known = sorted(options)
    if close := get_close_matches(word, known, n=1):
        return f": did you mean {prefix}{close[0]}?"
    return f": there are {', '.join(known[:30]) or 'none'}{', ...' if len(known) > 30 else ''}"
