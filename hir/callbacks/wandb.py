"""WandbReport: Weights & Biases, for `python train.py logger=wandb`. docs/wandb.md says what is logged.

W&B neither stops a training run nor asks it anything: without a key or a server the run is logged offline,
and after W&B's first error not at all.
"""

import os
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from hir.callbacks.recorder import RunRecorder
from hir.config.load import flat
from hir.config.schema import Config
from hir.files import atomic_write


class WandbReport(Callback):
    """Logs a row an iteration, the sampled rows, and at the end the curve and the summary.

    Must stand after the recorder, which has the rows, and the console. Rank 0 alone has a W&B run: one of its
    own, or the one that ``resume=RUN`` continues, whose id its folder wandb/ has beside W&B's own files.
    """

    def __init__(self, config: Config, recorder: RunRecorder) -> None:
        self.config, self.recorder = config, recorder
        self.folder = recorder.folder / "wandb"
        self.continues = config.resume is not None and (self.folder / "id.txt").is_file()
        self.run: Any = None  # of wandb.Run, which takes seconds to import

    def _guard(self, call: Callable[[], object]) -> None:
        """Whatever goes wrong with W&B, the run goes on, without it."""
        try:
            call()
        except Exception as error:
            self.run = None
            say(f"off from here on: {type(error).__name__}: {error}; what it has so far is in {self.folder}")

    def _ask(self, call: Callable[[Any], object]) -> None:
        """Make a call of the W&B run, where there is one."""
        if (run := self.run) is not None:
            self._guard(lambda: call(run))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.is_global_zero:
            self._guard(self._start)
            if self.run:  # for what a fork logs
                trainer.loggers = [WandbLogger(experiment=self.run, save_dir=self.recorder.folder)]

    def _start(self) -> None:
        import wandb  # takes seconds

        # For the upload at the end, to which wandb itself sets no limit.
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", "120")
        session = wandb.setup(wandb.Settings(silent=True, finish_timeout_raises=True))
        problem = ""
        try:  # not asked for: an unattended job in a terminal would wait for an answer
            if session.settings.mode in ("online", "run") and not wandb.login(verify=True, prompt=False):
                problem = ": no API key is configured (`wandb login` stores one)"
        except Exception as error:  # a key that is refused, no network
            problem = f": {type(error).__name__}: {error}"
        self.recorder.folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            name=os.environ.get("WANDB_NAME") or self.recorder.folder.resolve().name,
            dir=self.recorder.folder,
            id=(self.folder / "id.txt").read_text() if self.continues else None,
            resume="allow",
            project=os.environ.get("WANDB_PROJECT") or "hir",
            mode="offline" if problem else None,
        )
        if run.disabled:
            return say("disabled by WANDB_MODE")
        self.run = run
        atomic_write(self.folder / "id.txt", run.id.encode())
        # Key by key, as a sweep has set some of them.
        run.config.update(flat(asdict(self.config)), allow_val_change=True)
        where = f"offline{problem}; to upload it later: wandb sync {self.folder}"
        say(where if run.offline else str(run.url))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ask(self._log_base)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        every = self.config.evaluation.samples_every
        table = bool(every) and trainer.current_epoch % every == 0
        self._ask(lambda run: self._log(run, self.recorder.history[-1], table))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ask(self._log_end)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(0)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._finish(1)

    def _finish(self, exit_code: int) -> None:
        """Wait until all is uploaded."""
        self._ask(lambda run: run.finish(exit_code=exit_code))
        self.run = None

    def _log_base(self, run: Any) -> None:
        # How good answers are is drawn against the samples they cost, losses against W&B's own step.
        for name in {*self.recorder.history[0], "fraction_correct", "fraction_unique"} - {"samples"}:
            run.define_metric(name, step_metric="samples")
        if not self.continues:  # the base, and what was trained before it had this logger
            for row in self.recorder.history:
                self._log(run, row)

    def _log(self, run: Any, row: dict[str, Any], table: bool = False) -> None:
        import wandb

        if table and (rows := self.recorder.samples):
            values = [list(sample.values()) for sample in rows]
            row = {**row, "rollouts": wandb.Table(columns=list(rows[0]), data=values)}
        run.log(row)

    def _log_end(self, run: Any) -> None:
        import wandb

        summary = self.recorder.summary()
        end = {"samples": summary["samples"], "test/accuracy": summary["test"]["accuracy"]}
        end["learning_curve"] = wandb.Image(str(self.recorder.folder / "learning_curve.png"))
        self._log(run, end, table=True)
        run.summary.update(flat(summary, "/"))


def say(text: str) -> None:
    """Print a line in the console report's manner, without a secret that an address or error holds."""
    text = re.sub(r"//[^/\s]*@", "//", text).replace(os.environ.get("WANDB_API_KEY") or "\0", "***")
    text = re.sub(r"\[type=.*\]|For further information visit \S+", "", text)  # pydantic's, and the value
    print("wandb  ", *text.split(), flush=True)
