"""Runs the project's programs as a user does, on settings small enough to take seconds."""

from __future__ import annotations

import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SMALL = [
    "task.num_train=200", "task.num_validation=20", "task.num_test=30", "sampling.max_queries=32",
    "sampling.retry_temperature=null", "training.num_updates=3", "training.batch_size=16",
    "model.base.accuracy=0.2", "evaluation.num_logged_rollouts=4",
]  # fmt: skip
"""A run of 32 queries x 4 samples and 3 updates of 16 rows an iteration."""

FAULTY = "tests/robustness/faulty.py"


def copy_project(folder: Path) -> Path:
    """Copy what runs and tests a task or a method, to write to: no test edits the checkout."""
    for part in ("hir", "conf", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for part in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / part, folder)
    return folder


def assert_same_run(folder: Path, other: Path, tolerance: float = 0.0) -> None:
    """Same files, weights, optimizer, samples and results; results may differ where weights do."""
    import torch

    paths = [path / "checkpoints" / "last.ckpt" for path in (folder, other)]
    one, two = (torch.load(path, weights_only=True) for path in paths)
    for part in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(one[part], two[part], atol=tolerance, rtol=0)
    assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}
    for name in ("samples.jsonl",) if tolerance else ("samples.jsonl", "answers.jsonl"):
        assert (folder / name).read_text() == (other / name).read_text()
    summaries = [json.loads((path / "summary.json").read_text()) for path in (folder, other)]
    for summary in summaries:
        del summary["seconds"]
    assert tolerance or summaries[0] == summaries[1]


@functools.cache
def forks() -> subprocess.Popen[str]:
    """This test process's tests/forks.py; it ends with its standard input."""
    command = [sys.executable, str(ROOT / "tests" / "forks.py")]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, start_new_session=True)


def run(
    environment: dict[str, str], *arguments: str, program: str = "train.py", timeout: int = 300
) -> subprocess.CompletedProcess[str]:
    """Run ``python PROGRAM ARGUMENTS`` in the project's folder, in a process with the libraries imported."""
    argv = [*program.split(), *arguments]
    if sys.platform != "linux":  # elsewhere libraries do not survive a fork
        command = [sys.executable, *argv]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout
        )
    server = forks()
    assert server.stdin and server.stdout
    with tempfile.NamedTemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
        job = {"argv": argv, "environment": environment, "folder": str(ROOT)}
        server.stdin.write(json.dumps({**job, "stdout": stdout.name, "stderr": stderr.name}) + "\n")
        if not select.select([server.stdout], [], [], timeout)[0]:
            os.killpg(server.pid, signal.SIGKILL)
            forks.cache_clear()
            raise subprocess.TimeoutExpired(argv, timeout, stdout.read(), stderr.read())
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(argv, code, stdout.read().decode(), stderr.read().decode())
