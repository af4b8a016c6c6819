"""Generated swaps in the stories of BIG-bench's tracking_shuffled_objects, rendered as in BIG-Bench Hard."""

import random
from dataclasses import dataclass
from pathlib import Path

from hir.config.schema import limited
from hir.config.values import read_yaml
from hir.records import Example
from hir.tasks.base import GeneratedTask, choice_row, register

KNOWN = "Alice Bob Claire Dave Eve Fred Gertrude".split()
NEW = "Henry Iris Jack Kate Liam Maria Noah Olga".split()
"""No row of BIG-bench has these, and every row here has one of them: none is met here."""
TEXT = """{people} are {doing}. At the start of {start}, they {first}: {have}.
{goes_on}. {swaps}At the end of {end}, {asked} {holds}"""
STORIES = [*read_yaml(Path(__file__).with_suffix(".yaml")).values()]


@dataclass(frozen=True)
class Settings:
    """Difficulty of tracking_shuffled_objects_* (``task.settings.*``)."""

    num_swaps: int | None = limited(None, "[2, 50]")
    """Swaps; null for as many as there are people."""


@register(
    "tracking_shuffled_objects_three_objects",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
)
class TrackingShuffledObjects(GeneratedTask[Settings]):
    """People swap what they have, two at a time; say what one of them has in the end."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        n = {"three": 3, "five": 5, "seven": 7}[self.name.split("_")[3]]
        story = rng.choice(STORIES)
        odd = rng.choice(NEW)
        people = rng.sample([odd, *rng.sample([name for name in KNOWN + NEW if name != odd], n - 1)], n)
        things = rng.sample(story["things"].split(", "), n)
        now, told, pair = dict(zip(people, things, strict=True)), "", ("", "")
        for word in ["First", *["Then"] * ((self.settings.num_swaps or n) - 2), "Finally"]:
            a, b = pair = rng.choice([(p, q) for p in people for q in people if p != q and {p, q} != {*pair}])
            now[a], now[b], told = now[b], now[a], f"{told}{word}, {a} and {b} {story['swap']}. "
        asked = rng.choice(people)
        all_people, at_first = (
            ", ".join(texts[:-1]) + f", and {texts[-1]}"
            for texts in (people, [f"{p} {story['has']} {t}" for p, t in zip(people, things, strict=True)])
        )
        stem = TEXT.format(people=all_people, have=at_first, swaps=told, asked=asked, **story)
        return choice_row(stem, things, things.index(now[asked]))
