"""LastCheckpoint: the state after the last finished iteration, written whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint


class LastCheckpoint(Checkpoint):
    """Writes ``path`` at the end of each iteration.

    Lightning's own callback writes through the system's temporary folder, which may lie on another disk: a
    kill in the middle of the copy would then cost the run.

    Args:
        path: the checkpoint; a file, or a folder under sharded strategies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        new = self.path.with_name(f".new-{self.path.name}")
        trainer.save_checkpoint(new)
        if trainer.is_global_zero:
            if self.path.is_dir():
                shutil.rmtree(self.path)
            os.replace(new, self.path)
        trainer.strategy.barrier("last checkpoint")
