"""What feedback is. A file of this folder that registers one under its own name is found by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hir.config.values import read_settings
from hir.errors import UserError
from hir.records import Example, Verdict
from hir.registry import Registry


class Feedback(Protocol):
    """Judges answers, a batch at a time. It alone, and supervised baselines, may read targets.

    Where its scores say more than right or wrong it has ``graded = True``.
    """

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        """The verdict on the output to each row."""

    def about(self, rows: Sequence[Example]) -> str:
        """How it judges such rows, in a few words for the run's header."""


FEW = 8
"""Answers of which a judge may fail to judge any number."""


def unjudged(note: str) -> Verdict:
    """What a judge says of an answer that it failed to judge, and why it did."""
    return Verdict(False, 0.0, judged=False, note=note)


def check_failures(verdicts: list[Verdict], judge: str) -> list[Verdict]:
    """The verdicts; UserError where most are none: training would go on with what happens to be left."""
    notes = [verdict.note for verdict in verdicts if not verdict.judged]
    if len(verdicts) >= FEW and len(notes) > len(verdicts) / 2:
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
