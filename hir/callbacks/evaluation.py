"""BigBenchEvaluation: greedy accuracy under p_correct and p_wrong, exact on any number of devices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torchmetrics import MeanMetric

from hir.config.schema import EvaluationConfig
from hir.distributed import gather, shard
from hir.policies.base import Policy
from hir.records import Example
from hir.relabel.base import Relabel
from hir.sampling.base import Sampler, Stage, silent_stage
from hir.tasks.base import Task
from hir.training.module import HIRModule


@dataclass(frozen=True)
class GreedyAnswer:
    """The likeliest answer to a row, judged."""

    query: str
    target: str
    """An accepted answer, for the log."""
    output: str
    correct: bool


Asked = Callable[[Example], str]
"""The instruction that a row is asked under."""


def answer(
    policy: Policy,
    sampler: Sampler,
    task: Task,
    rows: Sequence[Example],
    asked: Asked,
    stage: Stage = silent_stage,
) -> list[GreedyAnswer]:
    """This rank's share of the task's rows answered greedily, and judged."""
    share = shard(rows)
    prompts = [policy.render(asked(row), row.query) for row in share]
    texts = [policy.decode(ids) for ids in sampler.greedy(prompts, stage("evaluation", len(share)))]
    return [
        GreedyAnswer(row.query, row.targets[0], text, verdict.correct)
        for row, text, verdict in zip(share, texts, task.feedback(share, texts), strict=True)
    ]


def accuracy(answers: Sequence[GreedyAnswer], device: torch.device) -> float:
    """Share of right answers over all ranks, 0 to 1, of which only sums are exchanged."""
    metric = MeanMetric().to(device)
    if answers:
        right = [given.correct for given in answers]
        metric.update(torch.tensor(right, dtype=torch.float32, device=device))
    return round(float(metric.compute()), 6)


class BigBenchEvaluation(Callback):
    """Evaluates the validation split and further tasks during a run, and the test split before and after it.

    The test split is no part of any decision: it is answered once by the base and once by the final model.

    Args:
        config: how often.
        relabel: has the goal and its opposite.
        task: the run's task.
        further: tasks whose test splits are evaluated beside it.
    """

    def __init__(
        self, config: EvaluationConfig, relabel: Relabel, task: Task, further: Sequence[Task] = ()
    ) -> None:
        self.config = config
        self.phi = relabel
        self.task = task
        self.further = tuple(further)
        self.results: dict[str, float] = {}
        """Accuracies measured after the iteration that just ended, by metric name; empty if none were."""
        self.base: dict[str, float] = {}
        """Accuracies before training: test/accuracy and all of ``results``."""
        self.test_accuracy: float | None = None
        self.test_answers: list[GreedyAnswer] = []
        """The final model's answers to the task's test rows, of all ranks, rank by rank."""
        self.seconds = 0.0
        """Time spent so far, in all and in the last evaluation."""
        self.latest_seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.base:  # a resumed run has it already
            start = time.perf_counter()
            test = self._accuracy(trainer, pl_module, self.task, self.task.test, self.phi.goal)
            self.base = {"test/accuracy": test, **self._measure(trainer, pl_module)}
            self._keep_time(start)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        finished = trainer.current_epoch + 1
        self.results, self.latest_seconds = {}, 0.0
        if finished % self.config.every == 0 or finished == trainer.max_epochs:
            start = time.perf_counter()
            self.results = self._measure(trainer, pl_module)
            pl_module.log_dict(self.results, logger=False, sync_dist=True)
            self._keep_time(start)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        start = time.perf_counter()
        if not self.results:  # the run ended early, by trainer.max_time say
            self.results = self._measure(trainer, pl_module)
        answers = self._answer(trainer, pl_module, self.task, self.task.test, self.phi.goal)
        self.test_accuracy = accuracy(answers, pl_module.device)
        self.test_answers = [given for share in gather([answers]) for given in share]
        self._keep_time(start)

    def _keep_time(self, start: float) -> None:
        self.latest_seconds = time.perf_counter() - start
        self.seconds += self.latest_seconds

    def _measure(self, trainer: Trainer, module: LightningModule) -> dict[str, float]:
        rows = self.task.validation
        right = self._accuracy(trainer, module, self.task, rows, self.phi.goal)
        wrong = self._accuracy(trainer, module, self.task, rows, self.phi.opposite)
        results = {
            "val/accuracy": right,
            "val/accuracy_p_wrong": wrong,
            "val/gap": round(right - wrong, 6),
        }
        for task in self.further:
            results[f"{task.name}/accuracy"] = self._accuracy(trainer, module, task, task.test, self.phi.goal)
        return results

    def _accuracy(
        self, trainer: Trainer, module: LightningModule, task: Task, rows: Sequence[Example], asked: Asked
    ) -> float:
        return accuracy(self._answer(trainer, module, task, rows, asked), module.device)

    def _answer(
        self, trainer: Trainer, module: LightningModule, task: Task, rows: Sequence[Example], asked: Asked
    ) -> list[GreedyAnswer]:
        assert isinstance(module, HIRModule)
        with trainer.precision_plugin.forward_context():
            return answer(module.policy, module.sampler, task, rows, asked, module.stage)

    def state_dict(self) -> dict[str, object]:
        return {"base": self.base, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        self.base = dict(state_dict["base"])  # type: ignore[call-overload]
        self.seconds = float(state_dict["seconds"])  # type: ignore[arg-type]
