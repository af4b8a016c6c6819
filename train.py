"""Train by Hindsight Instruction Relabeling: `python train.py [group=name] [key=value ...]`, or --help."""

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from hir.config.help import help_text
from hir.config.load import load_config
from hir.config.schema import Config
from hir.errors import UserError, exit_code


def train(config: Config, started: float, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """Run or resume a training run and write its folder; returns the contents of summary.json.

    Args:
        config: the run's configuration.
        started: time.perf_counter() at the start of the program.
        callbacks: further ones of Lightning's kind, called before the project's own.
    """
    if all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")):
        print("loading torch and Lightning", flush=True)
    # Imported late: --help and mistakes in the configuration need not wait for torch.
    from lightning.pytorch.utilities import rank_zero_only

    say = rank_zero_only(partial(print, flush=True))
    say("loading transformers")
    from hir.callbacks.console import ConsoleReport
    from hir.callbacks.evaluation import BigBenchEvaluation
    from hir.callbacks.recorder import RunRecorder
    from hir.callbacks.wandb import WandbReport
    from hir.quiet import quiet_libraries
    from hir.trainer import build_trainer, run_folder
    from hir.training.build import build_run
    from hir.training.checkpoints import check_resume
    from hir.training.ending import end_together, exit_on_signals
    from hir.training.settings import complete

    quiet_libraries()
    config = complete(config)
    folder = run_folder(config)
    checkpoint = check_resume(config) if config.resume else None
    trainer = build_trainer(config, folder)
    run = build_run(config, say)
    data = run.datamodule
    evaluation = BigBenchEvaluation(config.evaluation, data.phi, data.task, run.evaluation_tasks)
    recorder = RunRecorder(config, folder, evaluation, started)
    own: list[Any] = [evaluation, recorder, ConsoleReport(config, run, recorder)]
    if config.logger == "wandb":
        own.append(WandbReport(config, recorder))
    # Before the checkpoint, which holds their state.
    trainer.callbacks[:0] = [*callbacks, *own]  # type: ignore[attr-defined]
    with exit_on_signals(), end_together(trainer):
        trainer.fit(run.module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return recorder.summary()


def main(argv: list[str], callbacks: Sequence[Any] = ()) -> int:
    started = time.perf_counter()
    try:
        if {"-h", "--help"} & {*argv}:
            print(help_text())
        else:
            train(load_config(argv), started, callbacks)
    except (UserError, OSError) as error:
        return exit_code(error)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
