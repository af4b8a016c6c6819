"""What methods that weigh probabilities, PPO and GRPO, ask of a policy besides a forward pass."""

import copy
from collections.abc import Callable, Sequence

from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from hir.losses import chosen_log_probs, token_log_probs
from hir.policies.base import Batch, Output, Policy, evaluating
from hir.records import TrainingExample

SCORED_ROWS = 128
"""Rows a forward pass."""


class ScoringPolicy(Policy):
    """A Policy that scores rows, and remembers what it was."""

    def score(
        self,
        rows: Sequence[TrainingExample],
        values: Callable[[Batch, Output], Tensor],
        model: Callable[[Batch], Output] | None = None,
    ) -> list[tuple[float, ...]]:
        """A number for each trained token of the rows, in eval mode and without gradients.

        Args:
            rows: in whatever number.
            values: gives the numbers (N,) of a batch, from what the policy makes of it.
            model: in place of the policy, such as what ``frozen`` gave.
        """
        scores: list[tuple[float, ...]] = []
        for start in range(0, len(rows), SCORED_ROWS):
            batch = move_data_to_device(self.collate(rows[start : start + SCORED_ROWS]), self.device)
            with evaluating(self):
                numbers = values(batch, (model or self)(batch))
            scores += [tuple(part.tolist()) for part in numbers.split(batch["rows"].bincount().tolist())]
        return scores

    def frozen(self) -> Callable[[Batch], Output]:
        """The policy with its weights of now, for good: a copy, or itself with its adapters off."""
        if hasattr(self.model, "disable_adapter"):

            def without_adapters(batch: Batch) -> Output:
                with self.model.disable_adapter():
                    output: Output = self(batch)
                return output

            return without_adapters
        twin = copy.deepcopy(self, {id(self.tokenizer): self.tokenizer}).requires_grad_(False).eval()
        return lambda batch: twin.to(self.device)(batch)


def label_log_probs(batch: Batch, output: Output) -> Tensor:
    """(N,) log-probabilities of a batch's trained tokens under their own instruction."""
    return chosen_log_probs(token_log_probs(output.logits[0]), batch["labels"])
