"""What a relabeling is. A file of this folder that registers one under its own name is found by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from hir.config.schema import InstructionConfig
from hir.config.values import read_settings
from hir.records import Example, Rollout
from hir.registry import Registry


class Relabel(Protocol):
    """The script phi of the paper (Zhang et al. 2023, Section 4.1): p, q, o and the feedback make p*.

    Args:
        instructions: the texts of the configuration.
        config: its settings.
    """

    Settings: ClassVar[type[Any]]
    """A dataclass: what of ``relabel.*`` it knows."""
    texts: tuple[str, ...]
    """Every instruction that does not depend on a row, the goal first: for lengths."""

    def __init__(self, instructions: InstructionConfig, config: Any = None) -> None: ...

    def achieved(self, rollout: Rollout) -> bool:
        """Whether p* asks for what the answer did well; where not it asks for a failure."""

    def select(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The answers to train on."""

    def goal(self, row: Example) -> str:
        """The instruction that a query is asked under, in sampling and in evaluation."""

    def opposite(self, row: Example) -> str:
        """The instruction under which a policy that follows instructions would miss the goal."""

    def instruction(self, rollout: Rollout) -> str | None:
        """p*, the instruction that the answer fits; None where it fits none, and is left out."""

    def contrast(self, rollout: Rollout) -> tuple[str, ...]:
        """Instructions that the answer does not fit, the likeliest to be taken for p* first."""


RELABELS: Registry[type[Relabel]] = Registry(__package__, "relabel.name")
register = RELABELS.register


def build_relabel(instructions: InstructionConfig, config: Mapping[str, Any]) -> Relabel:
    """The relabeling that ``relabel.name`` names; UserError if there is none."""
    kind = RELABELS[config["name"]]
    return kind(instructions, read_settings(kind.Settings, "relabel", config))
