"""Generated logical deduction: statements tell the order of a few things; which of them is second?

After BIG-bench's logical_deduction, rendered as in BIG-Bench Hard. As there, every statement is needed.
"""

import random
from dataclasses import dataclass
from functools import cache, reduce
from itertools import combinations_with_replacement, permutations
from operator import and_
from pathlib import Path

from hir.config.schema import limited
from hir.config.values import read_yaml
from hir.records import Example
from hir.tasks.base import GeneratedTask, choice_row, register

SCENARIOS = [*read_yaml(Path(__file__).with_suffix(".yaml")).values()]


@dataclass(frozen=True)
class Settings:
    """Difficulty of logical_deduction_* (``task.settings.*``)."""

    num_scenarios: int = limited(5, "[1, 5]")
    """Different scenarios there are: birds, books, golfers, vehicles, fruits."""
    place_share: float = limited(0.17, "[0, 1]")
    """Share of places among the facts drawn, the others compare two things; 1 is easy: places are told."""


@cache
def facts(n: int) -> dict[tuple[int, int], int]:
    """What is true of things in the order 0, 1, ...: (i, i) is the place of i, (i, j) is that i is before j.

    Each with the orders of which it is true, as the bits of a number, so that "and" joins facts.
    """
    orders = list(permutations(range(n)))
    return {
        (i, j): int("".join("01"[order[i] == i if i == j else order[i] < order[j]] for order in orders), 2)
        for i, j in combinations_with_replacement(range(n), 2)
    }


def statements(n: int, place_share: float, rng: random.Random) -> list[tuple[int, int]]:
    """Facts that together leave one order, and each of which is needed for that."""
    true, told, left = facts(n), list[tuple[int, int]](), -1
    only = reduce(and_, true.values())
    places, pairs = [(i, j) for i, j in true if i == j], [(i, j) for i, j in true if i < j]
    while left != only:
        fact = rng.choice(places if rng.random() < place_share else pairs)
        if left & true[fact] != left:
            told.append(fact)
            left &= true[fact]
    for fact in told[:]:
        others = [other for other in told if other != fact]
        if reduce(and_, (true[other] for other in others)) == only:
            told = others
    return told


@register(
    "logical_deduction_three_objects", "logical_deduction_five_objects", "logical_deduction_seven_objects"
)
class LogicalDeduction(GeneratedTask[Settings]):
    """Find the one order that fits all statements and say what has one of the places in it."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        size = self.name.split("_")[2]
        n = {"three": 3, "five": 5, "seven": 7}[size]
        scenario = rng.choice(SCENARIOS[: self.settings.num_scenarios])
        verb, before, after = scenario["verb"], scenario["before"], scenario["after"]
        odd = rng.choice(scenario["new"].split(", "))  # BIG-bench has none of these, and so no row of ours
        others = [thing for key in ("known", "new") for thing in scenario[key].split(", ") if thing != odd]
        order = rng.sample([odd, *rng.sample(others, n - 1)], n)
        ranks = ["second", "third", "fourth"][: n // 2]
        early, late = map(scenario["early"].format, ranks), map(scenario["late"].format, ranks[-2::-1])
        places = [scenario["first"], *early, *late, scenario["last"]]
        things = [f"a{'n' * (thing[0] in 'aeiou')} {thing}" if verb == "is" else thing for thing in order]
        names = [thing if verb == "finished" else f"The {thing}" for thing in order]
        later = [name.replace("The ", "the ") for name in names]
        told = []
        for i, j in statements(n, self.settings.place_share, rng):
            said = [f"{names[i]} {verb} {before} {later[j]}.", f"{names[j]} {verb} {after} {later[i]}."]
            told.append(rng.choice(said) if i != j else f"{names[i]} {verb} {places[i]}.")
        asked, shown = rng.randrange(n), rng.sample(range(n), n)
        *most, end = (things[i] for i in shown)
        stem = (
            f"The following paragraphs each describe a set of {size} objects arranged in a fixed order. The "
            f"statements are logically consistent within each paragraph. {scenario['opening'].format(size)}: "
            f"{', '.join(most)}, and {end}. {' '.join(told)}"
        )
        return choice_row(stem, [f"{names[i]} {verb} {places[asked]}" for i in shown], shown.index(asked))
