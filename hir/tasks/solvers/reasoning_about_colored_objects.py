"""Solver of reasoning_about_colored_objects: counts, colors and names of a scene, then the question."""

import re
from typing import NamedTuple

from hir.tasks.solvers import find

NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty""".split()


class Thing(NamedTuple):
    number: int
    color: str
    name: str


def solve(stem: str, options: tuple[str, ...]) -> str:
    """The color, yes or no, or a number in digits or as a word, as the options have it."""
    scene, _, question = stem.strip().partition(". ")
    listed = find(r"(?:: | see | there is | there are )(?!.*: )(.+)", scene)[1]
    answer = _answer(question.strip(), [_thing(phrase) for phrase in re.split(r",? and |, ", listed)])
    return answer if isinstance(answer, str) else str(answer) if str(answer) in options else NUMBERS[answer]


def _thing(phrase: str) -> Thing:
    number, color, *name = phrase.split()
    return Thing(1 if number in ("a", "an") else NUMBERS.index(number), color, _singular(" ".join(name)))


def _singular(name: str) -> str:
    """The same for singular and plural: "dog leash", "pair of sunglass"."""
    return re.sub(r"(?<=[^s])s\b", "", re.sub(r"(?<=sh|ch|ss)es\b", "", name))


def _trait(reference: str) -> str:
    """The color of "red thing" or "red items", the name of "mugs"."""
    return _singular(re.sub(" (thing|object|item)s?$", "", reference))


def _answer(question: str, things: list[Thing]) -> str | int:
    def place(reference: str) -> int:
        """Where the one "mug" or "red thing" stands."""
        [here] = (i for i, thing in enumerate(things) if _trait(reference) in thing)
        return here

    if asked := re.fullmatch(r"What color is the (.+)\?", question):
        return things[place(asked[1])].color
    if asked := re.fullmatch(r"Is the (.+) (\w+)\?", question):
        return "yes" if things[place(asked[1])].color == asked[2] else "no"
    if asked := re.fullmatch(r"What is the color of the (left|right)-?most .+\?", question):
        return things[0 if asked[1] == "left" else -1].color
    if asked := re.fullmatch(r"What .+ directly to the (left|right) of the (.+)\?", question):
        return things[place(asked[2]) + (1 if asked[1] == "right" else -1)].color
    if asked := re.fullmatch(r"What is the color of the .+ f[au]rthest from the (.+)\?", question):
        return things[0 if 2 * place(asked[1]) >= len(things) else -1].color
    if asked := re.fullmatch(r"How many non-(\w+) .+ to the (left|right) of the (.+)\?", question):
        here = place(asked[3])
        side = things[:here] if asked[2] == "left" else things[here + 1 :]
        return sum(thing.number for thing in side if thing.color != asked[1])
    if asked := re.fullmatch(r"How many .+ are neither (\w+) nor (\w+)\?", question):
        return sum(thing.number for thing in things if thing.color not in asked.groups())
    asked = find(r"^If I remove all the (.+) from the .+, how many (.+) remain on it\?$", question)
    gone, kept = map(_trait, asked.groups())
    return sum(thing.number for thing in things if gone not in thing and kept in thing)
