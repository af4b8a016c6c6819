"""Weights & Biases, for `python train.py logger=wandb`: RunLogger starts or continues the run's W&B run, and
WandbReport fills it. docs/wandb.md says what is logged.

W&B neither stops a training run nor asks it anything: without a key or a server the run is logged offline,
and once W&B's own process has gone it is logged no more. Settings that wandb refuses end it at the start.

An iteration is logged once, however often the run is broken off and resumed: `wandb sync` appends the rows of
an offline part to those of the parts before it, and would show a repeated one twice.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
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
from hir.errors import UserError
from hir.files import atomic_write

if TYPE_CHECKING:
    from wandb import Artifact, Run

ONLY_BY_ITERATION = ("samples", "updates", "seconds", "samples_per_second")
"""Metrics that, like the losses, are drawn against the iteration. All others tell how good the answers are,
and are drawn against the samples they cost."""

START_SECONDS = 30
"""How long the server may take to answer at the start; wandb itself waits for 90 s."""

FINISH_SECONDS = 120
"""How long the upload may take at the end, of an interrupted run, too; wandb itself waits for ever."""

CHECKPOINT_SECONDS = 3600
"""How long the checkpoint's may take, before that."""

STATE = "hir.json"
"""File in a run's folder wandb/ that holds its Progress."""


@dataclass(frozen=True)
class Progress:
    """How far a run is logged."""

    id: str
    """W&B's id of the run."""
    logged: int = -1
    """Last iteration logged."""
    before: int = -1
    """What ``logged`` was when the present part began."""
    part: str = ""
    """Folder of the present part in wandb/; each start of the program makes one."""
    finished: bool = True
    """Whether the present part was ended in order, and not killed."""


