"""Finds the implementation of a name: a file that registers it, in the package or outside."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
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
        here = {module.name: f"{self.package}.{module.name}" for module in in_room}
        return {name: module for name, module in {**here, **own}.items() if _registers(module)}

    def names(self) -> list[str]:
        """Names of those in the project."""
        return sorted(self.modules())

    def __contains__(self, name: str) -> bool:
        """Whether there is one of that name: registered already, in a notebook say, or in a file."""
        return name in self._entries or self._module(name) is not None

    def __getitem__(self, name: str) -> T:
        """The implementation; UserError if there is none of that name."""
        short, module = name, self._module(name)
        if name not in self._entries:
            if module is None:
                known = ", ".join(self.names())
                raise UserError(f"{self.key}={name}: {self.package} holds {known}, and no module is {name}")
            importlib.import_module(module)
            short = name.rpartition(".")[2]
        if short not in self._entries:
            raise UserError(f"{self.key}={name}: its file registers nothing under {short!r}")
        entry: T = self._entries[short]
        return entry

    def _module(self, name: str) -> str | None:
        """Dotted module of a name, None where there is none."""
        module = self.modules().get(name, name)
        dotted = "." in module and all(part.isidentifier() for part in module.split("."))
        try:
            return module if dotted and find_spec(module) else None
        except ModuleNotFoundError:  # a folder on the way is none
            return None


def _registers(module: str) -> bool:
    """Whether there is such a file, and it registers something."""
    spec = find_spec(module)
    return bool(spec and spec.origin and "\n@register(" in Path(spec.origin).read_text(encoding="utf-8"))
