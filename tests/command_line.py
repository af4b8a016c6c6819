"""Runs the project's programs as a user does, on settings small enough to take seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SMALL = [
    "task.num_train=200",
    "task.num_validation=20",
    "task.num_test=30",
    "sampling.max_queries=32",
    "training.num_updates=3",
    "training.batch_size=16",
    "model.base.accuracy=0.05",
    "evaluation.num_logged_rollouts=4",
]
"""A run of 32 queries x 4 samples and 3 updates of 16 rows an iteration."""


def run(
    environment: dict[str, str], *arguments: str, program: str = "train.py", timeout: int = 300
) -> subprocess.CompletedProcess[str]:
    """Run ``python PROGRAM ARGUMENTS`` in the project's folder."""
    command = [sys.executable, *program.split(), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)
