"""The arguments of `python -m hir export`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from hir.errors import UserError

CHOICES = {"merge": ("true", "false"), "lm_eval": ("false", "true"), "dtype": ("float32", "bfloat16")}
"""Keys with a fixed set of values, the default first."""
TEXTS = ("run", "to", "license")


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for."""

    run: str
    to: Path
    merge: bool = True
    dtype: str = "float32"
    license: str | None = None
    lm_eval: bool = False


def parse_arguments(argv: list[str]) -> Arguments:
    """Read key=value arguments; the last of a repeated one wins.

    Raises:
        UserError: an unknown key or value, or run= or to= is missing.
    """
    given: dict[str, str] = {}
    for argument in argv:
        name, _, value = argument.removeprefix("--").partition("=")
        if name not in CHOICES and name not in TEXTS:
            near = difflib.get_close_matches(name, [*TEXTS, *CHOICES], n=1)
            hint = f"did you mean {near[0]}=?" if near else "see python -m hir export --help"
            raise UserError(f"{argument!r} is no argument of hir.tools.export; {hint}")
        if not value or value not in CHOICES.get(name, (value,)):
            raise UserError(f"{name} must be {' or '.join(CHOICES.get(name, ('given',)))}, not {value!r}")
        given[name] = value
    for name in ("run", "to"):
        if name not in given:
            raise UserError(f"{name}= is missing: python -m hir export run=PATH to=DIR")
    return Arguments(
        run=given["run"],
        to=Path(given["to"]),
        merge=given.get("merge") != "false",
        dtype=given.get("dtype", "float32"),
        license=given.get("license"),
        lm_eval=given.get("lm_eval") == "true",
    )
