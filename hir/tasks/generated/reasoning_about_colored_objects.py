"""Generated colored objects: "On the shelf, I see a red mug and a teal pen. What color is the pen?" -> teal.

After BIG-bench's reasoning_about_colored_objects, as BIG-Bench Hard has it; no row is theirs: places differ.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from hir.config.schema import limited
from hir.config.values import read_yaml
from hir.records import Example
from hir.tasks.base import GeneratedTask, choice_row, register
from hir.tasks.generated.object_counting import plurals

DATA = read_yaml(Path(__file__).with_suffix(".yaml"))
COLORS, PLACES, ROWS = (DATA[key].split(", ") for key in ("colors", "places", "rows"))
PLURALS, QUESTIONS = plurals(DATA["names"]), DATA["questions"]
NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen""".split()
Row = tuple[list[str], dict[str, str], list[str], str]  # things, what is asked about, options, answer


@dataclass(frozen=True)
class Settings:
    """Difficulty of reasoning_about_colored_objects (``task.settings.*``)."""

    max_objects: int = limited(6, "[3, 6]")
    """Most things in a scene of single things."""
    max_left: int = limited(16, "[0, 16]")
    """Most things to count that are left when others are removed: all options (BIG-bench has up to 9)."""


@register("reasoning_about_colored_objects")
class ReasoningAboutColoredObjects(GeneratedTask[Settings]):
    """Say what color a thing of a scene has, or how many things there are."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        kind = rng.choice([*QUESTIONS, "remove"])  # which BIG-bench has twice as often
        place, word = rng.choice(PLACES), rng.choice(("thing", "object", "item"))
        make = groups if kind == "remove" else singles
        things, told, options, answer = make(self.settings, kind, word, rng)
        there = "there are" if things[0][0] == "t" else "there is"  # two, three
        view = rng.choice(("you see", "I see", there))
        if kind in ("end", "next", "furthest", "beside"):
            view = f"you see {rng.choice(ROWS)} {word}s arranged in a row:"
        scene = ", ".join(things[:-1]) + (", and " if len(things) > 2 else " and ") + things[-1]
        question = QUESTIONS[kind].format(place=place, word=word, **told)
        return choice_row(f"On the {place}, {view} {scene}. {question}", options, options.index(answer))


def singles(s: Settings, kind: str, word: str, rng: random.Random) -> Row:
    """Single things in different colors, thought out for the right-hand side, in reverse for the left."""
    most, number = s.max_objects, rng.randint(0, s.max_objects - (kind == "beside"))
    beyond = min(number + rng.randint(0, 1), most - 1)  # things beside, of which one more may have the color
    sizes = {"neither": (max(2, number), min(most, number + 2)), "beside": (max(3, beyond + 1), most)}
    n = rng.randint(*sizes.get(kind, (2 if kind in ("color", "is") else 3, most)))
    places = {"next": range(n - 1), "furthest": range(n // 2), "beside": (n - 1 - beyond,)}
    here, side = rng.choice(places.get(kind, range(n))), rng.choice(("left", "right"))
    colors, names = rng.sample(COLORS, len(COLORS)), rng.sample([*PLURALS], n)
    color, other = rng.choice((colors[here], colors[n])), ""
    if kind == "neither":
        color, other = rng.sample(rng.sample(colors[:n], n - number) + colors[n : number + 2], 2)
    elif kind == "beside":
        color = rng.choice(colors[here + 1 : n] if beyond > number else colors[:here] + colors[n:])
    told = {"name": names[here], "color": color, "other": other, "side": side}
    told["reference"] = rng.choice((names[here], f"{colors[here]} {word}"))
    things = [f"{'an' if c == 'orange' else 'a'} {c} {name}" for c, name in zip(colors, names, strict=False)]
    options, answer = COLORS, colors[{"color": here, "next": here + 1}.get(kind, n - 1)]
    if kind == "is":
        options, answer = ["yes", "no"], "yes" if color == colors[here] else "no"
    elif kind in ("neither", "beside"):
        options, answer = NUMBERS[:7], NUMBERS[number]
    return things if side == "right" else things[::-1], told, options, answer


def groups(s: Settings, kind: str, word: str, rng: random.Random) -> Row:
    """Groups by color and name: those of one color go, and those of one name are counted, or conversely."""
    left = rng.randint(0, s.max_left)
    number = rng.randint(-(-left // 3), min(left, -(-left // 3) + 2))
    extra = rng.sample([*range(number)] * 2, left - number)
    gone, *rest = rng.sample([(0, 0), (0, 1), (0, 2)], 3)  # the first 0 goes, the second is counted
    rest += [(i, j) for i in range(1, max(3, number + 1)) for j in (1, 2)]
    others = rng.sample(rest, rng.randint(1, min(len(rest), 13 - number)))
    pairs = [((i + 1, 0), 1 + extra.count(i)) for i in range(number)]
    pairs += [(pair, rng.randint(1, 3)) for pair in (gone, *others)]
    rng.shuffle(pairs)
    colors, names, axis = rng.sample(COLORS, 9), rng.sample([*PLURALS], 9), rng.randrange(2)
    things = [(n, colors[pair[axis]], names[pair[1 - axis]]) for pair, n in pairs]
    texts = [f"{NUMBERS[n]} {color} {name if n == 1 else PLURALS[name]}" for n, color, name in things]
    traits = (f"{colors[0]} {word}s", PLURALS[names[0]])
    return texts, {"gone": traits[axis], "kept": traits[1 - axis]}, NUMBERS, NUMBERS[left]
