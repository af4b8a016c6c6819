"""Constraints: feedback that says which parts of a row's own instruction an answer meets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from hir.errors import UserError, reason
from hir.feedback.base import Feedback, Match, register
from hir.records import Constraint, Example, Verdict

CHECKERS: dict[str, Callable[..., bool]] = {}
"""By kind, whether an output meets such a constraint, called with its arguments; tasks add their own."""


def check(constraint: Constraint, output: str) -> bool:
    """Whether the output meets the constraint, which one without a visible character never does."""
    return output.strip() != "" and CHECKERS[constraint.kind](output, **dict(constraint.arguments))


def read_constraints(given: Any) -> tuple[Constraint, ...]:
    """The constraints of a row of a file, objects with a text, a kind and its arguments; UserError."""
    made = dict[Constraint, Constraint]()
    for one in given if isinstance(given, list) else [given]:
        fields = one if isinstance(one, dict) else {}
        text, kind, arguments = map(fields.get, ("text", "kind", "arguments"))
        if not isinstance(text, str) or not isinstance(arguments, dict) or str(kind) not in CHECKERS:
            raise UserError(f"constraints: {one!r:.80} has no text, known kind and object of arguments")
        values = (tuple(v) if isinstance(v, list) else v for v in arguments.values())
        constraint = Constraint(text, str(kind), (*zip(arguments, values, strict=True),))
        try:
            check(made.setdefault(constraint, constraint), "a")
        except Exception as error:  # a checker fails at arguments of other types in any way
            raise UserError(f"constraints: {text!r:.80}: {reason(error)}") from error
    return tuple(made)


@register("constraints")
@dataclass(frozen=True)
class Constraints:
    """Right is what meets all constraints of its row; a row without any goes to the task's own feedback."""

    @dataclass
    class Settings:
        """None."""

    settings: Settings | None = None
    own: Feedback = Match()
    graded = True

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        pairs = list(zip(rows, outputs, strict=True))
        plain = [(row, output) for row, output in pairs if not row.constraints]
        others = iter(self.own(*map(list, zip(*plain, strict=True)))) if plain else iter(())
        met = (tuple(check(c, output) for c in row.constraints) for row, output in pairs)
        return [Verdict(all(parts), fmean(parts), parts) if parts else next(others) for parts in met]
