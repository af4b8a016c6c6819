"""What a relabeling is. A file of this folder that registers one under its own name is found by itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hir.config.schema import InstructionConfig
from hir.config.values import read_settings
from hir.records import Constraint, Example, Rollout
from hir.registry import Registry


def stated(text: str, constraints: Iterable[Constraint]) -> str:
    """An instruction with the constraints it asks for, if it asks for any."""
    return " ".join([text, "; ".join(constraint.text for constraint in constraints)]).strip()


RELABELS: "Registry[type[Relabel]]" = Registry(__package__, "relabel.name")
register = RELABELS.register


@register("correctness")
class Relabel:
    """The script phi of the paper (Zhang et al. 2023, Section 4.1): p, q, o and the feedback make p*.

    As it stands it is the paper's: p_correct for right answers, p_wrong for others. Constraints follow both.
    """

    @dataclass
    class Settings:
        """What of ``relabel.*`` it knows."""

    def __init__(self, instructions: InstructionConfig, config: Any = None) -> None:
        self.correct, self.wrong = instructions.correct, instructions.wrong
        self.texts = tuple(dict.fromkeys((self.correct, self.wrong, *instructions.others)))
        """Every instruction that does not depend on a row, the goal first: for lengths."""

    def goal(self, row: Example) -> str:
        """The instruction that a query is asked under, in sampling and in evaluation."""
        return stated(self.correct, row.constraints)

    def opposite(self, row: Example) -> str:
        """The instruction under which a policy that follows instructions would miss the goal."""
        return stated(self.wrong, row.constraints)

    def achieved(self, rollout: Rollout) -> bool:
        """Whether p* asks for what the answer did well; where not it asks for a failure."""
        return rollout.correct

    def select(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The answers to train on."""
        return list(rollouts)

    def instruction(self, rollout: Rollout) -> str | None:
        """p*, the instruction that the answer fits; None where it fits none, and is left out."""
        return stated(self.correct if rollout.correct else self.wrong, rollout.constraints)

    def contrast(self, rollout: Rollout) -> tuple[str, ...]:
        """Instructions that the answer does not fit, the likeliest to be taken for p* first."""
        own = self.correct if rollout.correct else self.wrong
        return tuple(stated(text, rollout.constraints) for text in self.texts if text != own)


def build_relabel(instructions: InstructionConfig, config: Mapping[str, Any]) -> Relabel:
    """The relabeling that ``relabel.name`` names; UserError if there is none."""
    kind = RELABELS[config["name"]]
    return kind(instructions, read_settings(kind.Settings, "relabel", config))
