"""Generated instructions: "Do all: three words; in upper case; no e." Name animals. -> OWL, YAK, DOG

A row's instruction is a list of constraints that its answer, a list of words, must meet. Base rows have one
constraint; test rows have sets of kinds that no training row has.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from hir.errors import UserError
from hir.feedback.base import Feedback
from hir.feedback.constraints import Constraints, check
from hir.records import Constraint, Example
from hir.tasks.base import GeneratedTask, Task, register

WORDS = {
    "animals": "cat dog goat pig cow duck frog bear owl yak horse tiger",
    "fruits": "apple banana peach plum grape orange cherry pear lemon fig lime melon",
    "tools": "saw hammer drill file axe rake spade knife pen brush hook rope",
}
WORDS_OF = {topic: words.split() for topic, words in WORDS.items()}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")
CASES = {"upper": "in upper case", "lower": "in lower case", "title": "with capitals"}
SEPARATORS = {
    ", ": "commas between",
    " - ": "dashes between",
    " / ": "slashes between",
    " + ": "pluses between",
}
MARKS = {
    "!": "an exclamation mark at the end",
    ".": "a full stop at the end",
    "?": "a question mark at the end",
}
KINDS = """count first last include avoid case separator sorted distinct length letter no_letter start end
    repeat""".split()
MAX_WORDS = 5


@dataclass(frozen=True)
class Settings:
    """Difficulty of instructions (``task.settings.*``)."""

    min_constraints: int = 6
    """Fewest constraints of a row, at least 2: rows of one are what the tiny base was trained on."""
    max_constraints: int = 6
    """Most constraints of a row, up to 6."""

    def __post_init__(self) -> None:
        if not 2 <= self.min_constraints <= self.max_constraints <= 6:
            raise UserError("task.settings: 2 <= min_constraints <= max_constraints <= 6 must hold")


def is_held_out(row: Example) -> bool:
    """Whether the row's set of kinds belongs to validation and test: a fifth of all do."""
    kinds = sorted(constraint.kind for constraint in row.constraints)
    return hashlib.sha256(" ".join(kinds).encode()).digest()[0] % 5 == 0


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
        topic = rng.choice(list(WORDS))
        while True:
            kinds = rng.sample(KINDS, number)
            for _ in range(20):
                answer = _answer(topic, kinds, rng)
                constraints = [_constraint(kind, topic, answer, rng) for kind in kinds]
                if all(c is not None and check(c, answer.text) for c in constraints):
                    asked = tuple(c for c in constraints if c is not None)
                    return Example(f"Name {topic}.", (answer.text,), constraints=asked)


@dataclass(frozen=True)
class Answer:
    """A list of words as it is written."""

    words: list[str]
    case: str
    separator: str
    mark: str

    @property
    def text(self) -> str:
        text = self.separator.join(getattr(word, self.case)() for word in self.words)
        return text + self.mark


def _answer(topic: str, kinds: Sequence[str], rng: random.Random) -> Answer:
    """Words that may meet constraints of these kinds."""
    words = list(WORDS_OF[topic])
    if "letter" in kinds:
        letter = rng.choice("aeor")
        words = [word for word in words if letter in word] or words
    if "start" in kinds:
        letter = rng.choice(words)[0]
        words = [word for word in words if word[0] == letter]
    number = rng.randint(2 if {"separator", "sorted", "repeat"} & {*kinds} else 1, MAX_WORDS)
    chosen = [rng.choice(words) for _ in range(number)]
    if {"distinct", "sorted"} & {*kinds} and "repeat" not in kinds or rng.random() < 0.5:
        chosen = rng.sample(words, min(number, len(words)))
    if "sorted" in kinds:
        chosen.sort(reverse=rng.random() < 0.5)
    if "repeat" in kinds and len(chosen) > 1:
        chosen[-1] = chosen[0]
    mark = rng.choice(list(MARKS)) if "end" in kinds else ""
    return Answer(chosen, rng.choice(list(CASES)), rng.choice(list(SEPARATORS)), mark)


def _constraint(kind: str, topic: str, answer: Answer, rng: random.Random) -> Constraint | None:
    """One of a kind that the answer is likely to meet; None where there is none."""
    words, lengths = answer.words, [len(word) for word in answer.words]
    letters = sorted(set.intersection(*map(set, words)))
    text, arguments = "", dict[str, object]()
    match kind:
        case "count" | "length":
            n = len(words)
            relation = rng.choice(
                ["exactly", "at least", "at most"] if kind == "count" else ["at least", "at most"]
            )
            if kind == "length":
                n = min(lengths) if relation == "at least" else max(lengths)
            elif relation != "exactly":
                n = max(1, n - rng.randint(0, 1)) if relation == "at least" else n + rng.randint(0, 1)
            said = NUMBERS[n] if relation == "exactly" else f"{relation} {NUMBERS[n]}"
            noun = "words" if n > 1 else "word"
            text = f"{said} {noun}" if kind == "count" else f"{said} letters a word"
            arguments = {"relation": relation, "number": n}
        case "first":
            text, arguments = f"{words[0]} first", {"word": words[0]}
        case "last":
            text, arguments = f"{words[-1]} last", {"word": words[-1]}
        case "include":
            word = rng.choice(words)
            text, arguments = f"{word} among them", {"word": word}
        case "avoid":
            word = rng.choice([w for w in WORDS_OF[topic] if w not in words])
            text, arguments = f"without {word}", {"word": word}
        case "case":
            text, arguments = CASES[answer.case], {"case": answer.case}
        case "separator":
            text, arguments = SEPARATORS[answer.separator], {"separator": answer.separator}
        case "sorted":
            order = "ascending" if words == sorted(words) else "descending"
            text = "from a to z" if order == "ascending" else "from z to a"
            arguments = {"order": order}
        case "distinct":
            text = "no word twice"
        case "repeat":
            text = "the first word at the end too"
        case "letter":
            if not letters:
                return None
            letter = rng.choice(letters)
            text, arguments = f"{letter} in each word", {"letter": letter}
        case "no_letter":
            letter = rng.choice([c for c in "aeiorlnpt" if c not in "".join(words)] or ["z"])
            text, arguments = f"no {letter}", {"letter": letter}
        case "start":
            text, arguments = f"each word on {words[0][0]}", {"letter": words[0][0]}
        case "end":
            text, arguments = MARKS[answer.mark], {"mark": answer.mark}
    return Constraint(text, f"words:{kind}", tuple(arguments.items()))
