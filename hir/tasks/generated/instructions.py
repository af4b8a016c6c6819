"""Generated instructions: "Do all: three words; upper case; no e; cat first" Name animals. -> CAT / OWL / DOG

A row's instruction is a list of constraints that its answer, a list of words, must meet. Base rows have one
constraint; test rows have kinds together that no training row has together.
"""

import hashlib
import random
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from typing import Any

from hir.config.schema import check, limited
from hir.feedback.base import Feedback
from hir.feedback.constraints import CHECKERS, Constraints
from hir.records import Constraint, Example
from hir.tasks.base import GeneratedTask, Task, register

QUERY = "Name animals."
WORDS = "cat dog goat pig cow bear owl tiger".split()
MIN_WORDS, MAX_WORDS = 2, 5
CASES = ("upper", "lower", "title")
SEPARATORS = {", ": "commas", " - ": "dashes", " / ": "slashes"}
SEPARATORS |= {" + ": "pluses", " = ": "equals", " & ": "ands"}
BRACKETS = {"()": "round", "[]": "square", "{}": "curly", "<>": "angle"}
NAMES: dict[Any, str] = {2: "two", 3: "three", 4: "four", 5: "five", **SEPARATORS, **BRACKETS}
"""How a constraint's text says a value, where not as it is."""
LETTERS = "acegilort"
MARKS = "!.?;"
LIST = re.compile(
    r"((?:[(\[{<] )?)[A-Za-z]+(?:(, | [-/+=&] )[A-Za-z]+(?:\2[A-Za-z]+)*)?((?: [)\]}>])?)([!.?;]?)"
)


@dataclass(frozen=True)
class Answer:
    """A list of words as it is written; brackets and mark may be empty, and the separator of one word is."""

    words: tuple[str, ...]
    """In lower case."""
    case: str
    separator: str
    brackets: str
    mark: str

    @property
    def longest(self) -> int:
        """Letters of its longest word."""
        return max(map(len, self.words))

    @property
    def text(self) -> str:
        text = self.separator.join(getattr(word, self.case)() for word in self.words)
        return (f"{self.brackets[0]} {text} {self.brackets[1]}" if self.brackets else text) + self.mark


@lru_cache(maxsize=4096)
def read(text: str) -> Answer | None:
    """The list that a text is; None where it is none of known words, or changes its case or separator."""
    found = LIST.fullmatch(text.strip())
    words = re.findall("[A-Za-z]+", text)
    cases = [case for case in CASES if all(word == getattr(word, case)() for word in words)]
    brackets = found[1][:1] + found[3][1:] if found else ""
    if not found or not cases or brackets not in ("", *BRACKETS) or {w.lower() for w in words} - {*WORDS}:
        return None
    return Answer(tuple(word.lower() for word in words), cases[0], found[2] or "", brackets, found[4])


@dataclass(frozen=True)
class Kind:
    """A kind of constraint on a list of words, which asks for a value."""

    text: str
    """Of such a constraint, with {} for the value."""
    argument: str
    """Name of the value; empty where the text says it all, and the value is True."""
    of: Callable[[Answer], Any]
    """The value that an answer has, or a list of those to choose from; empty where there is none."""
    check: Callable[[Answer, Any], bool] | None = None
    """Whether an answer meets one of a value, where not just those of ``of`` are met."""


