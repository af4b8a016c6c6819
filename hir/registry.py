"""Finds the implementation of a name: the file of that name in a package, which registers it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from hir.errors import UserError

T = TypeVar("T")


class Registry(Generic[T]):
    """Implementations of a package by name; the file <package>/<name>.py is imported when it is asked for.

    Args:
        package: dotted name of the package that holds one file for each implementation.
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

    def names(self) -> list[str]:
        """Names of the package's files."""
        path = importlib.import_module(self.package).__path__
        return sorted(module.name for module in pkgutil.iter_modules(path) if module.name != "base")

    def __getitem__(self, name: str) -> T:
        """The implementation; UserError if there is no file of that name."""
        if name not in self.names():
            raise UserError(f"{self.key}={name}: {self.package} holds {', '.join(self.names())}")
        importlib.import_module(f"{self.package}.{name}")
        if name not in self._entries:
            raise UserError(f"{self.key}={name}: its file registers nothing under {name!r}")
        entry: T = self._entries[name]
        return entry
