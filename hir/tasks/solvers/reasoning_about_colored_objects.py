"""Solver of reasoning_about_colored_objects: counts, colors and names of a scene, then the question."""

import re
from typing import NamedTuple

NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty""".split()


class Thing(NamedTuple):
    number: int
    color: str
    name: str


def solve(stem: str, options: tuple[str, ...]) -> str:
    """The answer to a row, from its text; ValueError where it cannot be read."""
    scene, _, question = stem.strip().partition(". ")
    listed = re.search(r"(?:: | see | there is | there are )(?!.*: )(.+)", scene)
    if not listed or not question:
        raise ValueError("no scene and question")
    things = [_thing(phrase) for phrase in re.split(r",? and |, ", listed[1])]
    answer = _answer(question.strip(), things)
    named = [str(answer), *NUMBERS[answer : answer + 1]] if isinstance(answer, int) else [answer]
    for option in options:
        if option.lower() in named:
            return option
    raise ValueError(f"{answer} is no option")


def _thing(phrase: str) -> Thing:
    number, color, *name = phrase.split()
    count = 1 if number in ("a", "an") else NUMBERS.index(number)
    return Thing(count, color, _singular(" ".join(name)))


def _singular(name: str) -> str:
    """The same for singular and plural: "dog leash", "pair of sunglass"."""
    return re.sub(r"(?<=[^s])s\b", "", re.sub(r"(?<=sh|ch|ss)es\b", "", name))


def _answer(question: str, things: list[Thing]) -> str | int:
    def place(reference: str) -> int:
        """Where "the mug" or "the red thing" stands."""
        color, _, kind = reference.partition(" ")
        named = [i for i, thing in enumerate(things) if thing.name == _singular(reference)]
        if kind in ("thing", "object", "item"):
            named = [i for i, thing in enumerate(things) if thing.color == color]
        if len(named) != 1:
            raise ValueError(f"{len(named)} things are {reference}")
        return named[0]

    def asked(pattern: str) -> tuple[str, ...] | None:
        found = re.fullmatch(pattern, question)
        return found.groups() if found else None

    if told := asked(r"What color is the (.+)\?"):
        return things[place(told[0])].color
    if told := asked(r"Is the (.+) (\w+)\?"):
        return "yes" if things[place(told[0])].color == told[1] else "no"
    if told := asked(r"What is the color of the (left|right)-?most .+\?"):
        return things[0 if told[0] == "left" else -1].color
    if told := asked(r"What is the color of the .+ directly to the (left|right) of the (.+)\?"):
        there = place(told[1]) + (1 if told[0] == "right" else -1)
        if not 0 <= there < len(things):
            raise ValueError("nothing stands there")
        return things[there].color
    if told := asked(r"What is the color of the .+ f[au]rthest from the (.+)\?"):
        here = place(told[0])
        if 2 * here == len(things) - 1:
            raise ValueError("two are as far")
        return things[0 if 2 * here > len(things) - 1 else -1].color
    if told := asked(r"How many non-(\w+) .+ to the (left|right) of the (.+)\?"):
        here = place(told[2])
        side = things[:here] if told[1] == "left" else things[here + 1 :]
        return sum(thing.number for thing in side if thing.color != told[0])
    if told := asked(r"How many .+ are neither (\w+) nor (\w+)\?"):
        return sum(thing.number for thing in things if thing.color not in told)
    if told := asked(r"If I remove all the (.+) from the .+, how many (.+) remain on it\?"):
        gone, kept = (re.sub(" (thing|object|item)s$", "", text) for text in told)
        left = [thing for thing in things if _singular(gone) not in thing]
        return sum(thing.number for thing in left if _singular(kept) in thing)
    raise ValueError("no known question")
