"""Finds the implementation of a name: a file that registers it, in the package or outside."""

import importlib
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from hir.errors import UserError

T = TypeVar("T")

REGISTERED = re.compile(r"^@register\(([^)]*)\)", re.MULTILINE)
ROOT = Path(__file__).resolve().parent.parent


class Registry(Generic[T]):
    """Implementations by name: sampling ``generate`` is hir/sampling/generate.py, ``t5``, which has a room of
    its own, hir/t5/sampling.py, and ``my.module`` a module of yours that Python can import.

    A file is imported when its name is asked for, and registers what it holds under that name, or a family's.
    ``package`` is the room, hir.sampling say, and ``key`` the configuration key that names one.
    """

    def __init__(self, package: str, key: str) -> None:
        self.package, self.key = package, key
        self._entries: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[Any], Any]:
        """Class decorator: make an implementation known by its names."""

        def add(entry: Any) -> Any:
            self._entries |= dict.fromkeys(names, entry)
            return entry

        return add

    def modules(self) -> dict[str, str]:
        """Name to dotted module of those in the project."""
        folder = ROOT.joinpath(*self.package.split("."))
        return {
            name: ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for path in [*folder.glob("*.py"), *folder.parent.glob(f"*/{folder.name}.py")]
            for names in REGISTERED.findall(path.read_text(encoding="utf-8"))
            for name in re.findall(r'"(\w+)"', names)
        }

    def __contains__(self, name: str) -> bool:
        """Whether there is one of that name: registered already, in a notebook say, or in a file."""
        return name in self._entries or bool(self._module(name))

    def __getitem__(self, name: str) -> T:
        """The implementation; UserError if there is none of that name."""
        if name in self._entries:
            return self._entries[name]
        if not (module := self._module(name)):
            known = ", ".join(sorted(self.modules()))
            raise UserError(f"{self.key}={name}: {self.package} holds {known}, and no module is {name}")
        importlib.import_module(module)
        if (short := name.rpartition(".")[2]) not in self._entries:
            raise UserError(f"{self.key}={name}: its file registers nothing under {short!r}")
        return self._entries[short]

    def _module(self, name: str) -> str | None:
        """Dotted module of a name, None where there is none."""
        module = self.modules().get(name, name)
        try:
            return module if "." in module and find_spec(module) else None
        except (ImportError, ValueError, RecursionError):  # no folder on the way, or no name of a module
            return None
