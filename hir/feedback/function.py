"""A Python function of yours as the judge; examples/judge.py has one."""

import importlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hir.config.schema import check, limited
from hir.errors import UserError
from hir.feedback.base import Feedback, check_failures, register
from hir.records import Example, Verdict


@register("function")
class Function:
    """Feedback that asks a function, and believes no more of what it returns than it has checked."""

    @dataclass
    class Settings:
        function: str = ""
        """module:function, called with lists of rows and outputs. It returns for each output true or false,
        a score from 0 to 1, or a Verdict (hir/records.py)."""
        threshold: float = limited(1.0, "(0, 1]")
        """Least score that is right."""

    graded = True

    def __init__(self, settings: Settings, own: Feedback) -> None:
        self.threshold, self.name = settings.threshold, f"feedback.function={settings.function}"
        module, _, function = settings.function.partition(":")
        check(bool(module and function), "feedback.function", "module:function", settings.function)
        try:
            self.function: Any = getattr(importlib.import_module(module), function)
        except (Exception, SystemExit) as error:  # a module of the user's may raise anything
            raise UserError(f"{self.name} cannot be imported: {_in_short(error)}") from error

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        try:
            given = self.function([*rows], [*outputs]) if rows else ()
            # Scores may be NumPy's or torch's.
            values = [value.item() if hasattr(value, "item") else value for value in given]
        except (Exception, SystemExit) as error:  # and so may a function
            [*_, where] = traceback.extract_tb(error.__traceback__)[:2]  # its own line, or this call of it
            raise UserError(f"{self.name}: {_in_short(error)} ({where.filename}:{where.lineno})") from error
        if len(values) != len(rows):
            raise UserError(f"{self.name} returned {len(values)} verdicts on {len(rows)} outputs")
        return check_failures(list(map(self._verdict, values, rows)), self.name)

    def _verdict(self, value: Any, row: Example) -> Verdict:
        parts = (0, len(row.constraints))
        if _is_score(value):
            return Verdict(value >= self.threshold, float(value))
        if isinstance(value, Verdict) and _is_score(value.score):
            # NumPy's, too, as plain values: they are written to files.
            met = tuple(map(bool, () if value.met is None else value.met))
            if len(met) in parts:
                return replace(value, correct=bool(value.correct), score=float(value.score), met=met)
        rule = "true or false, a score from 0 to 1, or a Verdict with such a score and a part a constraint"
        raise UserError(f"{self.name} returned {_in_short(value)}: it must be {rule}")


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1  # which NaN is not


def _in_short(value: Any) -> str:
    text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else repr(value)
    return " ".join(text.split())[:240]
