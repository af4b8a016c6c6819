"""RunRecorder: keeps the run's history and writes its folder."""

import csv
import io
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from hir.callbacks.evaluation import BigBenchEvaluation
from hir.config.load import save_config
from hir.config.schema import Config
from hir.figures import curve_image
from hir.files import atomic_write, clear_leftovers, write_json, write_lines
from hir.training.module import HIRModule
from hir.training.run_folder import SavedRun

WRITTEN = ("config.yaml", "metrics.csv", "samples.jsonl")
"""Files that are written after each iteration."""
ENDED = ("answers.jsonl", "learning_curve.png", "summary.json")
"""Files of a run that has ended, in the order in which they are written: the last one says that it has."""


class RunRecorder(Callback):
    """Keeps the run's history and writes it to its folder, an iteration at a time.

    The history travels in the checkpoint, and files are written anew from it, so that a resumed run's files
    equal an uninterrupted run's. Only rank 0 writes, once the first iteration has ended. Must stand after the
    evaluation. ``started`` is time.perf_counter() at the start of the program.
    """

    def __init__(self, config: Config, folder: Path, evaluation: BigBenchEvaluation, started: float) -> None:
        self.config, self.folder, self.evaluation = config, folder, evaluation
        self.history: list[dict[str, float]] = []
        """One row an iteration, the base's first as iteration 0."""
        self.samples: list[dict[str, Any]] = []
        """Rows of samples.jsonl."""
        self.seconds = dict.fromkeys(("total", "sampling", "training", "setup", "evaluation"), 0.0)
        self._clock, self._evaluated = started, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds["setup"] += self._lap()
        if not self.history:
            zeros = dict.fromkeys(("iteration", "samples", "updates", "seconds"), 0)
            self.history.append({**zeros, **self.evaluation.results})
        if trainer.is_global_zero:
            for folder in (self.folder, self.folder / "checkpoints"):
                clear_leftovers(folder)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lap()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, HIRModule) and pl_module.report is not None
        report = pl_module.report
        self.seconds["sampling"] += report.seconds
        self.seconds["training"] += self._lap() - report.seconds
        iteration, metrics = trainer.current_epoch + 1, trainer.callback_metrics
        graded = getattr(pl_module.datamodule.task.feedback, "graded", False)
        # Without a plan they are those of an iteration before.
        losses = [name for name in metrics if pl_module.datamodule.plan and name.startswith("train/")]
        self.history.append(
            {
                "iteration": iteration,
                "samples": self.history[-1]["samples"] + report.num_samples,
                "updates": trainer.global_step,
                "seconds": round(self.seconds["sampling"] + self.seconds["training"], 2),
                "fraction_correct": round(report.fraction_correct, 6),
                **({"mean_score": round(report.mean_score, 6)} if graded else {}),
                **({"num_unjudged": len(report.unjudged)} if report.unjudged else {}),
                "fraction_unique": round(report.fraction_unique, 6),
                "samples_per_second": round(report.num_samples / report.seconds, 1),
                **{name: round(float(metrics[name]), 6) for name in losses},
                **self.evaluation.results,
            }
        )
        self.samples += [
            {
                "iteration": iteration,
                "query": rollout.query,
                "instruction": rollout.instruction,
                "output": rollout.output,
                "correct": rollout.correct,
                "missed": "; ".join(rollout.missed),
                "relabeled_instruction": relabeled,
                "target": rollout.target,
            }
            for rollout, relabeled in report.logged
        ]
        if trainer.is_global_zero:
            for name in reversed(ENDED):  # of a run that had ended and goes on
                (self.folder / name).unlink(missing_ok=True)
            self._write()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lap()
        if trainer.is_global_zero:
            write_lines(self.folder / "answers.jsonl", self.run().answers)
            atomic_write(self.folder / "learning_curve.png", self._learning_curve())
            write_json(self.folder / "summary.json", self.summary())

    def run(self) -> SavedRun:
        """What there is of the run so far."""
        answers = [asdict(given) for given in self.evaluation.test_answers]
        return SavedRun(self.folder, self.config, self.history, self.samples, answers, None)

    def summary(self) -> dict[str, Any]:
        """The contents of summary.json; accuracies are greedy, under p_correct, on rows never trained on."""
        last = self.history[-1]
        return {
            "task": self.config.task.name,
            "method": self.config.method["name"],
            "model": self.config.model.path or self.config.model.name,
            "seed": self.config.seed,
            "iterations": last["iteration"],
            "base": {"accuracy": self.history[0]["test/accuracy"]},
            "val": {"accuracy": self.latest("val/accuracy")},
            "test": {"accuracy": self.latest("test/accuracy")},
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "samples": last["samples"],
            "updates": last["updates"],
        }

    def latest(self, name: str) -> float:
        """The last value of a metric that is not measured in every iteration."""
        rows = [self.evaluation.results, *reversed(self.history)]
        return next(row[name] for row in rows if name in row)

    def _lap(self) -> float:
        """Seconds since the last call, but for those of evaluations."""
        seconds, evaluation = time.perf_counter() - self._clock, self.evaluation.seconds - self._evaluated
        self._clock, self._evaluated = self._clock + seconds, self.evaluation.seconds
        self.seconds["total"] += seconds
        self.seconds["evaluation"] += evaluation
        return seconds - evaluation

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self.history for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        atomic_write(self.folder / "metrics.csv", table.getvalue().encode())
        write_lines(self.folder / "samples.jsonl", self.samples)
        save_config(self.config, self.folder / "config.yaml")

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "samples": self.samples, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self.samples = state_dict["history"], state_dict["samples"]
        self.seconds = dict(state_dict["seconds"])

    def _learning_curve(self) -> bytes:
        """A PNG of accuracy under both instructions and of the share of right samples."""
        labels = {
            "val/accuracy": "validation, with correct answer",
            "val/accuracy_p_wrong": "validation, with wrong answer",
            "fraction_correct": "samples while training",
        }
        curves = {
            label: [(row["samples"], row[name]) for row in self.history if name in row]
            for name, label in labels.items()
        }
        config, base = self.config, self.history[0]["val/accuracy"]
        title = f"{config.method['name']} on {config.task.name}, {config.model.name}, seed {config.seed}"
        return curve_image(curves, title, base=base)
