"""Run by test_ranks.py: trains like train.py, but a rank fails as its second iteration begins.

`python tests/robustness/fault.py WAY RANK key=value ...`, with rank -1 for all of them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import train  # noqa: E402
from hir.config.schema import Config  # noqa: E402
from hir.errors import UserError  # noqa: E402

WAY, RANK = sys.argv[1], int(sys.argv[2])


def defect() -> None:
    raise ValueError(f"a defect on rank {RANK}")


def mistake() -> None:
    raise UserError(f"a mistake that rank {RANK} found")


WAYS = {
    "defect": defect,
    "mistake": mistake,
    "exit": lambda: sys.exit(3),
    "gone": lambda: os._exit(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hang": lambda: time.sleep(3600),
}


def faulty(config: Config, started: float) -> dict:
    from lightning.pytorch import Callback, LightningModule, Trainer

    class Fault(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 1 and RANK in (trainer.global_rank, -1):
                WAYS[WAY]()

    return run(config, started, [Fault()])


run, train.train = train.train, faulty
if __name__ == "__main__":
    sys.exit(train.main(sys.argv[3:]))
