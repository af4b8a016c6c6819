"""BigBenchEvaluation: greedy accuracy under p_correct and p_wrong, exact on any number of devices."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torchmetrics import MeanMetric

from hir.config.schema import EvaluationConfig
from hir.distributed import gather, shard
from hir.errors import UserError
from hir.policies.base import Policy
from hir.records import Example
from hir.relabel.base import Relabel
from hir.sampling.base import Sampler
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
    score: float
    judged: bool
    """False where the judge failed: the answer counts for no accuracy."""
    task: str = ""
    """Its task where the run has several."""


def answer(
    policy: Policy, sampler: Sampler, task: Task, rows: Sequence[Example], asked: Callable[[Example], str]
) -> list[GreedyAnswer]:
    """The task's rows answered greedily and judged: each rank does its share, and all get all, in order."""
    share = shard(rows)
    prompts = [policy.render(asked(row), row.query) for row in share]
    texts = [policy.decode(ids) for ids in sampler.greedy(prompts)]
    answers = [
        GreedyAnswer(row.asked, row.target, text, verdict.correct, verdict.score, verdict.judged, row.task)
        for row, text, verdict in zip(share, texts, task.feedback(share, texts), strict=True)
    ]
    return gather(answers)


def accuracy(answers: Sequence[GreedyAnswer], of: str = "correct") -> float:
    """Share of right answers, or mean score, of those that the judge could judge."""
    values = [float(getattr(given, of)) for given in answers if given.judged]
    if not values:
        raise UserError(f"the judge failed on all {len(answers)} answers of an evaluation")
    mean = MeanMetric().set_dtype(torch.float64)
    return round(float(mean(torch.tensor(values, dtype=torch.float64))), 6)


def measured(name: str, answers: Sequence[GreedyAnswer]) -> dict[str, float]:
    """Accuracy, of each of several tasks, too; the share that the judge could judge where that is not all."""
    judged = round(sum(given.judged for given in answers) / len(answers), 6)
    tasks = dict.fromkeys(given.task for given in answers if given.task)
    return {
        f"{name}/accuracy": accuracy(answers),
        **{f"{name}/{task}/accuracy": accuracy([a for a in answers if a.task == task]) for task in tasks},
        **({f"{name}/judged": judged} if judged < 1 else {}),
    }


@dataclass(eq=False, repr=False)
class BigBenchEvaluation(Callback):
    """Evaluates the validation split and further tasks during a run, and the test split before and after it.

    The test split is no part of any decision: it is answered once by the base and once by the final model.
    """

    config: EvaluationConfig
    """How often."""
    phi: Relabel
    """Has the goal and its opposite."""
    task: Task
    """The run's task."""
    further: Sequence[Task]
    """Tasks whose test splits are evaluated beside it."""
    results: dict[str, float] = field(default_factory=dict)
    """By metric, accuracies after the iteration just ended; the test's before the first and at the end."""
    test_answers: list[GreedyAnswer] = field(default_factory=list)
    """The final model's judged answers to the task's test rows."""
    seconds: float = 0.0
    """Time spent by this process so far."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.current_epoch:  # a resumed run's history has them
            answers = self._ask(pl_module, self.task, self.task.test, self.phi.goal)
            self.results = {**measured("test", answers), **self._measure(pl_module)}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        finished = trainer.current_epoch + 1
        self.results = {}
        if finished % self.config.every == 0 or finished == trainer.max_epochs:
            self.results = self._measure(pl_module)
            pl_module.log_dict(self.results, logger=False, sync_dist=True, batch_size=1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.results:  # the run ended early, by trainer.max_time say
            self.results = self._measure(pl_module)
        answers = self._ask(pl_module, self.task, self.task.test, self.phi.goal)
        self.results |= measured("test", answers)
        self.test_answers = [given for given in answers if given.judged]

    def _ask(
        self, module: LightningModule, task: Task, rows: Sequence[Example], asked: Callable[[Example], str]
    ) -> list[GreedyAnswer]:
        """Answers under the precision plugin's autocast, outside of which hooks run; takes the time."""
        assert isinstance(module, HIRModule)
        start = time.perf_counter()
        with module.trainer.precision_plugin.forward_context():
            answers = answer(module.policy, module.sampler, task, rows, asked)
        self.seconds += time.perf_counter() - start
        return answers

    def _measure(self, module: LightningModule) -> dict[str, float]:
        rows, goal = self.task.validation, self.phi.goal
        answers = self._ask(module, self.task, rows, goal)
        results = measured("val", answers)
        wrong = accuracy(self._ask(module, self.task, rows, self.phi.opposite))
        results |= {"val/accuracy_p_wrong": wrong, "val/gap": round(results["val/accuracy"] - wrong, 6)}
        if getattr(self.task.feedback, "graded", False):
            results["val/score"] = accuracy(answers, "score")
        for task in self.further:
            results[f"{task.name}/accuracy"] = accuracy(self._ask(module, task, task.test, goal))
        return results

    def state_dict(self) -> dict[str, Any]:
        return {"results": self.results}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.results = state_dict["results"]
