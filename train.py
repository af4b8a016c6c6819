"""Train by Hindsight Instruction Relabeling: `python train.py [group=name] [key=value ...]`, or --help."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hir.errors import UserError
from hir.trainer import run_folder
from hir.training.launch import check_launch, check_num_processes, process_rank

if TYPE_CHECKING:
    from lightning.pytorch import Callback

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
    from hir.training.settings import complete

    config = complete(config)
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
    from hir.trainer import build_trainer
    from hir.training.build import build_run
    from hir.training.checkpoints import check_resume, check_rows
    from hir.training.rows import rows_per_device

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
    console = ConsoleReport(config, run, recorder)
    own: list[Callback] = [evaluation, recorder, console]
    if config.logger == "wandb":
        from hir.callbacks.wandb import WandbReport

        own.append(WandbReport(trainer.logger, recorder))  # type: ignore[arg-type]
    # Before the checkpoint, which holds their state.
    trainer.callbacks[:0] = [*callbacks, *own]  # type: ignore[attr-defined]
    try:
        trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=checkpoint, weights_only=True)
    except SIGTERMException:  # which Lightning makes of the signal, and which would exit with 0
        raise SystemExit(128 + signal.SIGTERM) from None
    return recorder.summary()


def main(argv: list[str]) -> int:
    started = time.perf_counter()
    try:
        if {"-h", "--help"} & {*argv}:
            from hir.config.help import help_text

            print(help_text())
            return 0

        say("loading torch and Lightning")
        from hir.config.load import load_config

        train(load_config(argv), started)
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
