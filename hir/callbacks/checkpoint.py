"""LastCheckpoint: the states after the last two finished iterations, each written whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from hir.files import writing


class DirectIO(TorchCheckpointIO):
    """Writes a checkpoint where it is to lie, and has the disk keep it.

    Lightning's own takes it through memory and the system's temporary folder, which may be a small one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())


class LastCheckpoint(Checkpoint):
    """Writes ``path`` at the end of each iteration and keeps the one before as previous.ckpt until the end.

    Args:
        path: the checkpoint; a file, or a folder under strategies that write one.
        begun_from: the one that the run goes on from, if it does.
    """

    def __init__(self, path: Path, begun_from: Path | None = None) -> None:
        self.path = path
        self.begun_from = begun_from
        self.previous = path.with_name("previous.ckpt")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.strategy.barrier("checkpoint read")
        if trainer.is_global_zero and self.begun_from == self.previous:
            os.replace(self.previous, self.path)  # which is damaged, and must never be the only one

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        new = self.path.with_name(f".{self.path.name}.tmp")
        if trainer.is_global_zero:
            remove(self.previous)  # first, so that a disk needs room for two and not for three
        try:
            trainer.save_checkpoint(new)
        except BaseException:
            if trainer.is_global_zero:
                remove(new)
            raise
        if trainer.is_global_zero:
            if self.path.exists():
                os.replace(self.path, self.previous)
            os.replace(new, self.path)
        trainer.strategy.barrier("last checkpoint")


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
