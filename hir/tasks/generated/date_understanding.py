"""Generated dates: "Today is Sep 9, 1951. What is the date tomorrow in MM/DD/YYYY?" -> (C), one of six dates.

Rows in the style of BIG-bench's date_understanding: its stories, questions and wrong options, in other years.
"""

import random
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from hir.config.schema import limited
from hir.records import Example
from hir.tasks.base import GeneratedTask, choice_row, register

STORIES = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
"""{t} is today, {y} yesterday, {n} tomorrow; {T} writes it as Sep 9, 1951 and {t_us} as 9/9/1951. After @
stand the first and the last month, and the first and the last day of a month, that a story fits."""
YEARS = [*range(1944, 1963), *range(1974, 1985), *range(2022, 2040)]  # BIG-bench's stories are told in others
ORDINALS = "tenth first second third fourth fifth sixth seventh eighth ninth".split()
DAYS = {"today": 0, "tomorrow": 1, "yesterday": -1, "24 hours later": 1, "10 days ago": -10}
DAYS |= {"one week ago from today": -7, "one week from today": 7}
MONTHS = {"a month ago": -1, "one year ago from today": -12}


@dataclass(frozen=True)
class Settings:
    """Difficulty of date_understanding (``task.settings.*``)."""

    num_stories: int = limited(40, "[1, 40]")
    """How many of the stories are told, the plainest first."""


@register("date_understanding")
class DateUnderstanding(GeneratedTask[Settings]):
    """Work out a date from a story that tells what day it is; the options are six dates in a random order."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        story, t = tell(rng.choice(STORIES[: self.settings.num_stories]), rng)
        asked = rng.choice([*DAYS, *MONTHS])
        answer = shift(t, MONTHS.get(asked, 0), DAYS.get(asked, 0))
        dates = {answer}
        while len(dates) < 6:
            near, far = rng.randint(-1, 1), rng.randint(-60, 60)
            months, days = rng.choice(((0, near), (0, far), (far // 6, 0), (12 * far, 0)))
            dates.add(shift(rng.choice(sorted(dates)), months, days))
        options = [f"{day:%m/%d/%Y}" for day in rng.sample(sorted(dates), 6)]
        stem = f"{story} What is the date {asked} in MM/DD/YYYY?"
        return choice_row(stem, options, options.index(f"{answer:%m/%d/%Y}"))


def shift(day: date, months: int, days: int = 0) -> date:
    """So much later. Months later it is the same day, or the month's last if that has no such."""
    year, month = divmod(12 * day.year + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1])) + timedelta(days)


def tell(story: str, rng: random.Random) -> tuple[str, date]:
    """A story in words, and the day it is told on."""
    text, _, when = story.partition(" @")
    low, high, first, last = map(int, (when or "1-12-1-31").split("-"))  # by default not Feb 29
    month = rng.randint(low, high) * (3 if "quarter" in text else 1)
    year = 2000 + 10 * month if "palindrome" in text else rng.choice(YEARS)
    t = date(year, month, min(rng.randint(first, last), monthrange(year if when else 2001, month)[1]))
    t += timedelta((3 - t.weekday()) % 7 if "Thanksgiving" in text else 0)
    k, many = rng.randint(4, 9), rng.randint(20, 200)
    days = {"n": 1, "y": -1, "yy": -2, "week": -7, "soon": k, "old": -many, "later": 7, "first": 1 - t.day}
    months = {"t": 0, "past": -12 * k, "golden": -600, "born": -192, "start": 1 - k}
    dates = {x: shift(t, 0, n) for x, n in days.items()} | {x: shift(t, n) for x, n in months.items()}
    words: dict[str, object] = {x.upper(): f"{d:%b} {d.day}, {d.year}" for x, d in dates.items()}
    words |= {f"{x}_us": f"{d.month}/{d.day}/{d.year}" for x, d in dates.items()}
    words |= {"day": ORDINALS[t.day % 10], "month": ORDINALS[month % 10], "quarter": ORDINALS[month // 3]}
    words |= {"a": rng.choice("Alice Clara Emma Nora".split()), "b": rng.choice("Adam Carl Paul Tom".split())}
    return text.format(k=k, many=many, hours=24 * (31 - t.day) + 2 * k, **dates, **words), t
