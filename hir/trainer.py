"""Lightning's Trainer for a run, and its folder."""

import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.loops.fit_loop import _FitLoop

from hir.callbacks.recorder import WRITTEN
from hir.config.schema import Config
from hir.errors import UserError
from hir.files import CHECKPOINT, find_checkpoint, has_checkpoint
from hir.training.checkpoints import LastCheckpoint, WholeCheckpointIO
from hir.training.devices import check_launch, choose_strategy, rows_per_device


def build_trainer(config: Config, folder: Path) -> Trainer:
    """Lightning's Trainer with the arguments of ``trainer.*``; UserError where it refuses one of them."""
    check_launch(config.trainer.get("num_nodes", 1))
    own = {
        "callbacks": [LastCheckpoint(folder / CHECKPOINT)],
        "default_root_dir": folder,
        "enable_progress_bar": False,  # the console report has lines of its own
        "plugins": [WholeCheckpointIO()],
        "logger": False,  # the recorder writes metrics.csv, and the W&B callback brings its own
        "strategy": choose_strategy(config),
        "use_distributed_sampler": False,  # the data module shards its rows itself
    }
    # Lightning warns of a logging interval above an iteration's updates; the project logs iterations.
    defaults = {"enable_model_summary": False, "log_every_n_steps": 1}
    try:
        trainer = Trainer(**{**defaults, **config.trainer, **own})
        # Lightning alone would let each process train a run of its own where their number is another.
        started = trainer._accelerator_connector.cluster_environment
        started.validate_settings(trainer.num_devices, trainer.num_nodes)
        for callback in vars(trainer)["callbacks"]:
            if isinstance(callback, Timer):  # of trainer.max_time
                callback._interval = "epoch"  # an iteration that ends in its middle would count
    except Exception as error:  # of any kind, as what was given is
        reason = " ".join(str(error).split())
        raise UserError(f"trainer.*: Lightning refuses these arguments: {reason}") from error
    rows = rows_per_device(config, trainer.world_size)
    trainer.accumulate_grad_batches = config.training.batch_size // (rows * trainer.world_size)
    # Where no iteration is left the run still starts and ends: its last test may be missing.
    _FitLoop.skip = False  # type: ignore[assignment, method-assign]
    # Lightning would wait for the next batch, broadcast amid other collectives, and requeue Slurm's jobs from
    # a checkpoint of half an iteration; hir/training/ending.py does without.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    # In place of an argument of each strategy, of which Lightning chooses one by itself.
    trainer.strategy._timeout = timedelta(seconds=config.training.rank_timeout)  # type: ignore[attr-defined]
    return trainer


def run_folder(config: Config) -> Path:
    """The run's folder, made when the first iteration has ended; that of rank 0 counts, which alone writes.

    Raises UserError where it holds another run, or cannot be written.
    """
    what = f"{config.task.name}-{config.method['name']}-{config.model.name}"
    unique = os.environ.get("WANDB_RUN_ID") or secrets.token_hex(3)  # several runs may start in one second
    folder = Path(config.run_dir or f"outputs/{datetime.now():%Y%m%d-%H%M%S}-{what}-{unique}")
    if config.resume and folder.resolve() == find_checkpoint(config.resume)[0].resolve():
        return folder
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"run_dir={folder} cannot be written: {parent} is read-only, or no folder")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    # What a run may leave that is killed before its first checkpoint is no run to lose.
    left = {*WRITTEN, "checkpoints", "wandb", *(path.name for path in folder.glob(".*.tmp"))}
    metrics = folder / "metrics.csv"
    # Of its header, the base and an iteration; a config.yaml without it is somebody else's.
    begun = len(metrics.read_bytes().splitlines()) <= 3 if metrics.is_file() else "config.yaml" not in names
    if folder.is_file() or names - left or not begun or has_checkpoint(folder):
        raise UserError(f"run_dir={folder} holds another run: choose another, or resume={folder}")
    return folder
