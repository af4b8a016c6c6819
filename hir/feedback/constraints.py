"""Constraints: feedback that says which parts of a row's own instruction an answer meets, and their checkers.

The 25 kinds of IFEval (Zhou et al. 2023, arXiv 2311.07911) have its names and behave as its published code
does, but where a comment says otherwise: what must stand in an answer is plain text, and without case where
nothing is said; an answer without a visible character meets nothing.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import combinations
from operator import ge, lt
from statistics import fmean
from typing import Any

from hir.errors import UserError
from hir.feedback.base import Feedback, Match, register
from hir.records import Constraint, Example, Verdict

COMPARE: dict[str, Callable[[int, int], bool]] = {"at least": ge, "less than": lt}


def check(constraint: Constraint, output: str) -> bool:
    """Whether the output meets the constraint."""
    return output.strip() != "" and CHECKERS[constraint.kind](output, **dict(constraint.arguments))


def read_constraints(given: Any) -> tuple[Constraint, ...]:
    """The constraints of a row of a file, objects with a text, a kind and its arguments; UserError."""
    made = []
    for one in given if isinstance(given, list) else [given]:
        keys = ("text", "kind", "arguments")
        text, kind, arguments = map(one.get, keys) if isinstance(one, dict) else (None, None, None)
        if not isinstance(text, str) or not isinstance(arguments, dict) or kind not in CHECKERS:
            raise UserError(f"constraints: {one!r:.80} has no text, known kind and object of arguments")
        values = (tuple(v) if isinstance(v, list) else v for v in arguments.values())
        made.append(Constraint(text, kind, (*zip(arguments, values, strict=True),)))
        try:
            check(made[-1], "a")
        except TypeError as error:
            raise UserError(f"constraints: {text!r:.80}: {error}") from error
    return tuple(made)


@register("constraints")
@dataclass(frozen=True)
class Constraints:
    """Right is what meets all constraints of its row; a row without any goes to the task's own feedback."""

    @dataclass
    class Settings:
        """None."""

    settings: Settings | None = None
    own: Feedback = Match()
    graded = True

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        pairs = list(zip(rows, outputs, strict=True))
        plain = [(row, output) for row, output in pairs if not row.constraints]
        others = iter(self.own(*map(list, zip(*plain, strict=True)))) if plain else iter(())
        met = (tuple(check(c, output) for c in row.constraints) for row, output in pairs)
        return [Verdict(all(parts), fmean(parts), parts) if parts else next(others) for parts in met]

    def about(self, rows: Sequence[Example]) -> str:
        """How the rows are judged: "constraints of 14 kinds"."""
        kinds = {constraint.kind for row in rows for constraint in row.constraints}
        return f"constraints of {len(kinds)} kind{'s'[: len(kinds) > 1]}" if kinds else self.own.about(rows)


EXCLUDING = [
    {"change_case:english_capital", "change_case:english_lowercase"},
    {"change_case:english_capital", "detectable_format:constrained_response"},
    {"change_case:english_lowercase", "detectable_format:constrained_response"},
    {"detectable_format:json_format", "startend:quotation"},
    {"language:response_language"},
    {"detectable_format:number_bullet_lists"},
    {"length_constraints:number_paragraphs"},
]
"""Kinds that no answer meets together, or twice with other arguments."""