KINDS = {
    "count": Kind("{} words", "number", lambda a: len(a.words)),
    "first": Kind("{} first", "word", lambda a: a.words[0]),
    "last": Kind("{} last", "word", lambda a: a.words[-1]),
    "include": Kind("with {}", "word", lambda a: [*a.words[1:-1]], lambda a, word: word in a.words),
    "avoid": Kind("without {}", "word", lambda a: [word for word in WORDS if word not in a.words]),
    "sorted": Kind("sorted", "", lambda a: [*a.words] == sorted(a.words)),
    "distinct": Kind("no repeats", "", lambda a: len({*a.words}) == len(a.words)),
    "ends": Kind("equal ends", "", lambda a: len(a.words) > 1 and a.words[0] == a.words[-1]),
    # Five letters, the longest that there are, ask for nothing.
    "longest": Kind("up to {} letters", "number", lambda a: a.longest % 5, lambda a, n: a.longest <= n),
    "no_letter": Kind("no {}", "letter", lambda a: [c for c in LETTERS if c not in "".join(a.words)]),
    "case": Kind("{} case", "case", lambda a: a.case),
    "separator": Kind("{} between", "separator", lambda a: a.separator),
    "brackets": Kind("{} brackets", "brackets", lambda a: a.brackets),
    "mark": Kind("{} at the end", "mark", lambda a: a.mark),
}

FORM = ["count", "longest", "case", "separator", "brackets", "mark"]
CONTENT = [kind for kind in KINDS if kind not in FORM]
OF_PARTS = {"avoid", "no_letter", "longest", "first", "sorted", "distinct"}
"""Kinds that the beginning of a list meets where the list does."""


def meets(answer: Answer, kind: str, value: Any = True) -> bool:
    """Whether a list meets a constraint of a kind with such a value."""
    if check := KINDS[kind].check:
        return check(answer, value)
    own = KINDS[kind].of(answer)
    return value in own if isinstance(own, list) else bool(value == own)


def _check(kind: str, output: str, **arguments: Any) -> bool:
    """What is no such list meets nothing: it is no answer to the query."""
    answer = read(output)
    return answer is not None and meets(answer, kind, *arguments.values())


CHECKERS.update({f"words:{kind}": partial(_check, kind) for kind in KINDS})


@dataclass(frozen=True)
class Settings:
    """Difficulty of instructions (``task.settings.*``)."""

    min_constraints: int = limited(6, "[2, 8]")
    """Fewest constraints of a row; rows of one are what the tiny base was trained on."""
    max_constraints: int = limited(6, "[2, 8]")
    """Most constraints of a row."""

    def __post_init__(self) -> None:
        least, most = self.min_constraints, self.max_constraints
        check(least <= most, "task.settings.max_constraints", f"{least} or more, as min_constraints is", most)


def is_held_out(row: Example) -> bool:
    """Whether two of the row's kinds are never asked together in training: about one pair in ten is.

    So whatever part of a training row's constraints hindsight leaves, no test row asks for the same kinds.
    """
    pairs = combinations(sorted(constraint.kind for constraint in row.constraints), 2)
    return any(hashlib.sha256(" ".join(pair).encode()).digest()[0] % 10 == 0 for pair in pairs)


