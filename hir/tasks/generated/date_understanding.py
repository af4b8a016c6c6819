"""Generated dates: "Today is Sep 9, 1951. What is the date tomorrow in MM/DD/YYYY?" -> (C), one of six dates.

Rows in the style of BIG-bench's date_understanding: its stories, questions and wrong options, in other years.
"""

import random
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from hir.config.schema import limited
from hir.feedback.answers import option_letter
from hir.records import Example
from hir.tasks.base import GeneratedTask, register

# {t} is today, {y} yesterday, {n} tomorrow; {T} writes it as Sep 9, 1951 and {t_us} as 9/9/1951.
# After @: the first and last month and the first and last day of a month that a story fits.
STORIES = """Today is {T}. | It is {t_us} today. | Today, {t_us}, is a day that we will never forget. | The
current local time is 3:02 pm of {t_us}. | Tomorrow is {n_us}. | Yesterday was {y:%B} {y.day}, {y.year}. | The
day before yesterday was {yy_us}. | {a} booked a flight for tomorrow, {N}. | Today's meeting is rescheduled to
11 am tomorrow, {n_us}. | {a} scheduled {k} appointments with 5 people for tomorrow ({n:%a}, {n_us}). |
Yesterday, {Y}, {a} ate 2 pizzas and {k} wings. | Today is {T}. {a}'s appointment will be {k} days later. |
{a} thinks today is {t_us}, but {b} thinks today is {n_us}. {a} is correct. | {a} thinks today is {y_us}, but
{b} thinks today is {t_us}. {b} is correct. | {a} thought today is {y_us}, but today is in fact {t:%b}
{t.day}, which is 1 day later. | The concert was scheduled to be on {y:%m/%d/%Y}, but was delayed by one day
to today. | Today is {t.month}/{t.day}, and it is {a}'s second time in the year {t.year} to see a meteor
shower. | In the UK, people usually put the day before the month when formatting the date. Therefore, today is
{t:%d/%m/%Y} to them. | It was {WEEK} a week ago. | The deadline is {SOON}, which is {k} days away from now. |
{a} quit her job on {OLD}. {many} days have passed since then. | On {OLD} {a} bought {many} eggs. From the
next day on she ate one per day. Today she ate the last one. | {PAST} is like yesterday to {a}, but that is
actually {k} years ago. | {a} and {b} married on {PAST}. It is their {k}-year anniversary today. | {a} and {b}
married on {GOLDEN}. Today is their golden wedding anniversary. | Today is the first day of {t.year}. @1-1-1-1
| This is the last day of {t.year}. @12-12-31-31 | Today is Christmas Eve of {t.year}. @12-12-24-24 | {a} is
celebrating the last day of {t:%b} {t.year}. @1-12-31-31 | Today is the last day of the {quarter} quarter of
{t.year}. @1-4-31-31 | Yesterday was {y_us}. Today could not be {y.month}/32/{y.year} because {y:%B} has only
{y.day} days. @1-12-1-1 | Today is the {day} day of the {month} month of {t.year}. @1-10-1-10 | {a} was born
on the last day of February in {born.year}. Today is her 16-year-old birthday. @2-2-31-31 | {a} got her job in
{past.year}. Today is her {k}-year work anniversary. She still remembers that on {n:%b} {n.day}, her second
day at work, she spilled coffee on her laptop. @1-12-1-27 | Today is {t.month}/{t.day}. {a} is watching NFL
{t.year}. @9-12-1-30 | {a} visits the bookstore on the {t.day}th of each month starting from the {start:%B} of
{start.year}. It is her {k}th visit to the bookstore today. @1-12-4-20 | {later.year} is coming in {hours}
hours. @12-12-29-31 | The first day of {t.year} is a {first:%A}, and today is the first {t:%A} of {t.year}.
@1-1-1-7 | In the US, Thanksgiving is on the fourth Thursday of November. Today is the US Thanksgiving of
{t.year}. @11-11-22-22 | Today is the palindrome day of {t.year}, because the MMDDYYYY format of the date is
the same backwards as forwards. @3-9-2-2""".replace("\n", " ").split(" | ")
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
            dates.add(shift(rng.choice((t, answer)), months, days))
        options = tuple(f"{day:%m/%d/%Y}" for day in rng.sample(sorted(dates), 6))
        listed = "\n".join(f"({option_letter(i)}) {text}" for i, text in enumerate(options))
        query = f"{story} What is the date {asked} in MM/DD/YYYY?\nOptions:\n{listed}"
        right = option_letter(options.index(f"{answer:%m/%d/%Y}"))
        return Example(query=query, targets=(f"({right})",), options=options)


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
