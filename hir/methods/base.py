"""What a method is. A file of this folder that registers a method under its own name is found by itself."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from hir.config.values import read_settings
from hir.policies.base import Batch, Policy
from hir.records import Rollout, TrainingExample
from hir.registry import Registry
from hir.relabel.base import Relabel


class Method:
    """How rollouts become training rows, and the loss on a batch of those.

    A method that has weights of its own is an nn.Module too: they are trained and saved with the policy's. It
    is made with its settings, the relabeling, which says what instruction an answer fits, and the policy.
    """

    on_policy: ClassVar[bool] = False
    """Whether it learns from what was just sampled alone; settings under which it would not are refused."""
    samples: ClassVar[bool] = True
    """Whether it learns from the policy's answers; where not, none are drawn, and it is given the targets."""
    reads_targets: ClassVar[bool] = False
    """Whether it is trained on targets beside answers; rows must have them then."""
    min_samples: ClassVar[int] = 1
    """Least answers to a query."""
    asks_policy: ClassVar[bool] = False
    """Whether ``relabel`` asks the policy, which must then be whole on each device."""

    @dataclass
    class Settings:
        """What it can be told (``method.*``)."""

    def __init__(self, config: Any, relabel: Relabel, policy: Policy) -> None:
        self.config = config

    def instruction(self, rollout: Rollout) -> str | None:
        """For the log: what this answer is trained under, as it was sampled, or None where it is not."""
        return rollout.instruction

    def relabel(self, rollouts: Sequence[Rollout], rng: random.Random) -> list[TrainingExample]:
        """Training rows made from judged answers, all samples of a query together."""
        return [TrainingExample.of(r, text) for r in rollouts if (text := self.instruction(r))]

    def loss(self, policy: Policy, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and its terms by name for the log."""
        raise NotImplementedError


METHODS: Registry[type[Method]] = Registry(__package__, "method.name")
register = METHODS.register


def build_method(config: Mapping[str, Any], relabel: Relabel, policy: Policy) -> Method:
    """The method that ``method.name`` names, with its settings; UserError if there is none."""
    kind = METHODS[config["name"]]
    return kind(read_settings(kind.Settings, "method", config), relabel, policy)
