"""Weights & Biases, for `python train.py logger=wandb`: RunLogger starts or continues the run's W&B run, and
WandbReport fills it. docs/wandb.md says what is logged.

W&B neither stops a training run nor asks it anything: without a key or a server the run is logged offline,
and after W&B's first error not at all.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.markup import escape

from hir.callbacks.recorder import RunRecorder
from hir.config.load import to_dict
from hir.config.schema import Config
from hir.files import atomic_write

if TYPE_CHECKING:
    from wandb import Run

BY_ITERATION = ("samples", "updates", "seconds", "samples_per_second")
"""Metrics that, like the losses, are drawn against the iteration. All others tell how good the answers are,
and are drawn against the samples they cost."""


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
        name = given.name or environment.get("WANDB_NAME") or folder.resolve().name
        labels = {"name": name, "group": given.group, "tags": given.tags or None, "notes": given.notes}
        super().__init__(
            project=given.project or environment.get("WANDB_PROJECT") or "hir",
            id=self.id_file.read_text() if self.continues else None,
            save_dir=folder,
            entity=given.entity,
        )
        if not self.continues:  # its page may say other ones by now
            self._wandb_init |= labels
        # The agent of a sweep has chosen the run; the last wandb warns of, whatever it is.
        chosen = ["project", "entity", "id"] if "WANDB_SWEEP_ID" in environment else []
        for key in (*chosen, "anonymous"):
            del self._wandb_init[key]

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The W&B run, started when first asked for; an object that takes every call where there is none."""
        if not self._started:
            self._started = True
            self._guard(self._start)
        return self._experiment  # type: ignore[return-value]

    @rank_zero_only
    def ask(self, call: Callable[[Run], object]) -> None:
        """Make a call of the W&B run, where there is one."""
        if (run := self._experiment) is not None:
            self._guard(lambda: call(run))  # type: ignore[arg-type]

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Lightning's call for what a module logs with ``logger=True``."""
        self.ask(lambda run: run.log(dict(metrics)))

    def finalize(self, status: str) -> None:
        """Lightning's call at the end: waits until all is uploaded."""
        self.ask(lambda run: run.finish(exit_code=int(status != "success")))
        self._experiment = None

    def _guard(self, call: Callable[[], object]) -> None:
        """Whatever goes wrong with W&B, the run goes on, without it."""
        try:
            call()
        except Exception as error:
            self._experiment = None
            say(f"off from here on: {reason(error)}; what it has so far is in {self.folder}")

    def _start(self) -> None:
        import wandb  # takes seconds

        # For the upload at the end, to which wandb itself sets no limit.
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", "3600" if self.config.wandb.log_checkpoint else "120")
        session = wandb.setup(wandb.Settings(silent=True, finish_timeout_raises=True))
        problem = ""
        try:
            # Not asked for: an unattended job in a terminal would wait for an answer.
            if session.settings.mode in ("online", "run") and not wandb.login(verify=True, prompt=False):
                problem = ": no API key is configured (`wandb login` stores one)"
        except Exception as error:  # a key that is refused, no network
            problem = f": {reason(error)}"
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        run = wandb.init(**self._wandb_init, mode="offline" if problem else None)
        if run.disabled:
            say("disabled by WANDB_MODE")
            return
        self._experiment = run
        atomic_write(self.id_file, run.id.encode())
        config = to_dict(self.config)
        if run.sweep_id:  # what it has set under a section's name, as in task=word_sorting, stays
            config = {key: value for key, value in flat(config, ".").items() if key not in run.config}
        run.config.update(config, allow_val_change=True)
        later = f"to upload it later: wandb sync {shlex.quote(str(self.folder))}"
        say(f"offline{problem}; {later}" if run.offline else str(run.url))


