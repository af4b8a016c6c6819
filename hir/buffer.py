"""ReplayBuffer: the relabeled rows of the last iterations, and the order in which they are trained on."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from hir.errors import UserError
from hir.records import TrainingExample


class ReplayBuffer:
    """Rows of a window of iterations.

    Args:
        window: iterations kept, counted back from the newest; 0 keeps all, as the reference code does.
        max_wrong_fraction: largest share of wrong rows in a batch, so that failures, most rows at first, do
            not swamp it; fewer come as they come. None trains on rows as they come.
        deduplicate: drop a row of an iteration that repeats query, instruction and tokens of another.
    """

    def __init__(self, window: int, max_wrong_fraction: float | None, deduplicate: bool) -> None:
        self.window = window
        self.max_wrong_fraction = max_wrong_fraction
        self.deduplicate = deduplicate
        self.iterations: dict[int, list[TrainingExample]] = {}

    @property
    def newest(self) -> int:
        """The last iteration that was put in, -1 before the first."""
        return max(self.iterations, default=-1)

    def rows(self) -> list[TrainingExample]:
        """All rows, oldest iteration first."""
        return [row for iteration in sorted(self.iterations) for row in self.iterations[iteration]]

    def extend(self, iteration: int, rows: Iterable[TrainingExample]) -> None:
        """Put in the rows of an iteration, in place of any it had, and drop what left the window."""
        self.iterations[iteration] = list(dict.fromkeys(rows)) if self.deduplicate else list(rows)
        if self.window:
            for old in [i for i in self.iterations if i <= iteration - self.window]:
                del self.iterations[old]

    def plan(self, num_batches: int, batch_size: int, rng: random.Random) -> list[TrainingExample]:
        """Rows of an epoch in training order, ``num_batches * batch_size`` of them.

        Each class is walked in shuffled passes, so no row comes twice before every other came once.
        Without a correct row the batches hold wrong ones alone, unless none are wanted.

        Raises:
            UserError: there is nothing to train on.
        """
        rows = self.rows()
        if self.max_wrong_fraction is None:
            shares = [(rows, batch_size)]
        else:
            right, wrong = [r for r in rows if r.correct], [r for r in rows if not r.correct]
            num_wrong = round(min(self.max_wrong_fraction, len(wrong) / max(1, len(rows))) * batch_size)
            shares = [(right, batch_size - num_wrong), (wrong, num_wrong)]
        shares = [(pool, number) for pool, number in shares if pool and number]
        if len(shares) == 1:
            shares = [(shares[0][0], batch_size)]
        if not shares:
            raise UserError(
                f"nothing to train on in iteration {self.newest}: {len(rows)} rows in the buffer, "
                f"{sum(r.correct for r in rows)} of them correct, "
                f"buffer.max_wrong_fraction={self.max_wrong_fraction}; "
                "sample more (sampling.num_samples), or start from a model that is sometimes right"
            )
        walks = [(_passes(pool, rng), number) for pool, number in shares]
        plan: list[TrainingExample] = []
        for _ in range(num_batches):
            batch = [next(walk) for walk, number in walks for _ in range(number)]
            rng.shuffle(batch)
            plan.extend(batch)
        return plan

    def state_dict(self) -> dict[str, Any]:
        """Plain lists and dicts, safe for torch.load(weights_only=True)."""
        return {"iterations": {i: [asdict(row) for row in rows] for i, rows in self.iterations.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.iterations = {
            int(i): [TrainingExample(**{k: _frozen(v) for k, v in row.items()}) for row in rows]
            for i, rows in state["iterations"].items()
        }


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _passes(pool: Sequence[TrainingExample], rng: random.Random) -> Iterator[TrainingExample]:
    """Rows of the pool in shuffled passes without end."""
    order: list[TrainingExample] = []
    while pool:
        order = list(pool)
        rng.shuffle(order)
        yield from order
