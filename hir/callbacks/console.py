"""ConsoleReport: what a person sees. A header, bars, a line an iteration, samples now and then, a result."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bars
from rich.table import Table

from hir.callbacks.recorder import RunRecorder
from hir.config.schema import Config
from hir.records import Rollout
from hir.sampling.base import Progress
from hir.training.build import Run
from hir.training.findings import findings
from hir.training.module import HIRModule
from hir.training.run_folder import read_run

FILES = (
    "config.yaml metrics.csv samples.jsonl answers.jsonl summary.json learning_curve.png "
    "checkpoints/last.ckpt"
)
SILENCE = 5.0
"""Seconds after which a plain log says how far the run is."""


class ConsoleReport(Callback):
    """Prints on rank 0; plain lines where the output is no terminal. Must stand after the recorder."""

    def __init__(self, config: Config, run: Run, recorder: RunRecorder, bars: bool = True) -> None:
        self.config = config
        self.run = run
        # Counted before a strategy shares them out.
        self.num_weights = sum(weight.numel() for weight in run.module.policy.model.parameters())
        self.recorder = recorder
        # In a notebook, too, a log is plain lines.
        self.console = Console(highlight=False, soft_wrap=True, force_jupyter=False)
        bars = bars and self.console.file.isatty()  # colors can be forced elsewhere, bars not
        self.progress = Bars(console=self.console, transient=True, disable=not bars)
        self._bar = self.progress.add_task("", total=None)
        self._where = "before the first iteration"
        self._said = time.monotonic()  # when the last line was printed

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            self.console.quiet = self.progress.disable = True
        for line in self._header(trainer):
            self._say(line)
        self.progress.start()
        assert isinstance(pl_module, HIRModule)
        pl_module.stage = self._stage

    def _say(self, text: object = "") -> None:
        self.console.print(text)
        self._said = time.monotonic()

    def _stage(self, name: str, total: int) -> Progress:
        """A bar on a terminal; elsewhere a line where there would be none for long."""
        name, done = f"{self._where}: {name}", 0
        self.progress.reset(self._bar, total=total, description=name)

        def advance(number: int) -> None:
            nonlocal done
            done += number
            self.progress.update(self._bar, completed=done)
            if self.progress.disable and time.monotonic() - self._said > SILENCE:
                self._say(f"[dim]      {name} {done}/{total}[/]")

        return advance

    def _header(self, trainer: Trainer) -> list[str]:
        config, task, data = self.config, self.run.datamodule.task, self.run.datamodule
        name = escape(config.model.path or config.model.name)
        lines = [
            f"[bold]task[/]    {task.name}: {len(task.train)} training queries, {len(task.validation)} "
            f"validation and {len(task.test)} test rows, none shared",
            f"[bold]judge[/]   {escape(task.feedback.about(task.rows))}",
            f"[bold]model[/]   {name}, {self.num_weights / 1e6:.2f} M parameters, "
            f"{trainer.world_size} x {trainer.strategy.root_device.type}, {trainer.precision}",
            f"[bold]method[/]  {config.method['name']}: {trainer.max_epochs} iterations of "
            f"{data.num_queries} queries x {config.sampling.num_samples} samples and "
            f"{data.num_updates} updates of {config.training.batch_size} rows",
        ]
        if self.run.num_overlong:
            lines.append(
                f"[yellow]note[/]    {self.run.num_overlong} prompts are over "
                f"{config.model.max_input_tokens} tokens and are cut in their middle"
            )
        lines += [f"[yellow]note[/]    {escape(line)}" for line in self.run.long_targets]
        return lines

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        base = self.recorder.evaluation.base["test/accuracy"]
        self._say(f"[bold]base[/]    {base:.3f} test accuracy before training")
        if self.run.base:
            self._say(
                f"        the tiny base had {self.run.base.num_updates} supervised updates on labelled "
                f"{' and '.join(self.run.base.tasks)} rows of its own, since relabeling has nothing to "
                "work on from chance; from here on the model only hears right or wrong"
            )
        if trainer.current_epoch:
            self._say(f"[bold]resume[/]  after iteration {trainer.current_epoch}")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._where = f"iteration {trainer.current_epoch + 1}/{trainer.max_epochs}"

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            # Batches are more than optimizer steps where they are accumulated.
            self._trained = self._stage("training", int(trainer.num_training_batches))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._trained(1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = self.recorder.history[-1]
        parts = [f"correct {row['fraction_correct']:.2f}", f"unique {row['fraction_unique']:.2f}"]
        if "val/accuracy" in row:
            parts += [f"val [bold]{row['val/accuracy']:.3f}[/]", f"gap {row['val/gap']:+.2f}"]
        terms = [name for name in row if name.startswith("train/")]
        parts += [f"{name.removeprefix('train/')} {row[name]:.3f}" for name in terms]
        parts.append(f"{row['samples_per_second']:.0f} samples/s")
        width = len(str(trainer.max_epochs))
        self._say(f"{row['iteration']:>{width}}/{trainer.max_epochs}  " + "  ".join(parts))
        every = self.config.evaluation.samples_every
        if every and (trainer.current_epoch % every == 0):
            self._print_samples(pl_module)
        if row["fraction_correct"] == 0:
            remedy = "start from a stronger model or an easier task"
            if self.run.long_targets:
                remedy = "set sampling.max_new_tokens as noted above"
            self._say(
                "[yellow]warning[/] no sample of this iteration was correct: with nothing right to imitate "
                f"the model can only learn what is wrong; {remedy}"
            )

    def _print_samples(self, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, HIRModule) and pl_module.report is not None
        # One answer a query, and first a wrong one, beside its target: a judge that errs is to be seen.
        logged = pl_module.report.logged
        wrong = [(rollout, new) for rollout, new in logged if not rollout.correct][:1]
        by_query: dict[str, tuple[Rollout, str | None]] = {}
        for rollout, new in (*wrong, *logged):
            by_query.setdefault(rollout.query, (rollout, new))
        for rollout, relabeled in list(by_query.values())[:3]:
            verdict = "[green]right[/]"
            if not rollout.correct:
                verdict = f"[red]wrong[/], the target is {escape(rollout.target)}"
            question = " ".join(rollout.query.split())
            question = question if len(question) <= 100 else f"{question[:60]} ... {question[-35:]}"
            self._say(f"      [dim]Q:[/] {escape(question)}")
            self._say(
                f"      [dim]A:[/] {escape(rollout.output) or '(empty)'}  {verdict}  [dim]"
                f"{'trained as[/] ' + escape(relabeled) if relabeled else 'not trained on[/]'}"
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()
        summary = self.recorder.summary()
        table = Table("test rows", box=None, pad_edge=False)
        for name in ("base", "trained", "change"):
            table.add_column(name, justify="right")
        base, test = summary["base"]["accuracy"], summary["test"]["accuracy"]
        rows = f"{summary['task']} ({len(self.run.datamodule.task.test)})"
        table.add_row(rows, f"{base:.3f}", f"[bold]{test:.3f}[/]", f"{test - base:+.3f}")
        for task in self.run.evaluation_tasks:
            key = f"{task.name}/accuracy"
            before, after = self.recorder.evaluation.base[key], self.recorder.latest(key)
            rows = f"{task.name} ({len(task.test)})"
            table.add_row(rows, f"{before:.3f}", f"[bold]{after:.3f}[/]", f"{after - before:+.3f}")
        self._say()
        self._say(table)
        seconds = "  ".join(f"{name} {value:.0f} s" for name, value in summary["seconds"].items())
        self._say(f"[dim]{seconds}[/]")
        if trainer.is_global_zero:  # whose recorder has written the folder
            for title, text in findings(read_run(self.recorder.folder)):
                self._say(f"[yellow]note[/]    {escape(f'{title}: {text}')}")
        self._say(f"saved in {escape(str(self.recorder.folder))}: {FILES}")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()
        if isinstance(exception, KeyboardInterrupt) and trainer.current_epoch:
            folder = escape(str(self.recorder.folder))
            self._say(f"interrupted; go on with: python train.py resume={folder}")

    def _stop(self) -> None:
        if not self.progress.disable:
            self.progress.stop()
