"""The cache, a run's checkpoints, and the one way to write a file: whole or not at all."""

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError

from hir.errors import UserError, reason

CHECKPOINT = "checkpoints/last.ckpt"
"""Where in a run's folder the state after its last finished iteration lies."""


def cache_dir() -> Path:
    """Folder of the cache: ``$HIR_CACHE``, else ``~/.cache/hir``. It may not exist yet."""
    return Path(os.environ.get("HIR_CACHE") or "~/.cache/hir").expanduser()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, put in the place of ``path`` whole, or not at all; makes the folder. Raises UserError.

    The temporary file lies in the same folder, for a rename is atomic within one file system only.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def making(path: Path, cache: bool = True) -> Iterator[Path]:
    """A folder to fill, put in the place of ``path`` whole, or not at all. Raises UserError.

    In a ``cache`` what killed processes left beside it goes, and of two that make the same the first stays.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if cache:
            clear_leftovers(path.parent, age=3600)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp") as scratch:
            whole = Path(scratch) / path.name
            whole.mkdir()
            yield whole
            try:
                os.replace(whole, path)
            except OSError:
                if not cache or not path.is_dir():
                    raise


def atomic_write(path: Path, content: bytes) -> None:
    """Write the file whole or leave what was there; makes the folder. Raises UserError."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make whatever the disk answers a UserError that names the file; a full disk's own names none."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch covers it by its own
        if not isinstance(cause, OSError | SafetensorError):
            raise
        raise UserError(f"{path} cannot be written: {getattr(cause, 'strerror', cause)}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Make whatever a damaged file leads to a UserError that names it."""
    try:
        yield
    except Exception as error:  # of any kind, as damage is
        raise UserError(f"{path} cannot be read: {reason(error)}") from error


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


def has_checkpoint(folder: Path) -> bool:
    """Whether an iteration of the run has ended."""
    return os.path.isfile(folder / CHECKPOINT)  # False for too long a path


def find_checkpoint(run: str | Path) -> tuple[Path, Path]:
    """Folder and checkpoint of a run, given either; UserError where it has finished no iteration."""
    path = Path(run)
    path = path if path.suffix == ".ckpt" else path / CHECKPOINT
    folder = path.parent.parent
    if not os.path.isfile(path) or not os.path.isfile(folder / "config.yaml"):
        raise UserError(f"{run} holds no run to go on with: one that finished no iteration is begun anew")
    return folder, path
