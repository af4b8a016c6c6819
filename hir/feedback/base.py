"""What feedback is. A file of this folder that registers one under its own name is found by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hir.config.values import read_settings
from hir.errors import UserError
from hir.feedback.answers import multiple_choice
from hir.records import Example, Verdict
from hir.registry import Registry

Feedback = Callable[[Sequence[Example], Sequence[str]], list[Verdict]]
"""Judges answers, a batch at a time: rows and outputs to verdicts. It alone, and supervised baselines, may
read targets. Where its scores say more than right or wrong it has ``graded = True``."""

Verifier = Callable[[Example, str], bool]
"""Whether an output is a right answer to a row."""


@dataclass(frozen=True)
class Match:
    """Feedback that asks a judge about one output after the other: right is 1, wrong 0."""

    verify: Verifier = multiple_choice  # exact match where a row has no options

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        verdicts = [self.verify(row, output) for row, output in zip(rows, outputs, strict=True)]
        return [Verdict(correct, float(correct)) for correct in verdicts]


def unjudged(note: str) -> Verdict:
    """What a judge says of an answer that it failed to judge, and why it did."""
    return Verdict(False, 0.0, judged=False, note=note)


def check_failures(verdicts: list[Verdict], judge: str) -> list[Verdict]:
    """The verdicts; UserError where most of 8 or more are none: training would go on with what is left."""
    notes = [verdict.note for verdict in verdicts if not verdict.judged]
    if len(verdicts) >= 8 and len(notes) > len(verdicts) / 2:
        raise UserError(f"{judge} failed on {len(notes)} of {len(verdicts)} answers: {notes[0]}")
    return verdicts


FEEDBACKS: Registry[Any] = Registry(__package__, "feedback.name")
"""Classes with a dataclass ``Settings``, made as ``kind(settings, own)``; ``own`` is the task's feedback."""
register = FEEDBACKS.register


def build_feedback(config: Mapping[str, Any], own: Feedback) -> Feedback:
    """The feedback that ``feedback.name`` names, the task's own for null; UserError if there is none."""
    if config["name"] is None:
        return own
    kind = FEEDBACKS[config["name"]]
    feedback: Feedback = kind(read_settings(kind.Settings, "feedback", config), own)
    return feedback
