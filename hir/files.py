"""The cache, a run's checkpoints, and the one way to write a file: whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hir.errors import UserError


def cache_dir() -> Path:
    """Folder of the cache: ``$HIR_CACHE``, else ``~/.cache/hir``. It may not exist yet."""
    return Path(os.environ.get("HIR_CACHE") or "~/.cache/hir").expanduser()


def atomic_write(path: Path, content: bytes) -> None:
    """Write the file whole or leave what was there; makes the folder. Raises UserError.

    The temporary file lies in the same folder, for a rename is atomic within one file system only.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make whatever the disk answers a UserError that names the file; a full disk's own names none."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__  # torch covers it by its own
        if not isinstance(cause, OSError):
            raise
        raise UserError(f"{path} cannot be written: {cause.strerror}") from error


def clear_leftovers(folder: Path, age: float = 0.0) -> None:
    """Remove what killed processes left half-written in a folder, all of it or what is older, in seconds."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):  # another process is as fast
            if time.time() - path.stat().st_mtime >= age:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a file with a JSON object a line, whole."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    atomic_write(path, "".join(lines).encode())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole."""
    atomic_write(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, the newest first."""
    paths = (folder / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    return [path for path in paths if os.path.exists(path)]  # False for too long a path


def find_checkpoint(run: str | Path) -> tuple[Path, Path]:
    """Folder and newest checkpoint of a run, given either.

    Raises:
        UserError: there is no such run, or it has finished no iteration.
    """
    path = Path(run)
    folder = path.parent.parent if path.suffix == ".ckpt" else path
    found = checkpoints(folder)
    if path.suffix == ".ckpt":
        found = [path] if os.path.exists(path) else []
    if not found or not os.path.isfile(folder / "config.yaml"):
        raise UserError(
            f"{run} holds no run to go on with: it has no config.yaml or no checkpoint; a run that finished "
            "no iteration is begun anew by its own command"
        )
    return folder, found[0]
