"""Finding the file of a task in a folder: NAME.json, NAME/task.json, or BIG-bench's nested folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from hir.config.keys import suggest
from hir.errors import UserError

# Where clones of the two repositories keep their tasks, so that data_dir may name the clone itself.
ROOTS = ("", "bbh", "bigbench/benchmark_tasks")


def suggestion(name: str, known: Iterable[str]) -> str:
    """A tail for an error message: the nearest known name, else the first 30."""
    names = sorted(known)
    return suggest(name, names) or f"; known: {', '.join(names[:30])}{', ...' if len(names) > 30 else ''}"


def find_file(data_dir: str, name: str) -> Path:
    """The file of task ``name`` in ``data_dir``; UserError, with the nearest name there, if there is none.

    logical_deduction_five_objects is looked for as logical_deduction_five_objects.json, as
    .../task.json, and as logical_deduction/five_objects/task.json: any part of the name may be a folder.
    """
    if not re.fullmatch(r"(?!\.)[\w.+ -]{1,200}", name):
        raise UserError(f"task.name must be a plain name without folders, not {name!r}")
    try:
        folder = Path(data_dir).expanduser()
        if not folder.is_dir():
            raise UserError(f"task.data_dir={data_dir} is not a folder")
        for root in ROOTS:
            if path := _search(folder / root, name):
                return path
        tail = suggestion(name, _names(folder))
    except (OSError, RuntimeError) as error:
        raise UserError(f"task.data_dir={data_dir} cannot be searched: {error}") from error
    raise UserError(
        f"task.data_dir={data_dir} holds no {name}.json, {name}/task.json or nested folders{tail}"
    )


def _search(folder: Path, rest: str) -> Path | None:
    for path in (folder / f"{rest}.json", folder / rest / "task.json"):
        if path.is_file():
            return path
    for i, character in enumerate(rest):
        if character == "_" and 0 < i < len(rest) - 1 and (folder / rest[:i]).is_dir():
            if found := _search(folder / rest[:i], rest[i + 1 :]):
                return found
    return None


def _names(folder: Path) -> set[str]:
    """Names of all tasks that :func:`find_file` finds in the folder, two levels deep."""
    names = set()
    for root in ROOTS:
        for pattern in ("*.json", "*/task.json", "*/*/task.json"):
            for path in (folder / root).glob(pattern):
                parts = path.relative_to(folder / root).with_suffix("").parts
                names.add("_".join(parts[:-1] if parts[-1] == "task" and len(parts) > 1 else parts))
    return names
