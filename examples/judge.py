"""A judge of numbers: train.py feedback.function=examples.judge:near relabel=graded"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hir.records import Example


def near(rows: Sequence[Example], outputs: Sequence[str]) -> list[float]:
    """1 for the right number, a quarter less for each that it is away, 0 from four on and for no number."""
    scores = []
    for row, output in zip(rows, outputs, strict=True):
        right, given = number(row.target), number(output)
        # A number of a hundred digits is far away, too, and would be too large for a float.
        scores.append(0.0 if right is None or given is None else 1 - min(abs(given - right), 4) / 4)
    return scores


def number(text: str) -> int | None:
    """The number that a text is."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,100}", text.strip()) else None
