"""The dotted keys of the configuration, read off the dataclasses: name, type and meaning of each."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from textwrap import dedent
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hir.config.schema import Config, ConfigError

GROUPS = ("task", "model", "method", "sampling")
"""Sections whose name an undotted key sets, as method=ppo; conf/GROUP/NAME.yaml, if there is one, is read."""

CHOICES = (*GROUPS, "experiment", "config")
"""Undotted keys that name a file."""

TYPES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list of texts",
    dict: "a mapping",
}


@dataclass(frozen=True)
class Key:
    """One thing that can be set. A mapping stands for all keys below it, as trainer for trainer.devices."""

    name: str
    kind: type
    nullable: bool
    meaning: str
    choices: tuple[str, ...] = ()
    """All that a text may be, where not every text will do."""

    @property
    def type_name(self) -> str:
        """The type in words."""
        named = " or ".join(self.choices) or TYPES[self.kind]
        return named + (" or null" if self.nullable else "")


def lookup(name: str) -> Key:
    """Find a key, or the mapping that holds it; raises ConfigError with a suggestion where there is none."""
    if name in SECTIONS:
        example = next(key for key in KEYS if key.startswith(f"{name}."))
        raise ConfigError(f"{name} is a section: set one of its keys, such as {example}")
    for key in KEYS.values():
        if name == key.name or (key.kind is dict and name.startswith(f"{key.name}.")):
            return key
    same = [key for key in KEYS if key.endswith(f".{name}")]  # lr stands for training.lr
    hint = f": did you mean {' or '.join(same)}?" if same else suggest(name, [*CHOICES, *KEYS], cutoff=0.7)
    raise ConfigError(f"unknown key {name}{hint or ' (--help lists the keys)'}")


def suggest(word: str, options: Iterable[str], prefix: str = "", cutoff: float = 0.6) -> str:
    """A question that names the likeliest option; empty where none is close."""
    close = get_close_matches(word, list(options), n=1, cutoff=cutoff)
    return f": did you mean {prefix}{close[0]}?" if close else ""


def _walk(section: type, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield the dotted name, type and meaning of each section and each field."""
    hints, meanings = get_type_hints(section), _meanings(_source(section))
    for field in fields(section):
        name, hint = prefix + field.name, hints[field.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            yield name, hint, inspect.getdoc(hint) or ""
            yield from _walk(hint, f"{name}.")
        else:
            yield name, hint, meanings.get(field.name, "")


def declared_settings(path: Path) -> list[tuple[str, str, str, str]]:
    """Name, type, default and meaning of the settings in a file of a method, say, which is not imported."""
    classes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    return [
        (field.target.id, ast.unparse(field.annotation), ast.unparse(field.value), meanings[field.target.id])
        for definition in classes
        if definition.name == "Settings"
        for meanings in [_meanings(definition)]
        for field in definition.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value
    ]


def _source(section: type) -> ast.ClassDef:
    definition = ast.parse(dedent(inspect.getsource(section))).body[0]
    assert isinstance(definition, ast.ClassDef)
    return definition


def _meanings(definition: ast.ClassDef) -> dict[str, str]:
    """The text under each field of a class, which Python itself does not keep."""
    found = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found


def _key(name: str, hint: Any, meaning: str) -> Key:
    nullable = NoneType in get_args(hint)
    bare = next(part for part in get_args(hint) if part is not NoneType) if nullable else hint
    if get_origin(bare) is Literal:
        return Key(name, str, nullable, meaning, get_args(bare))
    return Key(name, get_origin(bare) or bare, nullable, meaning)


def keys_of(options: type) -> dict[str, Key]:
    """The dotted keys of a dataclass, those of the dataclasses in it included."""
    return {name: _key(name, hint, text) for name, hint, text in _walk(options) if not is_dataclass(hint)}


SECTIONS = {name: meaning for name, hint, meaning in _walk(Config) if is_dataclass(hint)}
KEYS = keys_of(Config)
