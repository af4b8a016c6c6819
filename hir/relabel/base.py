"""What a relabeling is. A file of this folder that registers one under its own name is found by itself."""

from __future__ import annotations

from typing import Protocol

from hir.config.schema import InstructionConfig, RelabelConfig
from hir.records import Example, Rollout
from hir.registry import Registry


class Relabel(Protocol):
    """The script phi of the paper (Zhang et al. 2023, Section 4.1): p, q, o and the feedback make p*.

    Args:
        instructions: the texts of the configuration.
        config: which relabeling, and its settings.
    """

    texts: tuple[str, ...]
    """Every instruction that does not depend on a row, the goal first: for lengths."""

    def __init__(self, instructions: InstructionConfig, config: RelabelConfig) -> None: ...

    def goal(self, row: Example) -> str:
        """The instruction that a query is asked under, in sampling and in evaluation."""
        ...

    def opposite(self, row: Example) -> str:
        """The instruction under which a policy that follows instructions would miss the goal."""
        ...

    def instruction(self, rollout: Rollout) -> str | None:
        """p*, the instruction that the answer fits; None where it fits none, and is left out."""
        ...

    def contrast(self, rollout: Rollout) -> tuple[str, ...]:
        """Instructions that the answer does not fit, the likeliest to be taken for p* first."""
        ...


RELABELS: Registry[type[Relabel]] = Registry(__package__, "relabel.name")
register = RELABELS.register


def build_relabel(instructions: InstructionConfig, config: RelabelConfig) -> Relabel:
    """The relabeling of hir/relabel/<config.name>.py; UserError if there is none."""
    return RELABELS[config.name](instructions, config)
