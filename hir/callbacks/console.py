"""ConsoleReport: what a person sees. A header, a line an iteration, samples now and then, a result."""

import math
import shlex
import textwrap
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hir.callbacks.recorder import ENDED, WRITTEN, RunRecorder
from hir.config.schema import Config
from hir.files import CHECKPOINT, has_checkpoint
from hir.training.build import Run
from hir.training.datamodule import SamplingReport
from hir.training.run_folder import COLLAPSE, findings


class ConsoleReport(Callback):
    """Prints plain lines on rank 0, on a terminal too. Must stand after the recorder."""

    def __init__(self, config: Config, run: Run, recorder: RunRecorder) -> None:
        self.config, self.run, self.recorder = config, run, recorder
        # Counted before a strategy shares them out.
        self.num_weights = sum(weight.numel() for weight in run.module.policy.model.parameters())
        # In a notebook, too, a log is plain lines.
        self.console = Console(highlight=False, soft_wrap=True, force_jupyter=False)
        self._said = time.monotonic()  # when the last line was printed
        self._warned: set[str] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.console.quiet = not trainer.is_global_zero
        self.run.module.sampler.progress = partial(self._say_how_far, "answered")
        config, data, task = self.config, self.run.datamodule, self.run.datamodule.task
        held_out = f"{len(task.validation)} validation and {len(task.test)} test rows, none shared"
        self._tell("task", f"{task.name}: {len(task.train)} training queries, {held_out}")
        self._tell("judge", config.feedback["name"] or "the task's own")
        name, size = config.model.path or config.model.name, f"{self.num_weights / 1e6:.2f} M parameters"
        device = trainer.strategy.root_device.type
        self._tell("model", f"{name}, {size}, {trainer.world_size} x {device}, {trainer.precision}")
        samples = f"{data.num_queries} queries x {config.sampling.num_samples} samples"
        updates = f"{data.num_updates} updates of {config.training.batch_size} rows"
        method = config.method["name"]
        self._tell("method", f"{method}: {trainer.max_epochs} iterations of {samples} and {updates}")
        for note in self.run.notes:
            self._tell("note", note, "yellow")

    def _say(self, text: object = "") -> None:
        self.console.print(text)
        self._said = time.monotonic()

    def _tell(self, label: str, text: str, style: str = "bold") -> None:
        self._say(f"[{style}]{label:<7}[/] {escape(text)}")

    def _say_how_far(self, name: str, done: int, total: int) -> None:
        if time.monotonic() - self._said > 5.0:  # seconds without a line
            trainer = self.run.module.trainer
            where = f"iteration {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._say(f"[dim]      {where}: {name} {done}/{total}[/]")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tell("base", f"{self.recorder.history[0]['test/accuracy']:.3f} test accuracy before training")
        if base := self.run.base:
            told = f"{base.num_updates} supervised updates on labelled {' and '.join(base.tasks)} rows"
            self._say(f"        the tiny base had {told} of its own; now it only hears what the judge says")
        if trainer.current_epoch:
            self._tell("resume", f"after iteration {trainer.current_epoch}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Batches are more than optimizer steps where they are accumulated.
        self._say_how_far("training", batch_idx + 1, int(trainer.num_training_batches))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = self.recorder.history[-1]
        parts = [f"correct {row['fraction_correct']:.2f}", f"unique {row['fraction_unique']:.2f}"]
        if "mean_score" in row:
            parts.insert(1, f"score {row['mean_score']:.2f}")
        if "val/accuracy" in row:
            parts += [f"val [bold]{row['val/accuracy']:.3f}[/]", f"gap {row['val/gap']:+.2f}"]
        parts += [f"{key.removeprefix('train/')} {row[key]:.3f}" for key in row if key.startswith("train/")]
        parts.append(f"{row['samples_per_second']:.0f} samples/s")
        width = len(str(trainer.max_epochs))
        self._say(f"{row['iteration']:>{width}}/{trainer.max_epochs}  " + "  ".join(parts))
        report, every = self.run.module.report, self.config.evaluation.samples_every
        assert report is not None
        if notes := report.unjudged:
            text = f"{len(notes)} answers were not judged, and are left out: {notes[0]}"
            self._tell("note", text, "yellow")
        if every and trainer.current_epoch % every == 0:
            self._print_samples(report)
        for title, text in findings(self.recorder.run()):
            if title not in self._warned and row["iteration"] >= COLLAPSE.get(title, math.inf):
                self._warned.add(title)
                self._tell("warning", f"{title}: {text}", "yellow")

    def _print_samples(self, report: SamplingReport) -> None:
        """An answer to each of three queries, wrong ones first, with the target, for a judge may err."""
        size = self.config.sampling.num_samples
        by_query = sorted(report.logged[size - 1 :: size], key=lambda pair: pair[0].correct)
        for rollout, relabeled in by_query[:3]:
            missed = f"it misses: {'; '.join(rollout.missed)}"
            why = missed if rollout.missed else f"the target is {rollout.target}"
            verdict = "[green]right[/]" if rollout.correct else f"[red]wrong[/], {escape(why)}"
            trained = f"trained as[/] {escape(relabeled)}" if relabeled else "not trained on[/]"
            question = textwrap.shorten(rollout.query, 100, placeholder=" ...")
            self._say(f"      [dim]Q:[/] {escape(question)}")
            answer = f"      [dim]A:[/] {escape(rollout.output) or '(empty)'}  {verdict}"
            between = f"\n         [dim]asked as[/] {escape(rollout.instruction)}\n         "
            self._say(f"{answer}{between if rollout.constraints else '  '}[dim]{trained}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        table = Table("test rows", box=None, pad_edge=False)
        for name in ("base", "trained", "change"):
            table.add_column(name, justify="right")
        own, further = self.run.datamodule.task, self.run.evaluation_tasks
        measured = {"test/accuracy": (own.name, len(own.test))}
        measured |= {f"{task.name}/accuracy": (task.name, len(task.test)) for task in further}
        of_mix = Counter(row.task for row in own.test if row.task)
        measured |= {f"test/{name}/accuracy": (name, number) for name, number in of_mix.items()}
        for key, (name, number) in measured.items():
            base, trained = self.recorder.history[0][key], self.recorder.latest(key)
            change = f"{trained - base:+.3f}"
            table.add_row(f"{name} ({number})", f"{base:.3f}", f"[bold]{trained:.3f}[/]", change)
        self._say()
        self._say(table)
        seconds = "  ".join(f"{name} {value:.0f} s" for name, value in self.recorder.seconds.items())
        self._say(f"[dim]{seconds}[/]")
        for title, text in findings(self.recorder.run()):
            self._tell("note", f"{title}: {text}", "yellow")
        files = " ".join((*WRITTEN, *ENDED, CHECKPOINT))
        self._say(f"saved in {escape(str(self.recorder.folder))}: {files}")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        folder = self.recorder.folder
        with suppress(OSError):  # what is wrong may be standard output
            if has_checkpoint(folder):
                again = shlex.quote(f"resume={folder}")
                self._say(f"its last checkpoint is kept; go on with: python train.py {escape(again)}")
