"""Lightning's Trainer for a run, its folder and its logger."""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hir.config.schema import Config
from hir.errors import UserError
from hir.training.launch import check_run_dir

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def build_trainer(config: Config, folder: Path) -> Trainer:
    """Lightning's Trainer with the arguments of ``trainer.*``.

    Raises:
        UserError: Lightning refuses one of them.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch import Trainer

    from hir.callbacks.checkpoint import LastCheckpoint
    from hir.training.strategies import choose_strategy

    own = {
        "callbacks": [LastCheckpoint(folder / "checkpoints" / "last.ckpt")],
        "default_root_dir": folder,
        "enable_progress_bar": False,  # the console report has lines of its own
        "logger": build_logger(config, folder),
        "strategy": choose_strategy(config),
        "use_distributed_sampler": False,  # the data module shards its rows itself
    }
    # Lightning warns of a logging interval above an iteration's updates; the project logs iterations.
    defaults = {"enable_model_summary": False, "log_every_n_steps": 1}
    try:
        return Trainer(**{**defaults, **config.trainer, **own})
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"trainer.*: Lightning refuses these arguments: {reason}") from error


def run_folder(config: Config) -> Path:
    """The run's folder, made when training starts.

    Raises:
        UserError: it holds another run, or the run's processes would not all find it.
    """
    check_run_dir(config.run_dir)
    started = datetime.now().strftime("%Y%m%d-%H%M%S")
    unique = os.environ.get("WANDB_RUN_ID") or secrets.token_hex(3)  # several runs may start in one second
    name = f"outputs/{started}-{config.task.name}-{config.method['name']}-{config.model.name}-{unique}"
    # Lightning's launcher starts this program again for every further device: they inherit the name.
    folder = Path(config.run_dir or os.environ.setdefault("HIR_RUN_DIR", name))
    if config.resume:
        from hir.config.load import find_checkpoint

        if folder.resolve() == find_checkpoint(config.resume)[0].resolve():
            return folder
    if folder.is_file():
        raise UserError(f"run_dir={folder} is a file: choose another folder")
    if folder.is_dir():
        from hir.callbacks.recorder import STARTED

        # What a run killed before its first iteration ended leaves is no run.
        if {path.name for path in folder.iterdir()} - {*STARTED, "wandb"}:
            raise UserError(
                f"run_dir={folder} holds another run: choose another, or go on with resume={folder}"
            )
    return folder


def build_logger(config: Config, folder: Path) -> Any:
    """Weights & Biases if asked; metrics.csv is written in any case."""
    if config.logger != "wandb":
        return False
    from hir.callbacks.wandb import RunLogger

    return RunLogger(config, folder)
