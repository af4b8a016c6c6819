"""Trains like train.py; when an iteration begins something goes wrong on one rank, or on all (-1).

`python tests/robustness/faulty.py FAULT ITERATION RANK key=value ...`; a fault is one of FAULTS, or a signal.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # noqa: E402
from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402

from hir.errors import UserError  # noqa: E402
from train import main  # noqa: E402


def defect(trainer: Trainer) -> None:
    raise ValueError(f"a defect on rank {trainer.global_rank}")


def mistake(trainer: Trainer) -> None:
    raise UserError(f"a mistake that rank {trainer.global_rank} found")


def broken(trainer: Trainer) -> None:
    with torch.no_grad():
        next(trainer.lightning_module.parameters()).view(-1)[0] = torch.inf


FAULTS = {
    "defect": defect,
    "mistake": mistake,
    "broken": broken,
    "hang": lambda trainer: time.sleep(3600),
    "removed": lambda trainer: shutil.rmtree(trainer.default_root_dir),
    # No file can become larger than a third of a checkpoint.
    "full": lambda trainer: resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY)),
}


class Fault(Callback):
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        fault, iteration, rank = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        if trainer.current_epoch + 1 == iteration and rank in (trainer.global_rank, -1):
            if fault in FAULTS:
                FAULTS[fault](trainer)
            else:
                os.kill(os.getpid(), signal.Signals[fault])


if __name__ == "__main__":
    sys.exit(main(sys.argv[4:], [Fault()]))
