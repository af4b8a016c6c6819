"""Works out the date asked for: what day a story says it is today, and how far off the question is."""

import calendar
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from hir.tasks.solvers import find

ORDER = "one first two second three third four fourth five fifth six sixth seven seventh eight eighth"
NUMBERS: dict[str, Any] = {word: i // 2 + 1 for i, word in enumerate(ORDER.split())}
NUMBERS |= {"a": 1, "nine": 9, "ninth": 9, "ten": 10, "tenth": 10, "golden wedding": "50-year"}
DAYS = {"day before yesterday": -2, "yesterday": -1, "today": 0, "tomorrow": 1}
NAMED = {"the 1 day": (1, 1), "christmas eve": (12, 24), "the last day": (12, 31)}
MONTHS = calendar.month_abbr[1:]
# What rules read: a full date (year/month/day), a year, a number, a month, a unit.
D, Y, N = r"(\d+/\d+/\d+)", r"\b(\d{4})\b", r"\b(\d+)(?:st|nd|rd|th)?\b"
M, UNIT = rf"\b((?:{'|'.join(MONTHS)})[a-z]*)", r"(hour|day|week|month|year)s?\b"


def solve(stem: str, options: tuple[str, ...]) -> str:
    """The date asked for."""
    text = prepare(stem)
    asked = find(rf"What is the date (?:(today|tomorrow|yesterday)|{N} {UNIT} (ago|from|later))", text)
    day, sign = today(text[: asked.start()]), -1 if asked[4] == "ago" else 1
    day = add(day, DAYS[asked[1]], "day") if asked[1] else add(day, sign * int(asked[2]), asked[3])
    return f"{day:%m/%d/%Y}"


def prepare(text: str) -> str:
    """The text with numbers in digits and full dates as year/month/day."""
    text = re.sub(rf"\b({'|'.join(NUMBERS)})\b", lambda m: str(NUMBERS[m[1].lower()]), text, flags=re.I)
    text = re.sub(rf"{N}/{N}/{Y}", r"\3/\2/\1" if "day before the month" in text else r"\3/\1/\2", text)
    return re.sub(rf"{M}\.? {N}, {Y}", lambda m: f"{m[3]}/{read(m[1])}/{m[2]}", text)


def read(text: str) -> Any:
    """What a part of the text stands for: a date, the number of a month, a number, or just itself."""
    if "/" in text:
        return date(*map(int, text.split("/")))
    return MONTHS.index(text[:3]) + 1 if text[:3] in MONTHS else int(text) if text.isdigit() else text.lower()


def add(day: date, count: int, unit: str) -> date:
    """So much later; a month or year later it is the same day, or the month's last where it has no such."""
    if unit not in ("month", "year"):
        return day + count * timedelta(**{f"{unit}s": 1})
    year, month = divmod(day.year * 12 + day.month - 1 + count * (12 if unit == "year" else 1), 12)
    return days(year, month + 1)[: day.day][-1]


def days(year: int, month: int, weekday: str = "") -> list[date]:
    """The days of a month, or those on one day of the week."""
    every = (date(year, month, i + 1) for i in range(calendar.monthrange(year, month)[1]))
    return [day for day in every if weekday in ("", f"{day:%A}".lower())]


def today(story: str) -> date:
    """The date that the story is told on, by the first rule that reads it."""
    for pattern, rule in RULES.items():
        if match := re.search(pattern, story, re.IGNORECASE):
            return rule(*(group and read(group) for group in match.groups()))
    raise ValueError("cannot read what day it is today")


RULES: dict[str, Callable[..., date]] = {
    rf"(\w+) thinks today is {D}(?=.*\b\1 is correct)": lambda name, d: d,
    rf"(?<!thought )\b({'|'.join(DAYS)})(?: was| is|,)? (?:\(\w+, )?{D}": lambda w, d: d - timedelta(DAYS[w]),
    rf"(?:it|time) is (?:.* of )?{D}": lambda d: d,
    rf"{D} \w+ bought {N}": lambda d, n: d + timedelta(n),
    rf"{D}.*? {N}[ -]{UNIT}( away)?": lambda d, n, unit, away: add(d, -n if away else n, unit),
    rf"last day of {M}(?: in)? {Y}(?:.* {N}-year)?": lambda m, y, n: days(y + (n or 0), m)[-1],
    rf"last day of the {N} quarter of {Y}": lambda n, y: days(y, 3 * n)[-1],
    rf"{N} day of the {N} month of {Y}": lambda d, m, y: date(y, m, d),
    rf"(?:is|on) the {N} (\w+day) of(?: {M}\..* of)? {Y}": lambda n, w, m, y: days(y, m or 1, w)[n - 1],
    rf"is ({'|'.join(NAMED)}) of {Y}": lambda name, y: date(y, *NAMED[name]),
    rf"palindrome day of {Y}": lambda y: date(y, int(f"{y}"[:1:-1]), int(f"{y}"[1::-1])),
    rf"{Y} is coming in {N} hours": lambda y, n: add(date(y, 1, 1), -n, "hour"),
    rf"today is {N}/{N}\b.*{Y}": lambda m, d, y: date(y, m, d),
    rf"the {N} of each month.* {M} of {Y}.* {N} visit": lambda d, m, y, n: add(date(y, m, d), n - 1, "month"),
    rf"job in {Y}.* {N}-year.* {M} {N}, her 2 day": lambda y, n, m, d: date(y + n, m, d) - timedelta(1),
}