def consistent(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """The different constraints of a row; UserError where the kinds of two exclude each other."""
    row = tuple(dict.fromkeys(constraints))
    for one, other in combinations(row, 2):
        if {one.kind, other.kind} in EXCLUDING:
            raise UserError(f"{one.text!r} and {other.text!r} exclude each other")
    return row


# The kinds of IFEval. First those that take more than a line.


def _language(output: str, language: str) -> bool:
    """Departs from IFEval where no language can be told, of digits say: that is no answer in it."""
    try:
        langdetect: Any = import_module("langdetect")
    except ImportError as error:
        raise UserError("language:response_language needs langdetect: pip install langdetect") from error
    langdetect.DetectorFactory.seed = 0  # else it draws, and tells one text differently from time to time
    try:
        return bool(langdetect.detect(output) == language)
    except langdetect.LangDetectException:
        return False


# A list's "1." and an initial or a title before a name end no sentence.
_NO_STOP = re.compile(
    r"(?im)(?:^[ \t]*\d+|(?<![\w.])(?:mr|mrs|ms|dr|prof|st|vs|(?:[a-z]\.)*[a-hj-z]))\.(?=\s)"
)
_STOP = re.compile(r"(?<![.!?…])[.!?…]+[\"'”’»)\]*_]*(?=\s|$)|[。！？]")


def _sentences(output: str, num_sentences: int, relation: str) -> bool:
    """Departs from IFEval, which asks a trained model: here a sentence ends in a mark before white space, or
    with the text, and has a letter or digit."""
    parts = _STOP.split(_NO_STOP.sub("", output))
    return COMPARE[relation](sum(re.search(r"[^\W_]", part) is not None for part in parts), num_sentences)


def _between(output: str, mark: str) -> list[str]:
    """The texts between marks; one at the start or the end has nothing before or after it."""
    parts = [part.strip() for part in output.split(mark)]
    return parts[not parts[0] : len(parts) - (not parts[-1])]


def _nth_paragraph(output: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Departs from IFEval in that empty paragraphs, which do not count, do not move the others' places."""
    parts = [part.strip() for part in output.split("\n\n") if part.strip()]
    firsts = [re.split(r"[\s.,?!'\"]", part.lstrip("'\""), maxsplit=1)[0].lower() for part in parts]
    return len(parts) == num_paragraphs and firsts[nth_paragraph - 1] == first_word.lower()


def _json(output: str) -> bool:
    """With or without a fence around it; departs from IFEval in that a mere number or text is no JSON."""
    text = re.sub(r"^```(?:json)?", "", output.strip(), flags=re.IGNORECASE).removesuffix("```")
    try:
        return isinstance(json.loads(text), (dict, list))
    except (ValueError, RecursionError):
        return False


def _number(pattern: str, output: str) -> int:
    return len(re.findall(pattern, output, re.MULTILINE))


def _has(pattern: str, output: str) -> bool:
    return re.search(pattern, output, re.IGNORECASE) is not None


CHECKERS: dict[str, Callable[..., bool]] = {
    # Inside a word, too; but what is forbidden is forbidden as a word.
    "keywords:existence": lambda o, keywords: all(word.lower() in o.lower() for word in keywords),
    "keywords:frequency": lambda o, keyword, frequency, relation: COMPARE[relation](
        o.lower().count(keyword.strip().lower()), frequency),
    "keywords:forbidden_words": lambda o, forbidden_words: not _has(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, forbidden_words))})(?!\w)", o),
    "keywords:letter_frequency": lambda o, letter, let_frequency, let_relation: COMPARE[let_relation](
        o.lower().count(letter.lower()), let_frequency),
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": lambda o, num_paragraphs: (
        len(parts := _between(o, "***")) == num_paragraphs and all(parts)),
    "length_constraints:number_words": lambda o, num_words, relation: COMPARE[relation](
        _number(r"\w+", o), num_words),
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    # Departs from IFEval in that [] holds no place.
    "detectable_content:number_placeholders": lambda o, num_placeholders: (
        _number(r"\[[^][\n]+\]", o) >= num_placeholders),
    # With or without a space after its full stops.
    "detectable_content:postscript": lambda o, postscript_marker: _has(
        re.escape(postscript_marker.strip()).replace(r"\.", r"\.\s?"), o),
    # Lines that begin with - or one *.
    "detectable_format:number_bullet_lists": lambda o, num_bullets: (
        _number(r"^[^\S\n]*(?:-|\*(?!\*))", o) == num_bullets),
    # Departs from IFEval in that an answer with two of them has not chosen.
    "detectable_format:constrained_response": lambda o: sum(
        f"My answer is {choice}." in o for choice in ("yes", "no", "maybe")) == 1,
    # *Like this* or **like this**, within a line.
    "detectable_format:number_highlighted_sections": lambda o, num_highlights: (
        _number(r"(\*\*?)(?!\*)[^\S\n]*[^\s*][^\n*]*\1", o) >= num_highlights),
    "detectable_format:multiple_sections": lambda o, section_spliter, num_sections: (
        _number(re.escape(section_spliter.strip()) + r"\s?\d+", o) >= num_sections),
    "detectable_format:json_format": _json,
    "detectable_format:title": lambda o: any(
        line.partition("<<")[2].rpartition(">>")[0].strip("<> \t\r") for line in o.split("\n")),
    "combination:two_responses": lambda o: (
        len(parts := _between(o, "******")) == len({*parts} - {""}) == 2),
    "combination:repeat_prompt": lambda o, prompt_to_repeat: (
        o.strip().lower().startswith(prompt_to_repeat.strip().lower())),
    "startend:end_checker": lambda o, end_phrase: (
        o.strip().strip('"').lower().endswith(end_phrase.strip().lower())),
    # Departs from IFEval in that something must be quoted.
    "startend:quotation": lambda o: o.strip()[0] == o.strip()[-1] == '"' and o.strip(' "\n') != "",
    # Joined by hyphens, apostrophes or full stops it is one word; nltk, which IFEval asks, parts "I'M".
    "change_case:capital_word_frequency": lambda o, capital_frequency, capital_relation: COMPARE[
        capital_relation](sum(map(str.isupper, re.findall(r"\w+(?:[-'’.]\w+)*", o))), capital_frequency),
    # Depart from IFEval, which asks langdetect for English, in that it may be any language.
    "change_case:english_capital": str.isupper,
    "change_case:english_lowercase": str.islower,
    "punctuation:no_comma": lambda o: "," not in o,
}  # fmt: skip
"""By kind, whether an output meets such a constraint, called with its arguments; a task may add its own."""