class WandbReport(Callback):
    """Logs a row an iteration, the sampled rows, and at the end the curve, the summary and the checkpoint.

    Must stand after the recorder and the console.

    Args:
        config: the run's configuration.
        recorder: has the rows.
    """

    def __init__(self, config: Config, recorder: RunRecorder) -> None:
        self.config = config
        self.recorder = recorder
        self.logged = -1.0
        """The last iteration that W&B had a row of when the program started."""
        self._metrics = {"iteration"}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logger = run_logger(trainer)
        logger.ask(lambda run: self._start(run, logger.continues))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row: dict[str, Any] = self.recorder.history[-1]
        # The last one is left open, so that what is known at the end joins it.
        last = trainer.should_stop or row["iteration"] == trainer.max_epochs
        every = self.config.evaluation.samples_every
        table = bool(every) and trainer.current_epoch % every == 0
        if row["iteration"] > self.logged:
            run_logger(trainer).ask(lambda run: self._log(run, row, table and not last, commit=not last))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        run_logger(trainer).ask(self._end)

    def _start(self, run: Run, continues: bool) -> None:
        history = self.recorder.history
        if run.resumed:  # the server's word: a run that was killed may have logged more than it saved
            self.logged = run.summary.get("iteration", -1)
        elif continues:
            self.logged = history[-1]["iteration"]
        for row in history:  # the base, and what was trained before it had this logger
            if row["iteration"] > self.logged:
                self._log(run, row)

    def _log(self, run: Run, row: dict[str, Any], table: bool = False, commit: bool = True) -> None:
        import wandb

        for name in row.keys() - self._metrics:  # wandb does not resolve patterns of names offline
            by_iteration = name.startswith("train/") or name in BY_ITERATION
            run.define_metric(name, step_metric="iteration" if by_iteration else "samples")
        self._metrics |= row.keys()
        rows = self.recorder.samples
        if table and rows:
            values = [list(sample.values()) for sample in rows]
            row = {**row, "rollouts": wandb.Table(columns=list(rows[0]), data=values)}
        # W&B drops a step below its own, which is higher where a module logs rows beside these.
        run.log(row, step=max(int(row["iteration"]), run.step, run.starting_step), commit=commit)

    def _end(self, run: Run) -> None:
        import wandb

        folder, summary, last = self.recorder.folder, self.recorder.summary(), self.recorder.history[-1]
        curve = wandb.Image(str(folder / "learning_curve.png"))
        end = {"test/accuracy": summary["test"]["accuracy"], "learning_curve": curve}
        self._log(run, {"iteration": last["iteration"], "samples": last["samples"], **end}, table=True)
        run.summary.update(flat(summary, "/"))
        if self.config.wandb.log_checkpoint:
            artifact = wandb.Artifact(f"{run.id}-checkpoint", type="model", metadata=summary)
            artifact.add_file(str(folder / "config.yaml"))
            checkpoint = folder / "checkpoints" / "last.ckpt"
            add = artifact.add_dir if checkpoint.is_dir() else artifact.add_file
            add(str(checkpoint), name="checkpoints/last.ckpt")
            run.log_artifact(artifact)


def flat(tree: Mapping[str, Any], separator: str) -> dict[str, Any]:
    """A tree of two levels as one, under names such as section.key."""
    values: dict[str, Any] = {}
    for name, value in tree.items():
        section = isinstance(value, dict)
        values |= {f"{name}{separator}{key}": value[key] for key in value} if section else {name: value}
    return values


def say(text: str) -> None:
    """Print a line in the console report's manner, without credentials that an address or error holds."""
    text = re.sub(r"//[^/\s]*@", "//", text).replace(os.environ.get("WANDB_API_KEY") or "\0", "***")
    Console(highlight=False, soft_wrap=True).print(f"[bold]wandb[/]   {escape(text)}")


def reason(error: Exception) -> str:
    """What an error says, in a line; of pydantic's neither the value, which may be secret, nor the link."""
    text = re.sub(r"\[type=.*|For further information.*", "", str(error))
    return " ".join(text.split()) or type(error).__name__


def run_logger(trainer: Trainer) -> RunLogger:
    """The trainer's logger, which train.py has built."""
    assert isinstance(trainer.logger, RunLogger)
    return trainer.logger