class RunLogger(WandbLogger):
    """Lightning's logger, around a W&B run that ``resume=RUN`` continues. Rank 0 alone has one.

    Args:
        config: the run's configuration.
        folder: the run folder; W&B's own files go to its folder wandb/.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        settings = config.wandb
        self.project = settings.project or os.environ.get("WANDB_PROJECT") or "hir"
        super().__init__(project=self.project, save_dir=folder)
        self.config = config
        self.folder = folder / "wandb"
        self.problem = ""
        """Why the run is logged offline although that was not asked for."""
        self.progress = Progress("")
        self.lost = False
        """Whether W&B has failed on the way, so that nothing more is logged."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The W&B run, started when first asked for; on ranks above 0 an object that takes every call."""
        if self._experiment is None:
            self._experiment = self._start()
        return self._experiment  # type: ignore[return-value]

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Lightning's call at the end; WandbReport has finished a run that went well."""
        if status != "success" and self._experiment is not None:
            if not self.lost:
                with self.surviving():
                    self.finish(exit_code=1)
            if self.progress.logged <= 0:  # it leaves nothing to go on with, so it leaves nothing
                if (self.folder / STATE).is_file():
                    shutil.rmtree(self.folder)
                with suppress(OSError):  # where it holds something else
                    self.folder.parent.rmdir()

    def finish(self, exit_code: int = 0) -> bool:
        """End the W&B run; returns whether all that goes to the server is there."""
        sent = True
        try:
            self.experiment.finish(exit_code)
        except TimeoutError:
            sent = False
        self._keep(replace(self.progress, finished=True))
        return sent

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Lightning's call for what a module logs with ``logger=True``."""
        if not self.lost:
            with self.surviving():
                super().log_metrics(metrics, step)

    @contextmanager
    def surviving(self) -> Iterator[None]:
        """Around calls to W&B: where its process has gone or its disk is full, the run goes on unlogged."""
        try:
            yield
        except Exception as error:
            # Of wandb's own errors some, as that its process has closed the line, are no wandb.Error.
            if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] != "wandb":
                raise
            if not self.lost:
                say(f"lost: {one_line(error)}; the run goes on without it")
            self.lost = True

    def mark(self, iteration: int) -> None:
        """Note that an iteration has been logged."""
        self._keep(replace(self.progress, logged=max(iteration, self.progress.logged)))

    def unsent(self) -> list[Path]:
        """Folders of offline parts that have not been uploaded."""
        parts = sorted(self.folder.glob("offline-run-*"))
        return [part for part in parts if not was_sent(part)]

    def _keep(self, progress: Progress) -> None:
        self.progress = progress
        if not self.experiment.disabled:
            atomic_write(self.folder / STATE, json.dumps(asdict(progress)).encode())

    def _start(self) -> Run:
        from wandb.errors import UsageError  # takes seconds

        saved = self._restore()
        with suppress(OSError):  # which the recorder reports
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            run = self._init(self._arguments(saved))
        except (UsageError, ValueError) as error:
            with suppress(OSError):  # where it holds something
                self.folder.parent.rmdir()
            raise UserError(f"wandb refuses its settings: {one_line(error)}") from error
        if run.resumed and run.starting_step <= saved.logged:
            saved = replace(saved, logged=run.starting_step - 1)  # what a killed part had not sent yet
        self._experiment = run
        name = Path(run.sync_dir).name
        self._keep(replace(saved, id=run.id, before=saved.logged, part=name, finished=False))
        run.config.update(self._config(set(run.config.keys()) if run.sweep_id else set()), True)
        return run

    def _init(self, arguments: dict[str, Any]) -> Run:
        """Online if that is asked for and possible, else offline."""
        import wandb

        settings: dict[str, Any] = {"quiet": True, "show_info": False, "finish_timeout_raises": True}
        if "WANDB_INIT_TIMEOUT" not in os.environ:
            settings["init_timeout"] = START_SECONDS
        if "WANDB_FINISH_TIMEOUT" not in os.environ:
            settings["finish_timeout"] = FINISH_SECONDS
        session = wandb.setup(settings=wandb.Settings(**settings))
        parts = set(self.folder.glob("run-*"))
        try:
            # Not asked for: an unattended job in a terminal would wait for an answer.
            if session.settings.mode in ("online", "run") and not wandb.login(verify=True, prompt=False):
                self.problem = "no API key is configured (`wandb login` stores one)"
            return wandb.init(**arguments, mode="offline" if self.problem else None)
        except (wandb.Error, TimeoutError) as error:  # a key that is refused, no network
            self.problem = one_line(error)
            wandb.teardown()
            for part in set(self.folder.glob("run-*")) - parts:
                shutil.rmtree(part, ignore_errors=True)
            wandb.setup(settings=wandb.Settings(**settings))
            return wandb.init(**arguments, mode="offline")

    def _arguments(self, saved: Progress) -> dict[str, Any]:
        settings, environment = self.config.wandb, os.environ
        arguments: dict[str, Any] = {"dir": str(self.folder.parent), "resume": "allow"}
        if "WANDB_SWEEP_ID" not in environment:  # else W&B's agent has chosen these
            run_id = saved.id or environment.get("WANDB_RUN_ID") or secrets.token_hex(4)
            arguments |= {"project": self.project, "entity": settings.entity, "id": run_id}
        if not saved.id:  # a run that goes on keeps what its page says by now
            arguments |= {
                "name": settings.name or environment.get("WANDB_NAME") or self.folder.resolve().parent.name,
                "group": settings.group,
                "tags": settings.tags or None,
                "notes": settings.notes,
            }
        return arguments

    def _restore(self) -> Progress:
        """What the run has logged before, without a part that was killed offline and lacks its last rows."""
        path = self.folder / STATE
        if not path.is_file():
            return Progress("")
        if not self.config.resume:  # left by a run that was killed before its first iteration ended
            shutil.rmtree(self.folder)
            return Progress("")
        try:
            saved = Progress(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged; without it the run goes on as a new one in W&B") from error
        part = self.folder / saved.part
        if not saved.finished and saved.part.startswith("offline-run-") and not was_sent(part):
            shutil.rmtree(part, ignore_errors=True)
            saved = replace(saved, logged=saved.before)
        return saved

    def _config(self, taken: set[str]) -> dict[str, Any]:
        """The whole configuration, beside what a sweep has set under its own names (task, method.alpha)."""
        tree = to_dict(self.config)
        for name in taken & set(tree):
            section = tree.pop(name)
            keys = section if isinstance(section, dict) else {}
            tree |= {f"{name}.{key}": keys[key] for key in keys if f"{name}.{key}" not in taken}
        return tree


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
        self._metrics: set[str] = set()
        self._num_rollouts = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        logger = run_logger(trainer)
        run = logger.experiment
        where = f"offline, in {logger.folder}" if run.offline else run.url
        problem = f": {logger.problem}" if logger.problem else ""
        say("disabled by WANDB_MODE" if run.disabled else f"{where}{problem}")
        # The base, or what a resumed run has not logged: before it was given this logger, or before a kill.
        for row in self.recorder.history:
            if row["iteration"] > logger.progress.logged:
                self._log(logger, row, last=False)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = self.recorder.history[-1]
        if trainer.is_global_zero and row["iteration"] > (logger := run_logger(trainer)).progress.logged:
            last = trainer.should_stop or row["iteration"] == trainer.max_epochs
            self._log(logger, row, last)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not (logger := run_logger(trainer)).lost:
            with logger.surviving():
                self._end(logger)

    def _end(self, logger: RunLogger) -> None:
        import wandb

        run, folder, last = logger.experiment, self.recorder.folder, self.recorder.history[-1]
        summary = self.recorder.summary()
        end: dict[str, Any] = {
            "iteration": last["iteration"],
            "samples": last["samples"],
            "test/accuracy": summary["test"]["accuracy"],
            "learning_curve": wandb.Image(str(folder / "learning_curve.png")),
        }
        self._log(logger, end, last=False, whole_table=True)
        if logger.lost:
            return
        parts = {name: value for name, value in summary.items() if isinstance(value, dict)}
        run.summary.update({f"{name}/{key}": parts[name][key] for name in parts for key in parts[name]})
        run.summary.update({name: summary[name] for name in ("iterations", "samples", "updates")})
        if self.config.wandb.log_checkpoint:
            artifact = wandb.Artifact(f"{run.id}-checkpoint", type="model", metadata=summary)
            artifact.add_file(str(folder / "config.yaml"))
            checkpoint = folder / "checkpoints" / "last.ckpt"
            add = artifact.add_dir if checkpoint.is_dir() else artifact.add_file
            add(str(checkpoint), name="checkpoints/last.ckpt")
            artifact = run.log_artifact(artifact)
            if not run.disabled and not run.offline:
                wait_for(artifact)
        if run.disabled:
            return
        part = Path(run.sync_dir)
        if not logger.finish():
            say(
                "not all was uploaded in time; later: "
                f"wandb sync --include-online {shlex.quote(str(logger.folder / part.name))}"
            )
        if logger.unsent():
            say(f"to upload what is offline: wandb sync {shlex.quote(str(logger.folder))}")

    def _log(self, logger: RunLogger, row: dict[str, Any], last: bool, whole_table: bool = False) -> None:
        """Log an iteration's row, the last one open, so that what is known at the end joins it."""
        if logger.lost:
            return
        run = logger.experiment
        with logger.surviving():
            for name in row.keys() - self._metrics:
                by_samples = not name.startswith("train/") and name not in ONLY_BY_ITERATION
                axis = "samples" if by_samples else "iteration"
                run.define_metric(name, step_metric=None if name == "iteration" else axis)
            self._metrics |= row.keys()
            table = self._rollouts(whole_table)
            step = int(row["iteration"])
            run.log({**row, **table}, step=step if run.disabled else max(step, run.step), commit=not last)
            logger.mark(step)

    def _rollouts(self, whole: bool) -> dict[str, Any]:
        """The table of all sampled rows, if it has grown by a quarter since it was logged, or must be whole.

        W&B shows the last table logged under a name. One that is logged in increments would show the last 100
        of them, and begin anew with each offline part. All rows each time would be quadratic in iterations.
        """
        import wandb

        rows = self.recorder.samples
        new = len(rows) - self._num_rollouts
        if not new or (new < self._num_rollouts / 4 and not whole):
            return {}
        self._num_rollouts = len(rows)
        return {"rollouts": wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])}


