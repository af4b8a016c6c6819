"""Run by test_train.py: trains like train.py and sends itself a signal when its second iteration begins.

`python tests/killed.py SIGNAL key=value ...`
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402

from hir.config.load import load_config  # noqa: E402
from train import train  # noqa: E402


class Kill(Callback):
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), int(sys.argv[1]))


if __name__ == "__main__":
    train(load_config(sys.argv[2:]), time.perf_counter(), [Kill()])
