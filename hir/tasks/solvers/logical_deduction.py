"""Answers logical deduction from the text: the option that is true in all orders the statements allow."""

import re
from collections.abc import Callable
from itertools import permutations

from hir.tasks.solvers import find

RANKS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
# What tells which end of the order a sentence counts from, whatever it is that is ordered.
FRONT = re.compile(r"\b(?:left|above|before|ahead|new|young|more|most|first)")
BACK = re.compile(r"\b(?:right|below|after|behind|old|less|least|cheap|last)")

Claim = Callable[[tuple[int, ...]], bool]


def solve(stem: str, options: tuple[str, ...]) -> str:
    """The one option that follows."""
    listed, statements = find(r": ([^.:]+)\. (.+)$", " ".join(stem.split())).groups()
    things = [re.sub(r"^(?:and )?(?:an? |the )?", "", thing) for thing in listed.split(", ")]
    if not 2 <= len(things) <= len(RANKS):
        raise ValueError(f"{len(things)} things listed")
    orders = list(permutations(range(len(things))))  # the place of each thing
    for sentence in re.split(r"(?<=\.) ", statements):
        orders = list(filter(claim(sentence, things), orders))
    right = [option for option in options if all(map(claim(option, things), orders))]
    if not orders or len(right) != 1:
        raise ValueError(f"{len(orders)} orders are left, and {len(right)} options are true in all of them")
    return right[0]


def claim(sentence: str, things: list[str]) -> Claim:
    """What a sentence says of an order: the place of the thing that it names, or which of two is in front."""
    name = re.compile(rf"\b({'|'.join(map(re.escape, sorted(things, key=len, reverse=True)))})\b")
    named, words = [things.index(thing) for thing in name.findall(sentence)], name.sub("", sentence)
    front, back = FRONT.search(words), BACK.search(words)
    ranks = [rank for rank in re.findall(r"[a-z]+", words) if rank in RANKS]
    if len(named) == 2 and bool(front) != bool(back) and not ranks:
        one, other = reversed(named) if back else named
        return lambda order: order[one] < order[other]
    if len(named) == 1 and (len(ranks) == 1 or re.search(r"(?:most|est|last)\b", words)):
        rank = RANKS.index(ranks[0]) if ranks else 0
        place = len(things) - 1 - rank if back else rank
        return lambda order: order[named[0]] == place
    raise ValueError(f"unclear: {sentence}")
