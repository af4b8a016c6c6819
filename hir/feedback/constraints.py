"""Constraints: feedback that says which parts of a row's own instruction an answer meets, and their checkers.

The 25 kinds of IFEval (Zhou et al. 2023, arXiv 2311.07911) have its names and behave as its published code
does, but where a comment says otherwise; "words:..." are for lists of words. Of all of them: what must stand
in an answer is plain text, and without case where nothing is said; an answer without a visible character
meets nothing.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import permutations
from operator import eq, ge, le, lt
from statistics import fmean
from typing import Any

from hir.config.keys import suggest
from hir.errors import UserError
from hir.feedback.base import Feedback, register
from hir.feedback.match import Match
from hir.feedback.options import multiple_choice
from hir.records import Constraint, Example, Verdict

Checker = Callable[..., bool]
"""Whether an output meets a constraint with such arguments."""
COMPARE: dict[str, Checker] = {"exactly": eq, "at least": ge, "at most": le, "less than": lt}
CASES = {"upper": str.isupper, "lower": str.islower, "title": str.istitle}


@functools.lru_cache(maxsize=4096)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, as they are written."""
    return tuple(word for word in re.findall(r"[^\W\d_]+", text) if word.lower() != "and")


def check(constraint: Constraint, output: str) -> bool:
    """Whether the output meets the constraint."""
    said = words_of(output) if constraint.kind.startswith("words:") else output.strip()
    return bool(said) and CHECKERS[constraint.kind](output, **dict(constraint.arguments))


def checked(constraint: Constraint) -> Constraint:
    """The constraint, lists in it as tuples; UserError for an unknown kind or arguments it does not take."""
    kind = constraint.kind
    if kind not in CHECKERS:
        raise UserError(f"no constraint is called {kind!r}{suggest(kind, CHECKERS)}")
    given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in constraint.arguments}
    takes = [*inspect.signature(CHECKERS[kind]).parameters][1:]
    if {*given} != {*takes}:
        names = (", ".join(some) or "none" for some in (takes, given))
        raise UserError("the arguments of {} are {}, not {}".format(kind, *names))
    for name in takes:
        rule, fits = next((rule, fits) for names, rule, fits in VALUES if re.fullmatch(names, name))
        if not fits(given[name]):
            raise UserError(f"{name} of {kind} must be {rule}, not {given[name]!r}")
    if "nth_paragraph" in given and given["nth_paragraph"] > given["num_paragraphs"]:
        raise UserError(f"{kind} has no paragraph {given['nth_paragraph']} of {given['num_paragraphs']}")
    if "language" in given:
        _langdetect()
    return replace(constraint, arguments=tuple((name, given[name]) for name in takes))


@register("constraints")
@dataclass(frozen=True)
class Constraints:
    """Right is what meets all constraints of its row; a row without any goes to the task's own feedback."""

    @dataclass
    class Settings:
        """None."""

    settings: Settings | None = None
    own: Feedback = Match(multiple_choice)
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


# Constraints of one row that exclude each other.

ONCE = """words:first words:last words:case words:separator words:sorted words:start words:end
    language:response_language detectable_format:number_bullet_lists length_constraints:number_paragraphs"""
"""Kinds that a row asks for in one way only, whatever a lone word or letter may do."""
APART = [
    {"change_case:english_capital", "change_case:english_lowercase"},
    {"detectable_format:json_format", "startend:quotation"},
    {"words:distinct", "words:repeat"},
]
_LISTED, _CAPITALS = {"words:first", "words:last", "words:include"}, "change_case:capital_word_frequency"
_QUOTED, _RESPONSE = {"keywords:existence", "startend:end_checker"}, "detectable_format:constrained_response"
PARTS = {
    **dict.fromkeys(("keywords:forbidden_words", "punctuation:no_comma"), _QUOTED | {"keywords:frequency"}),
    **{f"words:{name}": _LISTED for name in ("avoid", "length", "letter", "start")},
    "words:no_letter": _LISTED | {"words:letter", "words:start"},
    "change_case:english_capital": {_RESPONSE},
    "change_case:english_lowercase": {_RESPONSE, _CAPITALS},
}
"""Kinds that an answer misses where a part of it does, and the kinds that ask for such a part."""
FIXED = {_RESPONSE: "My answer", _CAPITALS: "A"}
"""Those parts that are no argument."""


