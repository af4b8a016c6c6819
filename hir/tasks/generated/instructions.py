"""Generated instructions: "Do all: three words; upper case; no e; cat first" Name animals. -> CAT / OWL / DOG

A row's instruction is a list of constraints that its answer, a list of words, must meet. Base rows have one
constraint; test rows have kinds together that no training row has together.
"""

import hashlib
import random
import re
from collections.abc import Callable, Collection, Sequence
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
NUMBERS = "no one two three four five".split()
CASES = ("upper", "lower", "title")
SEPARATORS = {
    ", ": "commas",
    " - ": "dashes",
    " / ": "slashes",
    " + ": "pluses",
    " = ": "equals",
    " & ": "ands",
}
BRACKETS = {"()": "round", "[]": "square", "{}": "curly", "<>": "angle"}
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


Made = tuple[str, dict[str, Any]] | None


@dataclass(frozen=True)
class Kind:
    """A kind of constraint on a list of words."""

    make: Callable[[Answer, random.Random], Made]
    """The text and arguments of one that the answer meets; None where there is none."""
    check: Callable[..., bool]
    """Whether an answer meets one with such arguments."""


def _longest(answer: Answer, rng: random.Random) -> Made:
    number = max(map(len, answer.words))
    return (f"up to {NUMBERS[number]} letters", {"number": number}) if number < 5 else None


def _one(text: str, name: str, choices: Sequence[str], rng: random.Random) -> Made:
    return (text.format(choice := rng.choice(choices)), {name: choice}) if choices else None


KINDS = {
    "count": Kind(
        lambda a, rng: (f"{NUMBERS[len(a.words)]} words", {"number": len(a.words)}),
        lambda a, number: len(a.words) == number,
    ),
    "first": Kind(
        lambda a, rng: (f"{a.words[0]} first", {"word": a.words[0]}), lambda a, word: a.words[0] == word
    ),
    "last": Kind(
        lambda a, rng: (f"{a.words[-1]} last", {"word": a.words[-1]}), lambda a, word: a.words[-1] == word
    ),
    "include": Kind(
        lambda a, rng: _one("with {}", "word", a.words[1:-1], rng), lambda a, word: word in a.words
    ),
    "avoid": Kind(
        lambda a, rng: _one("without {}", "word", [w for w in WORDS if w not in a.words], rng),
        lambda a, word: word not in a.words,
    ),
    "sorted": Kind(
        lambda a, rng: ("sorted", {}) if [*a.words] == sorted(a.words) else None,
        lambda a: [*a.words] == sorted(a.words),
    ),
    "distinct": Kind(
        lambda a, rng: ("no repeats", {}) if len({*a.words}) == len(a.words) else None,
        lambda a: len({*a.words}) == len(a.words),
    ),
    "ends": Kind(
        lambda a, rng: ("equal ends", {}) if a.words[0] == a.words[-1] else None,
        lambda a: len(a.words) > 1 and a.words[0] == a.words[-1],
    ),
    "longest": Kind(_longest, lambda a, number: max(map(len, a.words)) <= number),
    "no_letter": Kind(
        lambda a, rng: _one("no {}", "letter", [c for c in LETTERS if c not in "".join(a.words)], rng),
        lambda a, letter: letter not in "".join(a.words),
    ),
    "case": Kind(lambda a, rng: (f"{a.case} case", {"case": a.case}), lambda a, case: a.case == case),
    "separator": Kind(
        lambda a, rng: (f"{SEPARATORS[a.separator]} between", {"separator": a.separator}),
        lambda a, separator: a.separator == separator,
    ),
    "brackets": Kind(
        lambda a, rng: (f"{BRACKETS[a.brackets]} brackets", {"brackets": a.brackets}) if a.brackets else None,
        lambda a, brackets: a.brackets == brackets,
    ),
    "mark": Kind(
        lambda a, rng: (f"{a.mark} at the end", {"mark": a.mark}) if a.mark else None,
        lambda a, mark: a.mark == mark,
    ),
}

FORM = ["count", "longest", "case", "separator", "brackets", "mark"]
CONTENT = [kind for kind in KINDS if kind not in FORM]


def _check(kind: str, output: str, **arguments: Any) -> bool:
    """What is no such list meets nothing: it is no answer to the query."""
    answer = read(output)
    return answer is not None and KINDS[kind].check(answer, **arguments)


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
        if (
            not kinds
            or not all(row.constraints for row in rows)
            or kinds - {f"words:{kind}" for kind in KINDS}
        ):
            return {}
        most = max(len(row.constraints) for row in rows)
        return {"min_constraints": 2, "max_constraints": min(8, max(2, most))}

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


def constraint(kind: str, answer: Answer, rng: random.Random) -> Constraint | None:
    """One of the kind that the answer meets, if there is one."""
    made = KINDS[kind].make(answer, rng)
    return Constraint(made[0], f"words:{kind}", (*made[1].items(),)) if made else None


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
