"""The six operations of TeaMs-RL (Gu et al. 2024, arXiv 2403.08694), by a language model and by rules.

Either backend rewrites a request, says whether that changed it, and answers it. A rule does to a request of
the task ``instructions`` what the prompt of the same operation asks a model for, if there is room for that.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hir.config.schema import check
from hir.config.values import read_yaml
from hir.errors import UserError
from hir.records import Constraint, Example
from hir.tasks.generated.instructions import KINDS, LETTERS, QUERY, asking, constraint, is_allowed, solve

PROMPTS = read_yaml(Path(__file__).with_name("prompts.yaml"))
OPERATIONS = tuple(PROMPTS["operations"])

Ask = Callable[[str, int], str]
"""A model's reply to a prompt; the same for the same seed."""


class Language:
    """Operator, reviewer and responder by a language model, for requests in plain text.

    What each draws is a function of ``rng``. ``queries`` says how often each was asked, ``requests`` are
    those that episodes start from, and so many ``threads`` may ask at a time.
    """

    def __init__(self, ask: Ask, requests: Sequence[str], threads: int = 1) -> None:
        self.ask, self.requests, self.threads = ask, requests, threads
        self.queries: Counter[str] = Counter()

    def start(self, rng: random.Random) -> Example:
        """A request from which an episode starts."""
        return Example(text := rng.choice(self.requests), (), group=text)

    def rewrite(self, operation: str, request: Example, rng: random.Random) -> Example:
        """The request after an operation; itself where nothing came of it."""
        prompt = PROMPTS["rewrite"].format(what=PROMPTS["operations"][operation], request=request.query)
        return replace(request, query=self._ask("operator", prompt, rng) or request.query)

    def same(self, old: Example, new: Example, rng: random.Random) -> bool | None:
        """Whether two requests ask for the same; None if the reviewer did not say."""
        prompt = PROMPTS["compare"].format(old=old.query, new=new.query)
        for _ in range(2):  # asked once more, if it must be
            reply = self._ask("reviewer", prompt, rng)
            if found := re.search(r"\b(not[\s-]+)?equal\b", reply, re.IGNORECASE):
                return found[1] is None
        return None

    def answer(self, request: Example, rng: random.Random) -> Example | None:
        """The request with an answer that the reviewer finds to be right; None if there is none."""
        answer = self._ask("responder", request.query, rng)
        check = PROMPTS["check"].format(request=request.query, answer=answer)
        right = answer and re.match(r"\W*yes\b", self._ask("reviewer", check, rng), re.IGNORECASE)
        return replace(request, targets=(answer,)) if right else None

    def _ask(self, who: str, prompt: str, rng: random.Random) -> str:
        self.queries[who] += 1
        return self.ask(prompt, rng.getrandbits(32)).strip()


def read_requests(path: str | None) -> list[str]:
    """The requests of a text file, one a line; UserError if there are none."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines() if path else []
    except (OSError, ValueError) as error:
        raise UserError(f"requests={path} cannot be read: {error}") from error
    requests = [line.strip() for line in lines if line.strip()]
    check(bool(requests), "requests", "a text file with a request a line", path)
    return requests


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


def _longer(old: tuple[Constraint, ...], kinds: Sequence[str], rng: random.Random) -> tuple[Constraint, ...]:
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
