"""Weights & Biases, for `python train.py logger=wandb`: RunLogger starts or continues the run's W&B run, and
WandbReport fills it. docs/wandb.md says what is logged.

W&B neither stops a training run nor asks it anything: without a key or a server the run is logged offline,
and after W&B's first error not at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from hir.callbacks.recorder import RunRecorder
from hir.config.load import flat
from hir.config.schema import Config
from hir.files import CHECKPOINT, atomic_write

if TYPE_CHECKING:
    from wandb import Run


class RunLogger(WandbLogger):
    """Lightning's logger, around a W&B run that ``resume=RUN`` continues. Rank 0 alone has one.

    Args:
        config: the run's configuration.
        folder: the run folder; its folder wandb/ has W&B's own files and the id of the W&B run.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        given, environment = config.wandb, os.environ
        self.config = config
        self.folder = folder / "wandb"
        self.id_file = self.folder / "id.txt"
        self.continues = config.resume is not None and self.id_file.is_file()
        self._started = False
        super().__init__(
            name=given.name or environment.get("WANDB_NAME") or folder.resolve().name,
            save_dir=folder,
            id=self.id_file.read_text() if self.continues else None,
            project=given.project or environment.get("WANDB_PROJECT") or "hir",
            entity=given.entity,
            group=given.group,
            tags=given.tags or None,
            notes=given.notes,
        )

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The W&B run, started when first asked for; an object that takes every call where there is none."""
        if not self._started:
            self._started = True
            self._guard(self._start)
        return self._experiment  # type: ignore[return-value]

    def ask(self, call: Callable[[Run], object]) -> None:
        """Make a call of the W&B run, where there is one."""
        if (run := self._experiment) is not None:
            self._guard(lambda: call(run))  # type: ignore[arg-type]

    def _guard(self, call: Callable[[], object]) -> None:
        """Whatever goes wrong with W&B, the run goes on, without it."""
        try:
            call()
        except Exception as error:
            self._experiment = None
            say(f"off from here on: {type(error).__name__}: {error}; what it has so far is in {self.folder}")

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Lightning's call for what a module logs with ``logger=True``."""
        self.ask(lambda run: run.log(dict(metrics)))

    def finalize(self, status: str) -> None:
        """Lightning's call at the end: waits until all is uploaded."""
        self.ask(lambda run: run.finish(exit_code=int(status != "success")))
        self._experiment = None

    def _start(self) -> None:
        import wandb  # takes seconds

        # For the upload at the end, to which wandb itself sets no limit.
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", "3600" if self.config.wandb.log_checkpoint else "120")
        session = wandb.setup(wandb.Settings(silent=True, finish_timeout_raises=True))
        problem = ""
        try:  # not asked for: an unattended job in a terminal would wait for an answer
            if session.settings.mode in ("online", "run") and not wandb.login(verify=True, prompt=False):
                problem = ": no API key is configured (`wandb login` stores one)"
        except Exception as error:  # a key that is refused, no network
            problem = f": {type(error).__name__}: {error}"
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        run = wandb.init(**self._wandb_init, mode="offline" if problem else None)
        if run.disabled:
            return say("disabled by WANDB_MODE")
        self._experiment = run
        atomic_write(self.id_file, run.id.encode())
        # Key by key, as a sweep has set some of them.
        run.config.update(flat(asdict(self.config)), allow_val_change=True)
        where = f"offline{problem}; to upload it later: wandb sync {self.folder}"
        say(where if run.offline else str(run.url))


class WandbReport(Callback):
    """Logs a row an iteration, the sampled rows, and at the end the curve, the summary and the checkpoint.

    Must stand after the recorder, which has the rows, and the console.
    """

    def __init__(self, logger: RunLogger, recorder: RunRecorder) -> None:
        self.logger = logger
        self.recorder = recorder

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.logger.ask(self._start)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        every = self.logger.config.evaluation.samples_every
        table = bool(every) and trainer.current_epoch % every == 0
        self.logger.ask(lambda run: self._log(run, self.recorder.history[-1], table))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.logger.ask(self._end)

    def _start(self, run: Run) -> None:
        # How good answers are is drawn against the samples they cost, losses against W&B's own step.
        for name in {*self.recorder.history[0], "fraction_correct", "fraction_unique"} - {"samples"}:
            run.define_metric(name, step_metric="samples")
        if not self.logger.continues:  # the base, and what was trained before it had this logger
            for row in self.recorder.history:
                self._log(run, row)

    def _log(self, run: Run, row: dict[str, Any], table: bool = False) -> None:
        import wandb

        if table and (rows := self.recorder.samples):
            values = [list(sample.values()) for sample in rows]
            row = {**row, "rollouts": wandb.Table(columns=list(rows[0]), data=values)}
        run.log(row)

    def _end(self, run: Run) -> None:
        import wandb

        folder, summary = self.recorder.folder, self.recorder.summary()
        end = {"samples": summary["samples"], "test/accuracy": summary["test"]["accuracy"]}
        end["learning_curve"] = wandb.Image(str(folder / "learning_curve.png"))
        self._log(run, end, table=True)
        run.summary.update(flat(summary, "/"))
        if self.logger.config.wandb.log_checkpoint:
            artifact = wandb.Artifact(f"{run.id}-checkpoint", type="model", metadata=summary)
            artifact.add_file(str(folder / "config.yaml"))
            artifact.add_file(str(folder / CHECKPOINT), name=CHECKPOINT)
            run.log_artifact(artifact)


def say(text: str) -> None:
    """Print a line in the console report's manner, without a secret that an address or error holds."""
    text = re.sub(r"//[^/\s]*@", "//", text).replace(os.environ.get("WANDB_API_KEY") or "\0", "***")
    text = re.sub(r"\[type=.*\]|For further information visit \S+", "", text)  # pydantic's, and the value
    print("wandb  ", *text.split(), flush=True)