@register("instructions")
class Instructions(GeneratedTask[Settings]):
    """Write a list of words that meets all constraints; the target is one of many such lists."""

    Settings = Settings

    def feedback(self) -> Feedback:
        return Constraints()

    def example(self, rng: random.Random) -> Example:
        return self.draw(rng, rng.randint(self.settings.min_constraints, self.settings.max_constraints))

    def splits(self, seed: int, num_train: int, num_validation: int, num_test: int) -> Task:
        held_out = self.unique_rows(seed, num_test + num_validation, is_held_out)
        train = self.unique_rows(seed, num_train, lambda row: not is_held_out(row))
        return Task(self.name, train, held_out[num_test:], held_out[:num_test], self.feedback())

    @classmethod
    def settings_of(cls, rows: Sequence[Example]) -> dict[str, Any]:
        """Requests of 2 constraints up to as many as the rows have, where those are this task's own."""
        kinds = {constraint.kind for row in rows for constraint in row.constraints}
        numbers = [len(row.constraints) for row in rows]
        if not all(numbers) or kinds - {f"words:{kind}" for kind in KINDS}:
            return {}
        return {"min_constraints": 2, "max_constraints": min(8, max(2, *numbers))}

    def pretraining_rows(self, seed: int, n: int) -> tuple[Example, ...]:
        """Rows of one constraint, which come again with other answers."""
        return tuple(self.draw(random.Random(f"{self.name}/base/{seed}/{i}"), 1) for i in range(n))

    def draw(self, rng: random.Random, number: int) -> Example:
        """A row of so many constraints of different kinds, a third on the words, made to fit an answer."""
        while True:
            kinds = rng.sample([*KINDS], 1)
            if number > 1:
                kinds = rng.sample(FORM, number - number // 3) + rng.sample(CONTENT, number // 3)
                rng.shuffle(kinds)
            if clash(kinds):
                continue
            for _ in range(20):
                answer = _answer(kinds, rng)
                fit = tuple(c for kind in kinds if (c := constraint(kind, answer, rng)))
                if len(fit) == number:
                    return Example(QUERY, (answer.text,), constraints=fit)


def clash(kinds: Collection[str]) -> bool:
    """Whether one of the kinds says what another says, or nearly so."""
    return "ends" in kinds and not {"last", "sorted", "distinct"}.isdisjoint(kinds)


def is_allowed(constraints: tuple[Constraint, ...]) -> bool:
    """Whether a training row may have these together."""
    kinds = [constraint.kind.removeprefix("words:") for constraint in constraints]
    return not clash(kinds) and not is_held_out(Example(QUERY, (), constraints=constraints))


def constraint(kind: str, answer: Answer, rng: random.Random) -> Constraint | None:
    """One of the kind that the answer meets, if there is one."""
    value = KINDS[kind].of(answer)
    if isinstance(value, list):
        value = rng.choice(value) if value else None
    return asking(kind, value) if value else None


def asking(kind: str, value: Any) -> Constraint:
    """The constraint of a kind that asks for a value."""
    arguments = ((name, value),) if (name := KINDS[kind].argument) else ()
    return Constraint(KINDS[kind].text.format(NAMES.get(value, value)), f"words:{kind}", arguments)


def _answer(kinds: list[str], rng: random.Random) -> Answer:
    """A list at random that is likely to meet constraints of these kinds."""
    number = rng.randint(MIN_WORDS, MAX_WORDS)
    words = rng.sample(WORDS, number) if rng.random() < 0.5 else rng.choices(WORDS, k=number)
    if "sorted" in kinds:
        words.sort()
    if "ends" in kinds or rng.random() < 0.1:
        words[-1] = words[0]
    brackets, mark = rng.choice(["", *BRACKETS]), rng.choice(["", *MARKS])
    return Answer(tuple(words), rng.choice(CASES), rng.choice([*SEPARATORS]), brackets, mark)


def solve(constraints: Sequence[Constraint], rng: random.Random) -> Answer | None:
    """A list of words that meets all constraints, at random if they leave a choice; None if there is none."""
    asked = {c.kind.removeprefix("words:"): dict(c.arguments) for c in constraints}
    form = {
        "case": rng.choice(CASES),
        "separator": rng.choice([*SEPARATORS]),
        "brackets": rng.choice(["", *BRACKETS]),
        "mark": rng.choice(["", *MARKS]),
    }
    form |= {kind: asked.pop(kind)[kind] for kind in form if kind in asked}

    def fits(kinds: set[str], *words: str) -> bool:
        answer = Answer(words, **form)
        return all(meets(answer, kind, *asked[kind].values()) for kind in asked.keys() & kinds)

    def lists(number: int, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        """Those of so many words that begin with some and meet all."""
        if len(words) == number:
            if fits({*KINDS}, *words):
                yield words
        else:
            for word in rng.sample(WORDS, len(WORDS)):
                if fits(OF_PARTS, *words, word):
                    yield from lists(number, (*words, word))

    for number in rng.sample(range(MIN_WORDS, MAX_WORDS + 1), MAX_WORDS + 1 - MIN_WORDS):
        if number == asked.get("count", {}).get("number", number):
            for words in lists(number):
                return Answer(words, **form)
    return None
