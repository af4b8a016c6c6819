"""Generated object counting: "I have two cats, a lamp, and a goat. How many animals do I have?" -> 3.

Rows in the style of BIG-Bench Hard's object_counting, any number of them, as hard as the settings say.
"""

import random
from dataclasses import dataclass

from hir.config.schema import limited
from hir.errors import UserError
from hir.records import Example
from hir.tasks.base import GeneratedTask, register

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLURALS = {"peach": "peaches", "cherry": "cherries", "potato": "potatoes", "couch": "couches"}
THINGS = {
    "animals": "cat dog goat pig cow duck frog bear",
    "fruits": "apple banana peach plum grape orange cherry pear",
    "vegetables": "carrot onion potato cabbage yam leek turnip pepper",
    "musical instruments": "piano flute violin drum trumpet clarinet harp guitar",
    "objects": "lamp chair table bed stove oven couch car",
}
# (singular with article, plural) by category.
CATEGORIES = {
    category: [(f"{'an' if s[0] in 'aeiou' else 'a'} {s}", PLURALS.get(s, f"{s}s")) for s in things.split()]
    for category, things in THINGS.items()
}
CATEGORIES["objects"] = [thing for things in CATEGORIES.values() for thing in things]  # which all of them are
OTHERS = {name: [t for t in CATEGORIES["objects"] if t not in things] for name, things in CATEGORIES.items()}


@dataclass(frozen=True)
class Settings:
    """Difficulty of object_counting (``task.settings.*``)."""

    min_items: int = limited(2, "[1, 8]")
    """Fewest things listed of the category asked for; also the smallest answer."""
    max_items: int = limited(5, "[1, 8]")
    """Most things listed of that category."""
    max_count: int = limited(3, "[1, 9]")
    """Largest count of one thing; 1 lists single things only."""
    max_answer: int = 9
    """Largest answer, up to max_items x max_count; 9 keeps it to one digit (18 in BIG-Bench Hard)."""
    max_distractors: int = limited(0, "[0, 8]")
    """Most things listed besides, of other categories."""

    def __post_init__(self) -> None:
        if not self.min_items <= min(self.max_items, self.max_answer):
            raise UserError("task.settings: min_items must be at most max_items and max_answer")
        if self.max_answer > self.max_items * self.max_count:
            raise UserError("task.settings: max_answer <= max_items x max_count must hold")


@register("object_counting")
class ObjectCounting(GeneratedTask[Settings]):
    """Count the things of one category in a list; the answer is a number in digits."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        # The answer first, evenly: as sums of random counts small and large ones would be rare, and a policy
        # that never tries an answer never hears that it is right.
        category = rng.choice(list(CATEGORIES))
        total = rng.randint(self.settings.min_items, self.settings.max_answer)
        listed = list_of_things(self.settings, category, total, rng)
        return Example(query=f"I have {listed}. How many {category} do I have?", targets=(str(total),))


def list_of_things(s: Settings, category: str, total: int, rng: random.Random) -> str:
    """A list in words, with ``total`` things of the category."""
    num_items = rng.randint(max(s.min_items, -(-total // s.max_count)), min(s.max_items, total))
    num_distractors = rng.randint(0, s.max_distractors)
    asked = rng.sample(CATEGORIES[category], num_items)
    others = rng.sample(OTHERS[category], min(num_distractors, len(OTHERS[category])))
    counts = [1] * len(asked)
    for _ in range(total - len(asked)):
        counts[rng.choice([i for i, count in enumerate(counts) if count < s.max_count])] += 1
    counts += [rng.randint(1, s.max_count) for _ in others]
    phrases = [
        singular if count == 1 else f"{NUMBER_WORDS[count]} {plural}"
        for (singular, plural), count in zip(asked + others, counts, strict=True)
    ]
    rng.shuffle(phrases)
    return ", ".join(phrases[:-1]) + f", and {phrases[-1]}" if len(phrases) > 1 else phrases[0]
