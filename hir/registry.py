"""Finds the implementation of a name: a file that registers it, in the package or outside."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from hir.errors import UserError

T = TypeVar("T")


class Registry(Generic[T]):
    """Implementations by name: sampling ``generate`` is hir/sampling/generate.py, ``t5``, which has a room of
    its own, hir/t5/sampling.py, and ``my.module`` a module of yours that Python can import.

    A file is imported when its name is asked for, and registers what it holds under its own name.

    Args:
        package: dotted name of the room, hir.sampling say.
        key: configuration key that names one, for the error.
    """

    def __init__(self, package: str, key: str) -> None:
        self.package = package
        self.key = key
        self._entries: dict[str, Any] = {}

    def register(self, name: str) -> Callable[[Any], Any]:
        """Class decorator: make an implementation known by the name of its file."""

        def add(entry: Any) -> Any:
            self._entries[name] = entry
            return entry

        return add

    def modules(self) -> dict[str, str]:
        """Name to dotted module of those in the project."""
        parent, _, room = self.package.rpartition(".")
        in_room = pkgutil.iter_modules(importlib.import_module(self.package).__path__)
        rooms = [
            module
            for module in pkgutil.iter_modules(importlib.import_module(parent).__path__)
            if module.ispkg
        ]
        own = {module.name: f"{parent}.{module.name}.{room}" for module in rooms}
        return {
            **{module.name: f"{self.package}.{module.name}" for module in in_room if module.name != "base"},
            **{name: module for name, module in own.items() if find_spec(module)},
        }

    def names(self) -> list[str]:
        """Names of those in the project, and of what was registered by hand, in a notebook say."""
        return sorted({*self.modules(), *self._entries})

    def __getitem__(self, name: str) -> T:
        """The implementation; UserError if there is none of that name."""
        if name in self._entries:
            known: T = self._entries[name]
            return known
        module = self.modules().get(name, name)
        dotted = "." in module and all(part.isidentifier() for part in module.split("."))
        try:
            found = dotted and find_spec(module)
        except ModuleNotFoundError:  # a folder on the way is none
            found = None
        if not found:
            raise UserError(
                f"{self.key}={name}: {self.package} holds {', '.join(self.names())}, and no module is {name}"
            )
        importlib.import_module(module)
        short = name.rpartition(".")[2]
        if short not in self._entries:
            raise UserError(f"{self.key}={name}: its file registers nothing under {short!r}")
        entry: T = self._entries[short]
        return entry
