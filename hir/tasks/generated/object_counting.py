"""Generated object counting: "I have two cats, a lamp, and a goat. How many animals do I have?" -> 3.

Rows in the style of BIG-Bench Hard's object_counting, any number of them, as hard as the settings say.
"""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hir.config.schema import limited
from hir.config.values import read_yaml
from hir.errors import UserError
from hir.records import Example
from hir.tasks.base import GeneratedTask, register

NUMBER_WORDS = "zero one two three four five six seven eight nine".split()
THINGS = read_yaml(Path(__file__).with_suffix(".yaml"))
Things = dict[str, list[tuple[str, str]]]


def plurals(words: str) -> dict[str, str]:
    """Each of "cat, mouse/mice", and its plural."""
    pairs = (word.partition("/") for word in words.split(", "))
    return {one: several or f"{one}s" for one, _, several in pairs}


@cache
def things(first: int | None) -> tuple[Things, Things]:
    """(singular with article, plural) of the first things of each category, and of those of the others."""
    inside: Things = {}
    for category, words in THINGS.items():
        names = [*plurals(words).items()][:first]
        inside[category] = [(f"a{'n' * (one[0] in 'aeiou')} {one}", several) for one, several in names]
    inside["objects"] = [thing for those in inside.values() for thing in those]  # which all of them are
    return inside, {name: [t for t in inside["objects"] if t not in those] for name, those in inside.items()}


@dataclass(frozen=True)
class Settings:
    """Difficulty of object_counting (``task.settings.*``)."""

    min_items: int = limited(2, "[1, 14]")
    """Fewest things listed of the category asked for; also the smallest answer."""
    max_items: int = limited(10, "[1, 14]")
    """Most things listed of that category."""
    max_count: int = limited(5, "[1, 9]")
    """Largest count of one thing; 1 lists single things only."""
    max_answer: int = 21
    """Largest answer, up to max_items x max_count (18 in BIG-Bench Hard, 21 in BIG-bench)."""
    max_distractors: int = limited(3, "[0, 8]")
    """Most things listed besides, of other categories, in the rows that have any."""
    even: bool = False
    """Each answer is as often: a policy that never tries one never hears that it is right. False: as often as
    in BIG-bench, where things are mostly single and three of four rows have no distractors."""
    all_things: bool = True
    """Any things, with one that no row of BIG-bench has; false: eight of a category only, 40 objects."""

    def __post_init__(self) -> None:
        if not self.min_items <= min(self.max_items, self.max_answer):
            raise UserError("task.settings: min_items must be at most max_items and max_answer")
        if self.max_answer > self.max_items * self.max_count:
            raise UserError("task.settings: max_answer <= max_items x max_count must hold")
        if self.max_items > 8 and not self.all_things:
            raise UserError("task.settings: max_items must be at most 8 without all_things")


@register("object_counting")
class ObjectCounting(GeneratedTask[Settings]):
    """Count the things of one category in a list; the answer is a number in digits."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        s = self.settings
        category = rng.choice([*THINGS])
        total = rng.randint(s.min_items, s.max_answer) if s.even else None
        fewest, most = s.min_items, min(s.max_items, s.max_answer)
        if total:
            fewest, most = max(fewest, -(-total // s.max_count)), min(most, total)
        num_items = rng.randint(fewest, most)
        num_distractors = rng.randint(0, s.max_distractors) if s.even or rng.random() < 0.25 else 0
        inside, outside = (those[category] for those in things(None if s.all_things else 8))
        asked = rng.sample(inside, num_items)
        others = rng.sample(outside, min(num_distractors, len(outside)))
        if s.all_things and not {*asked} & {*inside[-4:]}:
            asked[0] = rng.choice(inside[-4:])
        counts = [1] * len(asked)
        if total:
            for _ in range(total - len(asked)):
                counts[rng.choice([i for i, count in enumerate(counts) if count < s.max_count])] += 1
            counts += [rng.randint(1, s.max_count) for _ in others]
        else:
            several, counts = s.max_count > 1 and rng.random() < 0.7, [s.max_answer + 1]
            while sum(counts[:num_items]) > s.max_answer:
                counts = [
                    min(rng.randint(2, s.max_count) for _ in "12") if several and rng.random() < 0.3 else 1
                    for _ in (*asked, *others)
                ]
        phrases = [
            singular if count == 1 else f"{NUMBER_WORDS[count]} {plural}"
            for (singular, plural), count in zip(asked + others, counts, strict=True)
        ]
        rng.shuffle(phrases)
        listed = ", ".join(phrases[:-1]) + f", and {phrases[-1]}" if len(phrases) > 1 else phrases[0]
        answer = sum(counts[:num_items])
        return Example(query=f"I have {listed}. How many {category} do I have?", targets=(str(answer),))
