"""ReplayBuffer: the relabeled rows of the last iterations, and the order in which they are trained on."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from hir.config.schema import BufferConfig
from hir.records import TrainingExample


class ReplayBuffer:
    """Rows of a window of iterations, counted back from the newest one; BufferConfig has the settings."""

    def __init__(self, config: BufferConfig) -> None:
        self.config = config
        self.iterations: dict[int, list[TrainingExample]] = {}

    def rows(self) -> list[TrainingExample]:
        """All rows, oldest iteration first."""
        return [row for iteration in sorted(self.iterations) for row in self.iterations[iteration]]

    def extend(self, iteration: int, rows: Iterable[TrainingExample]) -> None:
        """Put in the rows of an iteration, in place of any it had, and drop what left the window."""
        self.iterations[iteration] = list(dict.fromkeys(rows)) if self.config.deduplicate else list(rows)
        if window := self.config.window:
            self.iterations = {i: kept for i, kept in self.iterations.items() if i > iteration - window}

    def plan(self, num_batches: int, batch_size: int, rng: random.Random) -> list[TrainingExample]:
        """Rows of an epoch in training order, ``num_batches * batch_size`` of them.

        Rows are taken in shuffled passes, so that none comes twice before every other of its class came once.
        With ``max_wrong_fraction`` right and wrong rows have passes of their own, and each batch has the same
        share of wrong ones, but for rounding. Without a right row all are wrong; where there are none either,
        or none are wanted, there is no plan.
        """
        rows, share = self.rows(), self.config.max_wrong_fraction
        right, wrong = [r for r in rows if r.correct], [r for r in rows if not r.correct]
        if not right and (share == 0 or not wrong):
            return []
        if share is None:
            return list(islice(self._passes(rows, rng), num_batches * batch_size))
        wrong_a_batch = batch_size * (min(share, len(wrong) / len(rows)) if right else 1)
        of_right, of_wrong = self._passes(right, rng), self._passes(wrong, rng)
        plan: list[TrainingExample] = []
        for batch in range(num_batches):
            num_wrong = int((batch + 1) * wrong_a_batch) - int(batch * wrong_a_batch)
            plan += [*islice(of_right, batch_size - num_wrong), *islice(of_wrong, num_wrong)]
        return plan

    def _passes(self, rows: Sequence[TrainingExample], rng: random.Random) -> Iterator[TrainingExample]:
        """Rows in shuffled passes without end, those of a query together if they are grouped."""
        queries: dict[Any, list[TrainingExample]] = {}
        for number, row in enumerate(rows):
            asked = row.query, frozenset((row.instruction, *row.contrast))  # which may be a query's own
            queries.setdefault(asked if self.config.group else number, []).append(row)
        groups = list(queries.values())
        while groups:
            rng.shuffle(groups)
            for group in groups:
                yield from group
