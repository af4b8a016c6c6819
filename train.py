"""Train by Hindsight Instruction Relabeling: `python train.py [group=name] [key=value ...]`, or --help."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hir.errors import UserError
from hir.training.launch import check_launch, check_num_processes, check_run_dir, process_rank

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer

    from hir.config.schema import Config

RANK = process_rank()


def say(line: str) -> None:
    """Print a line at once, on rank 0."""
    if RANK == 0:
        print(line, flush=True)


def train(config: Config, started: float, callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Run or resume a training run and write its folder; returns the contents of summary.json.

    Args:
        config: the run's configuration.
        started: time.perf_counter() at the start of the program.
        callbacks: further ones, called before the project's own.
    """
    inherited = "HIR_RUN_DIR" in os.environ
    try:
        return _train(config, run_folder(config), started, callbacks)
    finally:
        if not inherited:  # the next run of this process, a notebook's say, makes up a name of its own
            os.environ.pop("HIR_RUN_DIR", None)


def _train(config: Config, folder: Path, started: float, callbacks: Sequence[Callback]) -> dict[str, Any]:
    say("loading transformers")
    # Imported late: --help and mistakes in the configuration need not wait for torch.
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    from hir.callbacks.console import ConsoleReport
    from hir.callbacks.evaluation import BigBenchEvaluation
    from hir.callbacks.recorder import RunRecorder
    from hir.quiet import quiet_libraries
    from hir.training.build import build_run
    from hir.training.checkpoints import check_resume, check_rows
    from hir.training.datamodule import rows_per_device

    quiet_libraries()
    check_launch(config.trainer.get("num_nodes", 1))
    checkpoint = check_resume(config) if config.resume else None
    trainer = build_trainer(config, folder)
    check_num_processes(trainer.num_devices, trainer.num_nodes)
    rows = rows_per_device(config, trainer.world_size)
    trainer.accumulate_grad_batches = config.training.batch_size // (rows * trainer.world_size)
    run = build_run(config, say)
    if config.resume:
        check_rows(config, run.module.rows)
    evaluation = BigBenchEvaluation(
        config.evaluation, run.datamodule.phi, run.datamodule.task, run.evaluation_tasks
    )
    recorder = RunRecorder(config, folder, evaluation, started)
    console = ConsoleReport(config, run, recorder, config.trainer.get("enable_progress_bar", True))
    own: list[Callback] = [evaluation, recorder, console]
    if config.logger == "wandb":
        from hir.callbacks.wandb import WandbReport

        own.append(WandbReport(config, recorder))
    # Before the checkpoint, which holds their state.
    trainer.callbacks[:0] = [*callbacks, *own]  # type: ignore[attr-defined]
    try:
        trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=checkpoint, weights_only=True)
    except SIGTERMException:  # which Lightning makes of the signal, and which would exit with 0
        raise SystemExit(128 + signal.SIGTERM) from None
    return recorder.summary()


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
        "enable_progress_bar": False,  # the console report has its own bars
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


def main(argv: list[str]) -> int:
    started = time.perf_counter()
    try:
        if {"-h", "--help"} & {*argv}:
            from hir.config.help import help_text

            print(help_text())
            return 0

        say("loading torch and Lightning")
        from hir.training.settings import load_run_config

        train(load_run_config(argv), started)
    except UserError as error:
        print(f"error: {error}" if RANK == 0 else f"error on rank {RANK}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
