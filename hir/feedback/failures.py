"""How many answers a judge may fail to judge."""

from __future__ import annotations

from collections.abc import Sequence

from hir.errors import UserError
from hir.records import Verdict

FEW = 8
"""Answers of which any number may fail."""


def check_failures(verdicts: Sequence[Verdict], judge: str) -> None:
    """Raises UserError where most verdicts are none: training would go on with what happens to be left."""
    notes = [verdict.note for verdict in verdicts if not verdict.judged]
    if len(verdicts) >= FEW and len(notes) > len(verdicts) / 2:
        raise UserError(f"{judge} failed on {len(notes)} of {len(verdicts)} answers: {notes[0]}")
