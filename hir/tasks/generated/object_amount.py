"""Generated amounts: "I have two cats, a dog, and a goat. Do I have few, some or many animals?" -> (B).

The lists of object_counting under a question with three answers, each as often right as the others.
"""

import random
from dataclasses import dataclass

from hir.errors import UserError
from hir.records import Example
from hir.tasks.base import GeneratedTask, choice_row, register
from hir.tasks.generated import object_counting
from hir.tasks.generated.object_counting import CATEGORIES, list_of_things

AMOUNTS = ("few", "some", "many")


@dataclass(frozen=True)
class Settings(object_counting.Settings):
    """Difficulty of object_amount (``task.settings.*``); ``max_answer`` is the largest total."""

    max_few: int = 3
    """Largest total that is few."""
    max_some: int = 6
    """Largest total that is some; from the next on it is many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_items <= self.max_few < self.max_some < self.max_answer:
            raise UserError("task.settings: min_items <= max_few < max_some < max_answer must hold")


@register("object_amount")
class ObjectAmount(GeneratedTask[Settings]):
    """Say whether the things of one category in a list are few, some or many: one of three options."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        s = self.settings
        category = rng.choice(CATEGORIES)
        limits = (s.min_items - 1, s.max_few, s.max_some, s.max_answer)
        amount = rng.randrange(len(AMOUNTS))
        total = rng.randint(limits[amount] + 1, limits[amount + 1])
        listed, _ = list_of_things(s, category, total, rng)
        return choice_row(f"I have {listed}. Do I have few, some or many {category}?", AMOUNTS, amount)
