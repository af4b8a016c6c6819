"""Trains like train.py; when an iteration begins something goes wrong: a signal, or what a name below says.

`python tests/robustness/faulty.py FAULT ITERATION key=value ...`
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # noqa: E402
from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402

from train import main  # noqa: E402


class Fault(Callback):
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch + 1 != int(sys.argv[2]):
            return
        match sys.argv[1]:
            case "full":  # no file can become larger than a third of a checkpoint
                resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
            case "removed":
                shutil.rmtree(trainer.default_root_dir)
            case "broken":
                with torch.no_grad():
                    next(pl_module.parameters()).view(-1)[0] = torch.inf
            case number:
                os.kill(os.getpid(), int(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[3:], [Fault()]))
