"""Match: feedback that compares an output with the targets of its row; options.py has the judge of a choice.

A judge gives nothing for an answer inside a longer output, and credits another way of writing an answer only
where it could mean nothing else: what it wrongly accepts, training will find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hir.feedback.normalise import normalise_answer, without_prompt_cue
from hir.records import Example, Verdict

Verifier = Callable[[Example, str], bool]
"""Whether an output is a right answer to a row."""


def exact_match(example: Example, output: str) -> bool:
    """Whether the output equals a target after :func:`normalise_answer`; an empty one never does.

    The prompt's own cue, "A:", may stand before it.
    """
    answers = {normalise_answer(output), normalise_answer(without_prompt_cue(output))} - {""}
    return not answers.isdisjoint(map(normalise_answer, example.targets))


@dataclass(frozen=True)
class Match:
    """Feedback that asks a judge about one output after the other: right is 1, wrong 0."""

    verify: Verifier

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
