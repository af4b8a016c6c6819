"""Train by Hindsight Instruction Relabeling: `python train.py [group=name] [key=value ...]`, or --help."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hir.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch import Callback

    from hir.config import Config

IS_RANK_ZERO = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))) == 0


def train(config: Config, started: float, callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Run or resume a training run and write its folder; returns the contents of summary.json.

    Args:
        config: the run's configuration.
        started: time.perf_counter() at the start of the program.
        callbacks: further ones, called before the project's own.
    """
    folder = run_folder(config)
    # Imported late: --help and mistakes in the configuration need not wait for torch.
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint

    from hir.build import build_run
    from hir.callbacks.console import ConsoleReport
    from hir.callbacks.evaluation import BigBenchEvaluation
    from hir.callbacks.recorder import RunRecorder
    from hir.checkpoints import check_resume

    quiet_libraries()
    checkpoint = check_resume(config) if config.resume else None
    run = build_run(config, say=print if IS_RANK_ZERO else lambda line: None)
    settings = {"enable_model_summary": False, **config.trainer}
    evaluation = BigBenchEvaluation(
        config.evaluation, run.datamodule.instructions, run.datamodule.task, run.evaluation_tasks
    )
    recorder = RunRecorder(config, folder, evaluation, started)
    console = ConsoleReport(config, run, recorder, bars=settings.pop("enable_progress_bar", True))
    last = ModelCheckpoint(
        folder / "checkpoints", "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = Trainer(
        **settings,
        enable_progress_bar=False,
        callbacks=[*callbacks, evaluation, recorder, console, last],
        logger=build_logger(config, folder),
        default_root_dir=folder,
    )
    trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=checkpoint, weights_only=True)
    return recorder.summary()


def run_folder(config: Config) -> Path:
    """The run's folder, made when training starts.

    Raises:
        UserError: it holds another run.
    """
    started = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = f"{started}-{config.task.name}-{config.method.name}-{config.model.name}"
    # Lightning's launcher starts this program again for every further device: they inherit the name.
    folder = Path(os.environ.setdefault("HIR_RUN_DIR", config.run_dir or f"outputs/{name}"))
    if folder.is_file():
        raise UserError(f"run_dir={folder} is a file: choose another folder")
    if IS_RANK_ZERO and not config.resume and folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"run_dir={folder} holds another run: choose another, or go on with resume={folder}")
    return folder


def build_logger(config: Config, folder: Path) -> Any:
    """Weights & Biases if asked; metrics.csv is written in any case."""
    if config.logger != "wandb":
        return False
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(project="hir", name=folder.name, save_dir=folder)


def quiet_libraries() -> None:
    """Silence what libraries say about settings that the project chose on purpose, and their own bars."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # a worker would keep an old plan of rows
        ".*Checkpoint directory .* exists and is not empty.*",  # a resumed run goes on in its folder
        ".*Found .* module.* in eval mode.*",  # the module's hook calls train()
        ".*isinstance.treespec, LeafSpec.*",  # Lightning's own affair
    ):
        warnings.filterwarnings("ignore", message)


def main(argv: list[str]) -> int:
    started = time.perf_counter()
    try:
        from hir.load_config import load_config

        train(load_config(argv), started)
    except UserError as error:
        if IS_RANK_ZERO:
            print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
