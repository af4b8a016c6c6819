"""No training: the start weights, sampled and evaluated as any method's are."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from hir.methods.base import Method, register
from hir.policies.base import Batch, Policy
from hir.records import Rollout, TrainingExample


@register("none")
class NoTraining(Method):
    """L = 0: the row "no training" of HIR's paper (Zhang et al. 2023, arXiv 2302.05206).

    The loss hangs on no weight, so no weight has a gradient, and an optimizer passes by weights without one:
    they stay what they were, bit for bit. (With gradients of zero, AdamW would still shrink them.)
    """

    def instruction(self, rollout: Rollout) -> str | None:
        """None: no answer is trained on."""
        return None

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """One row an answer, as it was sampled, for batches to be made of."""
        return [TrainingExample.of(rollout, rollout.instruction) for rollout in rollouts]

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.zeros((), device=batch["weights"].device, requires_grad=True), {}
