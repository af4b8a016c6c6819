"""Generated object counting: "I have two cats, a lamp, and a goat. How many animals do I have?" -> 3.

Rows in the style of BIG-Bench Hard's object_counting, any number of them, as hard as the settings say.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from hir.errors import UserError
from hir.records import Example
from hir.tasks.base import GeneratedTask, register

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# (singular with article, plural) by category. Every thing is an object, so "objects" counts all of them.
CATEGORIES: dict[str, tuple[tuple[str, str], ...]] = {
    "animals": (
        ("a cat", "cats"), ("a dog", "dogs"), ("a goat", "goats"), ("a pig", "pigs"),
        ("a cow", "cows"), ("a duck", "ducks"), ("a frog", "frogs"), ("a bear", "bears"),
    ),
    "fruits": (
        ("an apple", "apples"), ("a banana", "bananas"), ("a peach", "peaches"), ("a plum", "plums"),
        ("a grape", "grapes"), ("an orange", "oranges"), ("a cherry", "cherries"), ("a pear", "pears"),
    ),
    "vegetables": (
        ("a carrot", "carrots"), ("an onion", "onions"), ("a potato", "potatoes"), ("a cabbage", "cabbages"),
        ("a yam", "yams"), ("a leek", "leeks"), ("a turnip", "turnips"), ("a pepper", "peppers"),
    ),
    "musical instruments": (
        ("a piano", "pianos"), ("a flute", "flutes"), ("a violin", "violins"), ("a drum", "drums"),
        ("a trumpet", "trumpets"), ("a clarinet", "clarinets"), ("a harp", "harps"), ("a guitar", "guitars"),
    ),
    "objects": (
        ("a lamp", "lamps"), ("a chair", "chairs"), ("a table", "tables"), ("a bed", "beds"),
        ("a stove", "stoves"), ("an oven", "ovens"), ("a couch", "couches"), ("a car", "cars"),
    ),
}  # fmt: skip

EVERYTHING = [thing for things in CATEGORIES.values() for thing in things]
OTHERS = {name: [t for t in EVERYTHING if t not in things] for name, things in CATEGORIES.items()}


@dataclass(frozen=True)
class Settings:
    """Difficulty of object_counting (``task.settings.*``)."""

    min_items: int = 2
    """Fewest things listed."""
    max_items: int = 5
    """Most things listed, distractors included; at most 8."""
    max_count: int = 3
    """Largest count of one thing, 1 to 9; 1 lists single things only."""
    single_share: float = 0.7
    """Share of things listed once, 0 to 1 (0.79 in BIG-Bench Hard)."""
    max_distractors: int = 0
    """Most things listed of another category than the one asked for; one of the asked always stays."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_items <= self.max_items <= 8:
            raise UserError("task.settings: 1 <= min_items <= max_items <= 8 must hold")
        if not 1 <= self.max_count <= 9:
            raise UserError("task.settings.max_count must be 1 to 9")
        if not 0 <= self.single_share <= 1:
            raise UserError("task.settings.single_share must be 0 to 1")
        if self.max_distractors < 0:
            raise UserError("task.settings.max_distractors must be 0 or more")


@register("object_counting")
class ObjectCounting(GeneratedTask[Settings]):
    """Count the things of one category in a list; the answer is a number in digits."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        s = self.settings
        category = rng.choice(list(CATEGORIES))
        num_items = rng.randint(s.min_items, s.max_items)
        num_distractors = rng.randint(0, min(s.max_distractors, num_items - 1))
        if category == "objects":
            num_distractors = 0
            asked = rng.sample(EVERYTHING, num_items)
        else:
            asked = rng.sample(CATEGORIES[category], num_items - num_distractors)
        things = asked + rng.sample(OTHERS[category], num_distractors)
        counts = [
            1 if s.max_count == 1 or rng.random() < s.single_share else rng.randint(2, s.max_count)
            for _ in things
        ]
        phrases = [
            singular if count == 1 else f"{NUMBER_WORDS[count]} {plural}"
            for (singular, plural), count in zip(things, counts, strict=True)
        ]
        total = sum(counts[: len(asked)])
        rng.shuffle(phrases)
        listed = ", ".join(phrases[:-1]) + f", and {phrases[-1]}" if len(phrases) > 1 else phrases[0]
        return Example(query=f"I have {listed}. How many {category} do I have?", targets=(str(total),))
