"""Generated tables: "... Kyle, 7, 50, 11 Sven, 5, 80, 13 ... Which is the oldest penguin?" -> Kyle.

After BIG-bench's penguins_in_a_table, as BIG-Bench Hard has it; no row is theirs: the names differ.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hir.config.schema import limited
from hir.records import Example
from hir.tasks.base import GeneratedTask, choice_row, register

HEADER = "name, age, height (cm), weight (kg)"
TABLE = """Here is a table where the first line is a header and each subsequent line is a penguin:  {} {}  \
For example: the age of {} is {}, the weight of {} is {} kg, the height of {} is {} cm.  """
NAMES = "Craig Hamish Igor Jason Kenji Kevin Kyle Lars Mehmet Nigel Olaf Raj Sven Todd Ulrik".split()
KNOWN = {"is a female": "Alice Emma Helen Julia", "has a welsh name": "Gareth Llewellyn Rhys"}
KNOWN["has the first name of a famous jazzman"] = "Duke Miles Thelonious"
KNOWN["shares his first name with a famous painter"] = "Claude Pablo Salvador"
TRAITS = {"age": ("young", "old"), "height": ("short", "tall"), "weight": ("light", "heavi")}
Rows = list[Any]  # of name, age, height, weight
ZOO = "bears crocodiles elephants giraffes lions tigers wolves".split()


@dataclass(frozen=True)
class Settings:
    """Difficulty of penguins_in_a_table (``task.settings.*``)."""

    max_changes: int = limited(2, "[0, 2]")
    """Most changes: a penguin is added; one is deleted, or a table of giraffes follows."""


@register("penguins_in_a_table")
class PenguinsInATable(GeneratedTask[Settings]):
    """Look up, compare, count or add what a table of four penguins says."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        changes = rng.sample(["add", rng.choice(["cut", "join"])], rng.randint(0, self.settings.max_changes))
        heights = rng.sample(range(40, 110, 10), 5) + rng.sample(range(300, 450, 10), 5)
        weights = rng.sample(range(9, 19), 5) + rng.sample(range(400, 700, 10), 5)
        which, place = rng.choice([*KNOWN.values()]), rng.randrange(5)  # the place of the right option
        names = rng.sample([rng.choice(which.split()), *rng.sample(NAMES, 9)], 10)  # one of them known
        rows = [*zip(names, rng.sample(range(2, 13), 10), heights, weights, strict=True)]
        told, herd, kind, shown = [", ".join(map(str, row)) for row in rows], rows[:4], "penguin", rows[:5]
        text = TABLE.format(HEADER, " ".join(told[:4]), *rows[0][:2], *rows[3][::3], *rows[1][:3:2])
        if "add" in changes:
            text, herd = f"{text}We now add a penguin to the table:\n{told[4]}\n", rows[:5]
        if "cut" in changes:
            text += f"We then delete the penguin named {herd.pop(rng.randrange(4))[0]} from the table.\n"
        if "join" in changes:
            text += "\n".join(("And here is a similar table, but listing giraffes:", HEADER, *told[5:9], ""))
            animals = ("animal", herd + rows[5:9], sorted(rng.sample(rows, 5)))
            kind, herd, shown = rng.choice([(kind, herd, shown), ("giraffe", rows[5:9], rows[5:]), animals])
        asked = _asked(rng, place, kind, herd, shown, "tables" if "join" in changes else "table")
        question, options = rng.choice([(q, o) for q, answer, o in asked if o[place : place + 1] == [answer]])
        return choice_row(text + question, [*map(str, options)], place)


def _asked(rng: random.Random, place: int, kind: str, herd: Rows, shown: Rows, tables: str) -> Iterator[Any]:
    """Question, answer and options; an answer that is none of them makes no question."""
    c, up, i, one = rng.randint(1, 3), rng.randint(0, 1), rng.randrange(1, len(herd) - 1), rng.choice(herd)
    trait, best = [*TRAITS.items()][c - 1]
    more, less, name, age, size = f"{best[up]}er than", f"{best[1 - up]}er than", one[0], one[1], one[2]
    ranked, young = sorted(herd, key=lambda a: a[c], reverse=up > 0), sorted(herd, key=lambda a: a[1])
    gap, years, tall = rng.choice(((1, "one year", f"{size} cm"), (2, "two years", f"{size / 100} m")))
    short, names, column = min(len(a[0]) for a in herd), [a[0] for a in shown], [a[c] for a in shown]
    found = {
        f"Which is the {best[up]}est {kind}?": ranked[:1],
        f"Which is the second {best[up]}est {kind}?": ranked[1:2],
        f"Which {kind} is {more} the other ones?": ranked[:1],
        f"Which {kind} is {more} {ranked[1][0]}?": ranked[:1],
        f"Which {kind} is {more} {ranked[i + 1][0]} and {less} {ranked[i - 1][0]}?": ranked[i : i + 1],
        f"Which {kind} is younger but taller than {name}?": [a for a in herd if a[1] < age and a[2] > size],
        f"Which {kind} is {years} younger than {name}?": [a for a in herd if a[1] == age - gap],
        f"Which {kind} is less than {young[1][1]} years old?": young[:1],
        f"Which {kind} has the shortest name?": [a for a in herd if len(a[0]) == short],
        f"What is the name of the {kind} that is {age} years old?": [one],
        f"What is the name of the {kind} that is {tall} tall?": [one],
        f"What is the name of the {tall} tall {kind}?": [one],
    }
    found |= {f"Which {kind} {what}?": [a for a in herd if a[0] in which] for what, which in KNOWN.items()}
    for text, at in (("first", 0), ("second", 1), ("next to last", -2), ("last", -1)):
        found[f"What is the name of the {text} {kind}?"] = [herd[at]]
        found[f"What is the name of the {text} {kind} sorted by alphabetic order?"] = [sorted(herd)[at]]
    yield from ((text, those[0][0], names) for text, those in found.items() if len(those) == 1)
    few, (_, n, _, m) = [5, 6, 7, 8, 9] if kind == "animal" else [1, 2, 3, 4, 5], rng.choice(herd)
    for how, old in (("more", [a for a in herd if a[1] > n]), ("less", [a for a in herd if a[1] < n])):
        yield f"How many {kind}s are {how} than {n} years old?", len(old), few
        text = f"How many {kind}s are {how} than {n} years old and weight"
        yield f"{text} more than {m} kg?", sum(a[3] > m for a in old), few
        yield f"{text} less than {m} kg?", sum(a[3] < m for a in old), few
    n = sum(a[c] for a in herd)
    text, n = ("average", n // len(herd)) if trait == "height" and not n % len(herd) else ("cumulated", n)
    sums = range(n - place * (step := rng.randint(1, n // 5)), n + 5 * step, step)
    yield f"What is the {text} {trait} of the {kind}s?", n, [*sums[:5]]
    yield f"How many {kind}s are {'listed' if kind == 'animal' else 'there'} in the {tables}?", len(herd), few
    yield f"How many species are listed in the {tables}?", 1 if tables == "table" else 2, [1, 2, 3, 4, 5]
    if tables == "table":
        yield "How many animals are listed in the table?", len(herd), few
        yield "How many columns are there in the table?", 4, few
        yield f"what is the number of the column with the {trait}s (1, 2, 3 or 4)?", c + 1, few
        yield f"What is the {trait} of {name}?", one[c], column
        yield f"What is the {'largest' if up else best[0] + 'est'} {trait}?", ranked[0][c], column
        yield "What animals are listed in the table?", "penguins", sorted(["penguins", *rng.sample(ZOO, 4)])
