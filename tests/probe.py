"""Run by tests/conftest.py: trains like train.py and notes what each rank holds and trains on.

`python tests/probe.py NOTES key=value ...` writes NOTES/rank<r>.json.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from hir.config.load import load_config  # noqa: E402
from hir.training.datamodule import HIRDataModule  # noqa: E402
from train import train  # noqa: E402


class Probe(Callback):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[dict[str, Any]] = [{"rows": []}]  # of before the first epoch starts

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        make = HIRDataModule.train_dataloader

        def noted(data: HIRDataModule) -> DataLoader[range]:
            loader = make(data)
            collate = loader.collate_fn

            def note(places: Sequence[int]) -> Any:
                rows = [(place, data.plan[place]) for place in places]
                self.notes[-1]["rows"] += [
                    [place, row.iteration, row.instruction + row.query] for place, row in rows
                ]
                return collate(places)

            loader.collate_fn = note
            return loader

        HIRDataModule.train_dataloader = noted  # type: ignore[method-assign]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.notes.append({"rows": []})

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        buffer = trainer.datamodule.buffer
        self.notes[-1]["buffer"] = hashlib.sha256(repr(buffer.rows()).encode()).hexdigest()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = b"".join(w.detach().numpy().tobytes() for w in pl_module.parameters())
        notes = {"epochs": self.notes, "weights": hashlib.sha256(weights).hexdigest()}
        (self.folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(notes))


if __name__ == "__main__":
    train(load_config(sys.argv[2:]), time.perf_counter(), [Probe(Path(sys.argv[1]))])
