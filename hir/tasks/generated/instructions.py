"""Generated instructions: "Do all: three words; in upper case; no e." Name animals. -> OWL, PIG, DOG

A row's instruction is a list of constraints that its answer, a list of words, must meet. Base rows have one
constraint; test rows have kinds together that no training row has together.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from typing import Any

from hir.config.schema import check as check_setting
from hir.config.schema import limited
from hir.feedback.base import Feedback
from hir.feedback.constraints import CHECKERS, Constraints
from hir.records import Constraint, Example
from hir.tasks.base import GeneratedTask, Task, register

WORDS = {
    "animals": "cat dog goat pig cow bear owl tiger".split(),
}
NUMBERS = "no one two three four five six seven".split()
MAX_WORDS = 5
CASES = {"upper": "in upper case", "lower": "in lower case", "title": "with capitals"}
SEPARATORS = {", ": "commas", " - ": "dashes", " / ": "slashes", " + ": "pluses", " = ": "equals", " & ": "ands"}
MARKS = "!.?;"
BRACKETS = {"()": "round", "[]": "square", "{}": "curly", "<>": "angle"}
LIST = re.compile(
    r"((?:[(\[{<] )?)[A-Za-z]+(?:(, | [-/+=&] )[A-Za-z]+(?:\2[A-Za-z]+)*)?((?: [)\]}>])?)([!.?;]?)"
)


@dataclass(frozen=True)
class Answer:
    """A list of words as it is written."""

    words: list[str]
    """In lower case."""
    case: str
    separator: str
    """Empty where there is one word."""
    brackets: str
    """The two around it, if any."""
    mark: str
    """At the end, if any."""

    @property
    def text(self) -> str:
        text = self.separator.join(getattr(word, self.case)() for word in self.words)
        return (f"{self.brackets[0]} {text} {self.brackets[1]}" if self.brackets else text) + self.mark

    @classmethod
    @lru_cache(maxsize=4096)
    def read(cls, text: str) -> Answer | None:
        """The list that a text is, with one case and one separator throughout; None for any other text."""
        found = LIST.fullmatch(text.strip())
        if found is None or found[1].strip() + found[3].strip() not in ("", *BRACKETS):
            return None
        words = re.findall("[A-Za-z]+", text)
        case = next((case for case in CASES if all(word == getattr(word, case)() for word in words)), None)
        return case and cls([w.lower() for w in words], case, found[2] or "", found[1][:1] + found[3][1:], found[4])


Made = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """A kind of constraint on a list of words."""

    make: Callable[[Answer, str, random.Random], Made | None]
    """Text and arguments of one that the answer meets, of words of a topic; None where there is none."""
    check: Callable[..., bool]
    """Whether an answer meets one with such arguments."""


def _no_letter(words: Sequence[str], rng: random.Random) -> Made | None:
    unused = [c for c in "aegilor" if c not in "".join(words)]
    return (f"no {(c := rng.choice(unused))}", {"letter": c}) if unused else None


def _with(words: Sequence[str], text: str, rng: random.Random) -> Made | None:
    return (text.format(word := rng.choice(words)), {"word": word}) if words else None


KINDS = {
    "count": Kind(
        lambda a, topic, rng: (f"{NUMBERS[len(a.words)]} words", {"number": len(a.words)}),
        lambda a, number: len(a.words) == number,
    ),
    "first": Kind(
        lambda a, topic, rng: _with(a.words[:1], "{} first", rng), lambda a, word: a.words[0] == word
    ),
    "last": Kind(
        lambda a, topic, rng: _with(a.words[-1:], "{} last", rng), lambda a, word: a.words[-1] == word
    ),
    "include": Kind(lambda a, topic, rng: _with(a.words[1:-1], "with {}", rng), lambda a, word: word in a.words),
    "avoid": Kind(
        lambda a, topic, rng: _with([w for w in WORDS[topic] if w not in a.words], "without {}", rng),
        lambda a, word: word not in a.words,
    ),
    "case": Kind(lambda a, topic, rng: (CASES[a.case], {"case": a.case}), lambda a, case: a.case == case),
    "separator": Kind(
        lambda a, topic, rng: (SEPARATORS[a.separator] + " between", {"separator": a.separator}) if a.separator else None,
        lambda a, separator: a.separator == separator,
    ),
    "end": Kind(
        lambda a, topic, rng: (f"{a.mark} at the end", {"mark": a.mark}) if a.mark else None,
        lambda a, mark: a.mark == mark,
    ),
    "sorted": Kind(
        lambda a, topic, rng: ("from a to z", {}) if a.words == sorted(a.words) else None,
        lambda a: a.words == sorted(a.words),
    ),
    "distinct": Kind(
        lambda a, topic, rng: ("no word twice", {}) if len({*a.words}) == len(a.words) else None,
        lambda a: len({*a.words}) == len(a.words),
    ),
    "repeat": Kind(
        lambda a, topic, rng: (
            ("the first word at the end", {}) if a.words[0] == a.words[-1] and len(a.words) > 1 else None
        ),
        lambda a: a.words[0] == a.words[-1] and len(a.words) > 1,
    ),
    "longest": Kind(
        lambda a, topic, rng: (
            f"at most {NUMBERS[n := max(map(len, a.words))]} letters a word",
            {"number": n},
        ),
        lambda a, number: max(map(len, a.words)) <= number,
    ),
    "no_letter": Kind(
        lambda a, topic, rng: _no_letter(a.words, rng),
        lambda a, letter: not any(letter in word for word in a.words),
    ),
    "brackets": Kind(
        lambda a, topic, rng: (
            (f"in {BRACKETS[a.brackets]} brackets", {"brackets": a.brackets}) if a.brackets else None
        ),
        lambda a, brackets: a.brackets == brackets,
    ),
}


def _check(kind: str, output: str, topic: str, **arguments: Any) -> bool:
    """No list of words of the topic meets nothing: it is no answer to the query."""
    answer = Answer.read(output)
    return answer is not None and {*answer.words} <= {*WORDS[topic]} and KINDS[kind].check(answer, **arguments)


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
        check_setting(least <= most, "task.settings.max_constraints", f"min_constraints={least} or more", most)


def is_held_out(row: Example) -> bool:
    """Whether two kinds of the row's are not to stand together in training: one pair in 16 is not.

    So whatever part of a training row's constraints hindsight leaves, it is none of a test row's sets.
    """
    pairs = combinations(sorted(constraint.kind for constraint in row.constraints), 2)
    return any(hashlib.sha256(" ".join(pair).encode()).digest()[0] % 16 == 0 for pair in pairs)


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

    def pretraining_rows(self, seed: int, n: int) -> tuple[Example, ...]:
        """Rows of one constraint, which come again with other answers."""
        return tuple(self.draw(random.Random(f"{self.name}/base/{seed}/{i}"), 1) for i in range(n))

    def draw(self, rng: random.Random, number: int) -> Example:
        """A row of so many constraints, which its target meets."""
        topic = rng.choice([*WORDS])
        while True:
            kinds = rng.sample([*KINDS], number)
            if "repeat" in kinds and {"last", "sorted", "distinct"} & {*kinds}:
                continue
            for _ in range(20):
                answer = _answer(topic, kinds, rng)
                made = [KINDS[kind].make(answer, topic, rng) for kind in kinds]
                if all(made):
                    constraints = (
                        Constraint(text, f"words:{kind}", (("topic", topic), *arguments.items()))
                        for kind, (text, arguments) in zip(kinds, made)
                    )
                    return Example(f"Name {topic}.", (answer.text,), constraints=tuple(constraints))


def _answer(topic: str, kinds: Sequence[str], rng: random.Random) -> Answer:
    """A list at random, likely to be one that meets constraints of these kinds."""
    words = WORDS[topic]
    chosen = rng.choices(words, k=rng.randint(2, MAX_WORDS))
    if rng.random() < 0.5:
        chosen = rng.sample(words, len(chosen))
    if "sorted" in kinds:
        chosen.sort()
    if "repeat" in kinds or rng.random() < 0.1:
        chosen[-1] = chosen[0]
    style = rng.choice([*CASES]), rng.choice([*SEPARATORS]), rng.choice(["", *BRACKETS]), rng.choice(["", *MARKS])
    return Answer(chosen, *style)
