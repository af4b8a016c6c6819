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
        max_wrong_fraction: largest share of wrong rows in a pass, and so about the largest in a batch, so
            that failures, most rows at first, do not swamp it; fewer come as they come. None trains on all.
        group: rows of a query stand together in training order, so that a batch encodes its prompts once.
        deduplicate: drop a row of an iteration that repeats query, instruction and tokens of another.
    """

    def __init__(
        self, window: int, max_wrong_fraction: float | None, deduplicate: bool, group: bool = True
    ) -> None:
        self.window = window
        self.max_wrong_fraction = max_wrong_fraction
        self.deduplicate = deduplicate
        self.group = group
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

        They are passes: each holds every right row and as many wrong ones as ``max_wrong_fraction`` allows,
        taken in turn, so that no row comes twice before every other of its class came once. Within a pass
        queries are shuffled, with their rows together, or all rows are. Without a right row a pass holds all
        wrong ones, unless none are wanted.

        Raises:
            UserError: there is nothing to train on.
        """
        rows = self.rows()
        share = 1.0 if self.max_wrong_fraction is None else self.max_wrong_fraction
        right, wrong = [r for r in rows if r.correct], [r for r in rows if not r.correct]
        num_wrong = len(wrong)
        if right and share < 1:
            num_wrong = min(num_wrong, round(len(right) * share / (1 - share)))
        elif not share:
            num_wrong = 0
        if not right and not num_wrong:
            raise UserError(
                f"nothing to train on in iteration {self.newest}: {len(rows)} rows in the buffer, "
                f"{len(right)} of them correct, buffer.max_wrong_fraction={self.max_wrong_fraction}; "
                "sample more (sampling.num_samples), or start from a model that is sometimes right"
            )
        walk = _passes(wrong, rng)
        plan: list[TrainingExample] = []
        while len(plan) < num_batches * batch_size:
            queries: dict[str | int, list[TrainingExample]] = {}
            for number, row in enumerate([*right, *(next(walk) for _ in range(num_wrong))]):
                queries.setdefault(row.query if self.group else number, []).append(row)
            groups = list(queries.values())
            rng.shuffle(groups)
            plan += [row for group in groups for row in group]
        return plan[: num_batches * batch_size]

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