def wait_for(artifact: Artifact) -> None:
    """Wait until the checkpoint is on the server, longer than for the rest."""
    try:
        artifact.wait(timeout=CHECKPOINT_SECONDS)
    except Exception as error:  # wandb's own, ValueError where the server refuses it, RuntimeError
        say(f"the checkpoint was not uploaded: {one_line(error)}")


def say(text: str) -> None:
    """Print a line in the console report's manner."""
    Console(highlight=False, soft_wrap=True).print(f"[bold]wandb[/]   {escape(text)}")


def one_line(error: Exception) -> str:
    """What an error says, of pydantic's neither the value, which may be secret, nor the link."""
    from pydantic import ValidationError  # of wandb's settings

    text = str(error)
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_context=False, include_input=False)
        text = "; ".join(
            f"{'.'.join(map(str, part['loc']))}: {part['msg'].removeprefix('Value error, ')}"
            for part in found
        )
    return " ".join(text.split()) or type(error).__name__


def was_sent(part: Path) -> bool:
    """Whether `wandb sync` has uploaded a part of a run."""
    return any(part.glob("*.wandb.synced"))


def run_logger(trainer: Trainer) -> RunLogger:
    """The trainer's logger, which train.py has built."""
    assert isinstance(trainer.logger, RunLogger)
    return trainer.logger
