"""HIRDataModule: regenerates the relabeled data each iteration and serves it as training batches."""

import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from hir.config.schema import Config, SamplingConfig
from hir.distributed import gather, rank, shard, world_size
from hir.errors import UserError
from hir.methods.base import Method
from hir.policies.base import Batch, Policy
from hir.randomness import derive_seed, generator
from hir.records import Example, Rollout, TrainingExample, Verdict
from hir.relabel.base import Relabel
from hir.sampling.base import Answer, Sampler
from hir.tasks.base import Task
from hir.training.buffer import ReplayBuffer
from hir.training.devices import rows_per_device


@dataclass(frozen=True)
class SamplingReport:
    """What an iteration's online sampling brought, over all ranks."""

    num_samples: int
    """All answers, those to queries asked again included, which nothing below counts."""
    fraction_correct: float
    mean_score: float
    fraction_unique: float
    """Different answers by all answers, counted query by query."""
    unjudged: tuple[str, ...]
    """Why the judge failed, for each answer where it did: those are left out of all but ``num_samples``."""
    seconds: float
    logged: tuple[tuple[Rollout, str | None], ...]
    """The first rollouts, at least a wrong one among them if there is any, each with the instruction it is
    trained under, None where it is not trained on."""


class HIRDataModule(LightningDataModule):
    """Online sampling, feedback and relabeling (steps 1 and 2 of Algorithm 1) as a data module.

    One Lightning epoch is one HIR iteration. Lightning's loader is built once: it serves places in the plan,
    as many in every iteration, and a batch has the rows that stand there now. Of the task only training
    queries are sampled, under the instruction that ``relabel`` has.
    """

    def __init__(self, config: Config, task: Task, policy: Policy, method: Method, relabel: Relabel) -> None:
        super().__init__()
        self.config, self.task, self.policy = config, task, policy
        self.method, self.phi = method, relabel
        self.buffer = ReplayBuffer(config.buffer)
        self.plan: list[TrainingExample] = []
        sampling, training = config.sampling, config.training
        self.num_queries = min(sampling.max_queries or len(task.train), len(task.train))
        """Queries asked an iteration, over all ranks."""
        updates = training.passes * (self.num_queries * sampling.num_samples) / training.batch_size
        self.num_updates = training.num_updates or max(1, round(updates))
        """Optimizer steps an iteration."""

    def queries(self, iteration: int) -> list[Example]:
        """The training rows asked in an iteration: the next ones in shuffled passes over the split."""
        rows = self.task.train
        chosen: list[Example] = []
        while len(chosen) < self.num_queries:
            number, offset = divmod(iteration * self.num_queries + len(chosen), len(rows))
            order = list(rows)
            generator(self.config.seed, number, 0, "query order").shuffle(order)
            chosen += order[offset : offset + self.num_queries - len(chosen)]
        return chosen

    def regenerate(self, sampler: Sampler, iteration: int) -> SamplingReport:
        """Sample, judge and relabel an iteration's answers, and plan its training rows.

        Every rank samples its share of the queries and relabels its answers; the rows are gathered, so that
        every rank holds the same buffer and the same plan.
        """
        start = time.perf_counter()
        sampling, examples = self.config.sampling, shard(self.queries(iteration))
        judged = self._sample(sampler, iteration, examples, "sampling", sampling)
        if sampling.retry_temperature:
            missed = [i for i, rollouts in enumerate(judged) if not any(r.correct for r in rollouts)]
            top_k = sampling.top_k if sampling.retry_top_k is None else sampling.retry_top_k
            hotter = replace(sampling, temperature=sampling.retry_temperature, top_k=top_k)
            # By every rank, even for no query: where weights are sharded all ranks gather them.
            again = self._sample(sampler, iteration, [examples[i] for i in missed], "retry", hotter)
            for i, rollouts in zip(missed, again, strict=True):
                judged[i] += rollouts
        own = [rollout for samples in judged for rollout in samples if rollout.verdict.judged]
        rows = self.method.relabel(own, generator(self.config.seed, iteration, rank(), "relabeling"))
        self.buffer.extend(iteration, [row for share in gather([rows]) for row in share])
        # Each rank says what its own answers are trained under: it has seen no others.
        gathered = gather([[(r, self.method.instruction(r)) for r in samples] for samples in judged])
        unjudged = [r.verdict.note for samples in gathered for r, _ in samples if not r.verdict.judged]
        first = (pair for samples in gathered for pair in samples[: sampling.num_samples])
        pairs = [(rollout, text) for rollout, text in first if rollout.verdict.judged]
        if not (rollouts := [rollout for rollout, _ in pairs]):
            raise UserError(f"the judge failed on all answers of iteration {iteration + 1}: {unjudged[0]}")
        self.plan = self._training_order(iteration)
        logged = pairs[: self.config.evaluation.num_logged_rollouts]
        if logged and all(rollout.correct for rollout, _ in logged):
            logged[-1] = next((pair for pair in pairs if not pair[0].correct), logged[-1])
        return SamplingReport(
            num_samples=sum(map(len, gathered)),
            fraction_correct=sum(r.correct for r in rollouts) / len(rollouts),
            mean_score=sum(r.verdict.score for r in rollouts) / len(rollouts),
            fraction_unique=len({(r.instruction, r.query, r.output_ids) for r in rollouts}) / len(rollouts),
            unjudged=tuple(unjudged),
            seconds=time.perf_counter() - start,
            logged=tuple(logged),
        )

    def _sample(
        self, sampler: Sampler, iteration: int, rows: list[Example], purpose: str, sampling: SamplingConfig
    ) -> list[list[Rollout]]:
        """Judged answers to each row."""
        if self.method.samples:
            prompts = [self.policy.render(self.phi.goal(row), row.query) for row in rows]
            seed = derive_seed(self.config.seed, iteration, rank(), purpose)
            answers = sampler.sample(prompts, sampling.num_samples, seed, sampling)
        else:
            answers = [[Answer(self.policy.encode_answer(row.targets[0]), ())] for row in rows]
        flat = [(row, answer) for row, of_row in zip(rows, answers, strict=True) for answer in of_row]
        outputs = [self.policy.decode(answer.tokens) for _, answer in flat]
        verdicts = [Verdict(True, 1.0)] * len(flat)  # of targets no judge is asked
        if self.method.samples:
            verdicts = self.task.feedback([row for row, _ in flat], outputs)
        rollouts = iter(
            Rollout(
                iteration=iteration,
                query=row.query,
                instruction=self.phi.goal(row),
                output=output,
                output_ids=answer.tokens,
                log_probs=answer.log_probs,
                verdict=verdict,
                target=row.target,
                constraints=row.constraints,
            )
            for (row, answer), output, verdict in zip(flat, outputs, verdicts, strict=True)
        )
        return [list(islice(rollouts, len(of_row))) for of_row in answers]

    def _training_order(self, iteration: int) -> list[TrainingExample]:
        """Rows of the iteration's updates; a function of buffer, seed and iteration.

        Within an update queries go by length: what a device gets of it is of like length, little padded.
        """
        size = self.config.training.batch_size
        rng = generator(self.config.seed, iteration, 0, "training order")
        plan = self.buffer.plan(self.num_updates, size, rng)
        updates = (plan[start : start + size] for start in range(0, len(plan), size))

        def length(row: TrainingExample) -> tuple[int, str, str]:
            return len(row.query) + len(row.instruction), row.query, row.instruction

        return [row for rows in updates for row in sorted(rows, key=length)]

    def train_dataloader(self) -> DataLoader[range]:
        total = self.num_updates * self.config.training.batch_size
        size = rows_per_device(self.config, world_size())
        # Every rank has as many batches: size x world_size divides a batch_size.
        batches = [range(start, start + size) for start in range(rank() * size, total, world_size() * size)]
        # No workers: a worker process would keep the plan it was started with.
        return DataLoader(batches, batch_size=None, collate_fn=self._collate, num_workers=0)  # type: ignore

    def _collate(self, places: range) -> Batch:
        """The rows that stand there; nothing in an iteration that has no plan, whose batches are skipped."""
        return self.policy.collate([self.plan[place] for place in places]) if self.plan else {}

    def state_dict(self) -> dict[str, Any]:
        """The buffer as plain lists and dicts, safe for torch.load(weights_only=True)."""
        return {"buffer": {i: [asdict(row) for row in rows] for i, rows in self.buffer.iterations.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict["buffer"].items()
        self.buffer.iterations = {i: [TrainingExample(**row) for row in rows] for i, rows in saved}
