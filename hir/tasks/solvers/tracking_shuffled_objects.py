"""Answers tracking shuffled objects from the text: who has what at first, then swap by swap."""

import re

from hir.tasks.solvers import find


def solve(stem: str, options: tuple[str, ...]) -> str:
    """The option that is what the last person named has in the end."""
    stem = " ".join(stem.split())
    things = {option.rstrip("."): option for option in options}
    thing = "|".join(map(re.escape, sorted(things, key=len, reverse=True)))
    people = find(r"^(\w+(?:, \w+)*),? and (\w+) are ", stem)
    names = [*people[1].split(", "), people[2]]
    name = "|".join(names)
    has = dict(re.findall(rf"\b({name}) [^.,:]*?\b({thing})(?=[.,]| and\b)", stem))
    if sorted(has) != sorted(names) or sorted(has.values()) != sorted(things):
        raise ValueError("it does not tell what each of them has at first")
    swaps = re.findall(rf"\b({name}) and ({name}) (?:swap|switch|trade|exchange)", stem)
    if len(swaps) != len(re.findall(r"\b(?:First|Then|Finally|Next|Lastly),", stem)):
        raise ValueError("a step is no swap of two people")
    for one, other in swaps:
        has[one], has[other] = has[other], has[one]
    return things[has[re.findall(rf"\b({name})\b", stem)[-1]]]
