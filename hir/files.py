"""The cache, a run's checkpoint, and the one way to write a file: whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hir.errors import UserError


def cache_dir() -> Path:
    """Folder of the cache: ``$HIR_CACHE``, else ``~/.cache/hir``. It may not exist yet."""
    return Path(os.environ.get("HIR_CACHE") or "~/.cache/hir").expanduser()


def atomic_write(path: Path, content: bytes) -> None:
    """Write the file whole or leave what was there; makes the folder. Raises OSError.

    The temporary file lies in the same folder, for a rename is atomic within one file system only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a file with a JSON object a line, whole."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    atomic_write(path, "".join(lines).encode())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole."""
    atomic_write(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def find_checkpoint(run: str | Path) -> tuple[Path, Path]:
    """Folder and last checkpoint of a run, given either.

    Raises:
        UserError: there is no such run, or it has finished no iteration.
    """
    path = Path(run)
    folder = path.parent.parent if path.suffix == ".ckpt" else path
    checkpoint = path if path.suffix == ".ckpt" else path / "checkpoints" / "last.ckpt"
    if not checkpoint.exists() or not (folder / "config.yaml").is_file():
        raise UserError(f"{run} holds no run to go on with: it has no config.yaml or no {checkpoint.name}")
    return folder, checkpoint


def clear_leftovers(folder: Path, age: float = 0.0) -> None:
    """Remove what killed processes left unfinished there, ``.*.tmp``, and is older than ``age`` seconds."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):  # it may be gone, or another's
            if time.time() - path.stat().st_mtime >= age:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
