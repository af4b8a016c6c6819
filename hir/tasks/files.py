"""Finding the file of a task in a folder: NAME.json, NAME.jsonl, or BIG-bench's nested NAME/task.json.

IFEval's own file, input_data.jsonl, is that of task ifeval.
"""

from __future__ import annotations

import os
from pathlib import Path

from hir.config.keys import suggest
from hir.errors import UserError

# Where clones of the two repositories keep their tasks, so that data_dir may name the clone itself.
ROOTS = ("", "bbh", "bigbench/benchmark_tasks")
ENDS = ("*.json", "*.jsonl", "*/task.json", "*/*/task.json")


def find_file(data_dir: str, name: str) -> Path:
    """The file of task ``name`` in ``data_dir``; UserError, with the nearest name there, if there is none."""
    folder = Path(os.path.expanduser(data_dir))  # unlike Path's, these two raise for no text
    if not os.path.isdir(folder):
        raise UserError(f"task.data_dir={data_dir} is not a folder")
    files = _files(folder)
    if name not in files:
        raise UserError(f"task.data_dir={data_dir} holds no file of task {name}{suggest(name, files)}")
    return files[name]


def _files(folder: Path) -> dict[str, Path]:
    """The folder's tasks by name: a/b/task.json is a_b."""
    found: dict[str, Path] = {}
    for root in (folder / root for root in ROOTS):
        for path in (p for end in ENDS for p in root.glob(end)):
            parts = path.relative_to(root).parts
            found.setdefault("_".join(parts[:-1]) or path.stem.replace("input_data", "ifeval"), path)
    return found
