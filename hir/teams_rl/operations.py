"""The six operations of TeaMs-RL (Gu et al. 2024, arXiv 2403.08694), as prompts and as rules.

A rule does to a request of the task ``instructions`` what the prompt of the same operation asks a language
model for. Where the request gives no room for that, it stays as it was.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hir.records import Constraint, Example
from hir.tasks.generated.instructions import KINDS, LETTERS, QUERY, asking, constraint, is_allowed, solve

PROMPTS = {
    "breadth": "Write one new request, inspired by the one below: of the same domain, but rarer, and as long "
    "and as difficult.",
    "add_constraints": "Make the request below somewhat harder: add one more constraint or requirement.",
    "deepening": "Make the request below somewhat harder: ask for more depth in what it asks for.",
    "concretizing": "Make the request below somewhat harder: put something more specific in place of "
    "something general.",
    "increase_reasoning_steps": "Make the request below somewhat harder: where a few simple steps of thought "
    "would do, ask for more of them.",
    "complicate_input": "Make the request below somewhat harder: give it some data, or ask for a format.",
}
"""By operation, in the order of the reference code."""

OPERATIONS = tuple(PROMPTS)

ADDED = {
    "add_constraints": tuple(KINDS),
    "concretizing": ("first", "last", "include", "avoid"),
    "increase_reasoning_steps": ("count", "sorted", "distinct", "ends"),
    "complicate_input": ("case", "separator", "brackets", "mark"),
}
"""Kinds of constraints of which a rule adds one."""

TRIES = 8
"""Answers around which a constraint of a kind is sought."""


class Rules:
    """Operator, reviewer and responder for requests of ``most`` constraints, exact and free."""

    def __init__(self, most: int) -> None:
        self.most, self.threads = most, 1
        self.queries: Counter[str] = Counter()

    def start(self, rng: random.Random) -> Example:
        """A request of one constraint."""
        return Example(QUERY, (), constraints=_longer((), tuple(KINDS), rng))

    def rewrite(self, operation: str, request: Example, rng: random.Random) -> Example:
        """The request after an operation, which some list of words meets and no test row has the kinds of."""
        self.queries["operator"] += 1
        old, new = request.constraints, tuple[Constraint, ...]()
        if operation == "breadth":
            others = tuple(kind for kind in KINDS if kind not in _kinds(old))
            for _ in old:
                new = _longer(new, others, rng)
            new = new if len(new) == len(old) else old
        elif operation == "deepening":
            new = next(_deeper(old, rng), old)
        else:
            new = _longer(old, ADDED[operation], rng) if len(old) < self.most else old
        return replace(request, constraints=new)

    def same(self, old: Example, new: Example, rng: random.Random) -> bool:
        """Whether two requests have the same constraints."""
        self.queries["reviewer"] += 1
        return {*old.constraints} == {*new.constraints}

    def answer(self, request: Example, rng: random.Random) -> Example | None:
        """The request with a list of words that meets it, if there is one."""
        self.queries["responder"] += 1
        found = solve(request.constraints, rng)
        return replace(request, targets=(found.text,)) if found else None


def _kinds(constraints: Sequence[Constraint]) -> list[str]:
    return [constraint.kind.removeprefix("words:") for constraint in constraints]


def _longer(
    old: tuple[Constraint, ...], kinds: tuple[str, ...], rng: random.Random
) -> tuple[Constraint, ...]:
    """The constraints with one more, of another kind than theirs; as they were where none is found."""
    for kind in rng.sample(kinds, len(kinds)):
        for _ in range(TRIES if kind not in _kinds(old) else 0):
            answer = solve(old, rng)  # what is made around it can be met
            if answer and (made := constraint(kind, answer, rng)) and is_allowed(new := (*old, made)):
                return new
    return old


def _deeper(old: tuple[Constraint, ...], rng: random.Random) -> Iterator[tuple[Constraint, ...]]:
    """The constraints with one that says more in the place of one that says less."""
    for place, less in enumerate(old):
        others, said = (*old[:place], *old[place + 1 :]), dict(less.arguments)
        word, number = said.get("word", ""), said.get("number", 0)
        more = {
            "words:include": [("first", word), ("last", word)],
            "words:avoid": [("no_letter", c) for c in dict.fromkeys(word) if c in LETTERS],
            "words:longest": [("longest", 3)] * (number > 3),
        }.get(less.kind, [])
        for kind, value in rng.sample(more, len(more)):
            new = (*others, asking(kind, value))
            if kind not in _kinds(others) and is_allowed(new) and solve(new, rng):
                yield new
