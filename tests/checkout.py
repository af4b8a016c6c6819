"""A copy of the project to write to and to run in: no test edits the checkout."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.command_line import ROOT

PARTS = ("hir", "conf", "tests", "train.py", "pyproject.toml")


def copy_project(folder: Path) -> Path:
    """Copy what runs and tests a task or a method into a new folder."""
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(ROOT / part, folder / part)
    return folder


def activated(environment: dict[str, str]) -> dict[str, str]:
    """The environment with this interpreter's programs first, as after `source .venv/bin/activate`."""
    kept = {
        name: value for name, value in environment.items() if name not in ("PYTEST_ADDOPTS", "PYTHONPATH")
    }
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}