def consistent(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """The different constraints of a row, each :func:`checked`; UserError where some plainly exclude others.

    Not seen are those that combination:repeat_prompt excludes, as three rows of IFEval's own file have them.
    """
    row = tuple(dict.fromkeys(map(checked, constraints)))
    for one, other in [*zip(row, row, strict=True), *permutations(row, 2)]:
        if _exclude(one, other):
            raise UserError(f"{one.text!r} and {other.text!r} exclude each other")
    return row


def _exclude(one: Constraint, other: Constraint) -> bool:
    """Whether no answer meets both, as the first sees it."""
    if {one.kind, other.kind} in APART or one.kind == other.kind in ONCE.split() and one != other:
        return True
    (key, mine), (same, others) = _bound(one), _bound(other)
    if key == same and (bounds := mine + others):
        return not any(all(COMPARE[r](n, m) for r, m in bounds) for n in (0, *(m for _, m in bounds)))
    if other.kind not in PARTS.get(one.kind, ()) or any(COMPARE[r](0, n) for r, n in others):
        return False
    names = ("word", "letter", "keyword", "keywords", "end_phrase")
    parts = [value for name, value in other.arguments if name in names] or [FIXED[other.kind]]
    return not all(check(one, text) for part in parts for text in ([part] if isinstance(part, str) else part))


def _bound(constraint: Constraint) -> tuple[Any, list[tuple[str, int]]]:
    """What a constraint counts, and the relation and number that it asks for, if it does."""
    given = dict(constraint.arguments)
    relations = [given.pop(name) for name in [*given] if name.endswith("relation")]
    numbers = [given.pop(name) for name in [*given] if relations and isinstance(given[name], int)]
    return (constraint.kind, *given.values()), list(zip(relations, numbers, strict=True))


# IFEval's kinds. First those that take more than a line.


def _language(output: str, language: str) -> bool:
    """Departs from IFEval where no language can be told, of digits say: that is no answer in it."""
    langdetect = _langdetect()
    try:
        return bool(langdetect.detect(output) == language)
    except langdetect.LangDetectException:
        return False


def _langdetect() -> Any:
    try:
        module = import_module("langdetect")
    except ImportError as error:
        raise UserError("language:response_language needs langdetect: pip install langdetect") from error
    module.DetectorFactory.seed = 0  # else it draws, and tells one text differently from time to time
    return module


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


CHECKERS: dict[str, Checker] = {
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
    # Of lists of words, without case. A word is a run of letters; "and" stands between words and is none.
    "words:count": lambda o, relation, number: COMPARE[relation](len(words_of(o)), number),
    "words:first": lambda o, word: words_of(o.lower())[0] == word.lower(),
    "words:last": lambda o, word: words_of(o.lower())[-1] == word.lower(),
    "words:include": lambda o, word: word.lower() in words_of(o.lower()),
    "words:avoid": lambda o, word: word.lower() not in words_of(o.lower()),
    "words:case": lambda o, case: all(map(CASES[case], words_of(o))),
    "words:sorted": lambda o, order: (
        words := words_of(o.lower())) == tuple(sorted(words, reverse=order == "descending")),
    "words:distinct": lambda o: len({*words_of(o.lower())}) == len(words_of(o)),
    # The first word again at the end.
    "words:repeat": lambda o: len(words := words_of(o.lower())) > 1 and words[0] == words[-1],
    # Of every word.
    "words:length": lambda o, relation, number: all(COMPARE[relation](len(w), number) for w in words_of(o)),
    "words:letter": lambda o, letter: all(letter.lower() in word for word in words_of(o.lower())),
    "words:no_letter": lambda o, letter: not any(letter.lower() in word for word in words_of(o.lower())),
    "words:start": lambda o, letter: all(word.startswith(letter.lower()) for word in words_of(o.lower())),
    # The mark at the very end, which the other kinds pass over.
    "words:end": lambda o, mark: o.rstrip().endswith(mark),
    # Just this between every two words.
    "words:separator": lambda o, separator: separator.join(words_of(o)).casefold() in o.casefold(),
}  # fmt: skip


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


VALUES: list[tuple[str, str, Checker]] = [
    ("number|.*_paragraphs?", "a whole number, 1 or more", lambda v: type(v) is int and v >= 1),
    ("num_.*|.*frequency", "a whole number, 0 or more", lambda v: type(v) is int and v >= 0),
    (".*relation", f"one of {', '.join(COMPARE)}", lambda v: v in [*COMPARE]),
    (".*words|keywords", "texts", lambda v: isinstance(v, tuple) and v != () and all(map(_is_text, v))),
    ("letter|mark", "one character", lambda v: _is_text(v) and len(v) == 1 and not v.isspace()),
    ("word", "a word", lambda v: _is_text(v) and words_of(v) == (v,)),
    ("separator", "a text without words, and aside", lambda v: _is_text(v) and words_of(v) == ()),
    ("case", f"one of {', '.join(CASES)}", lambda v: v in [*CASES]),
    ("order", "one of ascending, descending", lambda v: v in ("ascending", "descending")),
    (".*", "a text", _is_text),
]
"""Names of arguments, of which the first that fits counts, what they must be, and whether a value is."""
