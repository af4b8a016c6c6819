"""What of Lightning's Trainer a run may set."""

from __future__ import annotations

from typing import Any

from hir.config.schema import ConfigError, check
from hir.config.values import as_integer

RESERVED = {
    "accumulate_grad_batches": "training.rows_per_device",
    "check_val_every_n_epoch": "evaluation.every",
    "default_root_dir": "run_dir",
    "limit_train_batches": "training.num_updates",
    "logger": "logger",
    "max_steps": "training.num_updates",
    "val_check_interval": "evaluation.every",
}
"""Arguments of Lightning's Trainer that the project sets itself, and the key that stands for each."""

PRECISIONS = (None, 32, "32", "32-true", "bf16", "bf16-mixed")


def check_trainer(trainer: dict[str, Any]) -> None:
    """Refuse arguments of Lightning's Trainer that the project sets itself, and what fails in training."""
    for name in trainer:
        if name in RESERVED:
            raise ConfigError(f"trainer.{name} is set by the project: use {RESERVED[name]}")
    trainer["max_epochs"] = epochs = as_integer(trainer.get("max_epochs"))
    rule = "an integer of at least 1, the number of HIR iterations"
    check(type(epochs) is int and epochs > 0, "trainer.max_epochs", rule, epochs)
    rule = "bf16-mixed or 32-true, since fp16 overflows in T5 and bf16-true rounds AdamW's updates away"
    check(trainer.get("precision") in PRECISIONS, "trainer.precision", rule, trainer.get("precision"))
