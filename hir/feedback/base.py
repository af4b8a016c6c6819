"""What feedback is. A file of this folder that registers one under its own name is found by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hir.config.schema import FeedbackConfig
from hir.records import Example, Verdict
from hir.registry import Registry


class Feedback(Protocol):
    """Judges answers, a batch at a time. It alone, and supervised baselines, may read targets."""

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        """The verdict on the output to each row."""
        ...

    def about(self, rows: Sequence[Example]) -> str:
        """How it judges such rows, in a few words for the run's header."""
        ...


class FromConfig(Protocol):
    """What a file of this folder registers."""

    def __call__(self, config: FeedbackConfig, own: Feedback) -> Feedback:
        """The feedback, given that of the task's own, which it may ask."""
        ...


FEEDBACKS: Registry[FromConfig] = Registry(__package__, "feedback.name")
register = FEEDBACKS.register


def build_feedback(config: FeedbackConfig, own: Feedback) -> Feedback:
    """The feedback of hir/feedback/<config.name>.py, the task's own for null; UserError if there is none."""
    return own if config.name is None else FEEDBACKS[config.name](config, own)
