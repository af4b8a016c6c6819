"""Trains many small iterations and checks that they stay small: python -m tests.robustness.long_run

Memory, open files and time an iteration: the last third of the run is held against the middle third.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from hir.config.load import load_config
from tests.robustness.same import SETTINGS
from train import train

LIMITS = {"MB of memory": 1.02, "open files": 1.0, "threads": 1.0, "s of processor time": 1.1}
"""What is measured once an iteration, and by what factor the last third may exceed the middle third."""


class Measure(Callback):
    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        """A row an iteration: the values of LIMITS."""
        self.spent = time.process_time()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pages, now = int(Path("/proc/self/statm").read_text().split()[1]), time.process_time()
        files, threads = (len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task"))
        self.rows.append([pages * os.sysconf("SC_PAGE_SIZE") / 1e6, files, threads, now - self.spent])
        self.spent = now


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=300)
    iterations = parser.parse_args().iterations
    root, measure = Path(tempfile.mkdtemp(prefix="long_run-")), Measure()
    settings = [*SETTINGS, "trainer.devices=1", f"trainer.max_epochs={iterations}", f"run_dir={root / 'run'}"]
    train(load_config(settings), time.perf_counter(), [measure])
    shutil.rmtree(root)
    flat = True
    for name, values in zip(LIMITS, zip(*measure.rows, strict=True), strict=True):
        thirds = [values[i * iterations // 3 : (i + 1) * iterations // 3] for i in range(3)]
        # The lowest tenth, for a busy machine slows even what is counted in processor time.
        first, middle, last = (statistics.quantiles(third, n=10)[0] for third in thirds)
        flat &= (good := last <= middle * LIMITS[name])
        shown = f"{first:.3f}, {middle:.3f}, {last:.3f}, the most {max(values):.3f}"
        print(f"{name}: lowest tenth of each third {shown}: {'flat' if good else 'NOT FLAT'}")
    return int(not flat)


if __name__ == "__main__":
    sys.exit(main())
