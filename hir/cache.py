"""The folder for downloaded and built files, and the one way to write a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


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
