"""Match: feedback that compares an output with the targets of its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hir.feedback.answers import multiple_choice
from hir.records import Example, Verdict

Verifier = Callable[[Example, str], bool]
"""Whether an output is a right answer to a row."""


@dataclass(frozen=True)
class Match:
    """Feedback that asks a judge about one output after the other: right is 1, wrong 0."""

    verify: Verifier = multiple_choice  # exact match where a row has no options

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        verdicts = [self.verify(row, output) for row, output in zip(rows, outputs, strict=True)]
        return [Verdict(correct, float(correct)) for correct in verdicts]

    def about(self, rows: Sequence[Example]) -> str:
        """How the rows are judged: "choice of 2 to 5 options", "exact match", or a judge's own name."""
        name = getattr(self.verify, "__name__", type(self.verify).__name__).replace("_", " ")
        sizes = {len(row.options) for row in rows if row.options}
        if name != "multiple choice":
            return name
        ends = " to ".join(map(str, sorted({min(sizes), max(sizes)}))) if sizes else ""
        return f"choice of {ends} options" if ends else "exact match"
