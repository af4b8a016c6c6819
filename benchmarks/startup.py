"""Seconds of `train.py --help`, and from the start of the process to the end of the first training batch."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, alone

SECTION = "startup"
ROOT = Path(__file__).resolve().parent.parent


def run(repeats: int) -> list[Row]:
    """Both rows; the tiny base is made before, if it is not cached yet."""
    helped = [_seconds([sys.executable, "train.py", "--help"]) for _ in range(repeats + 1)][1:]
    with tempfile.TemporaryDirectory() as folder:

        def first_batch(number: int) -> float:
            run_dir = f"run_dir={folder}/{number}"
            return _seconds([sys.executable, "-m", "benchmarks.startup", run_dir])

        if repeats > 1:
            first_batch(-1)
        batches = [first_batch(number) for number in range(repeats)]
    return [
        alone(SECTION, "python train.py --help", helped, note="the process from start to end"),
        alone(
            SECTION, "to the first training batch", batches,
            note="default settings, tiny base cached; evaluation of the base and sampling included",
        ),
    ]  # fmt: skip


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {done.stderr[-500:]}")
    return time.perf_counter() - start


def main(arguments: list[str]) -> None:
    """train.py, ended after its first batch."""
    from train import train  # type: ignore[attr-defined, unused-ignore]

    started = time.perf_counter()
    from lightning.pytorch import Callback

    from hir.config.load import load_config

    class End(Callback):
        def on_train_batch_end(self, *_: object) -> None:
            os._exit(0)

    train(load_config(arguments), started, [End()])


if __name__ == "__main__":
    main(sys.argv[1:])
