"""IFEval (Zhou et al. 2023, arXiv 2311.07911): its public format, and its 25 kinds of instructions.

A row is a JSON object a line with prompt, instruction_id_list and kwargs. The prompt states its demands
itself; a constraint has its text for hindsight, which says what was met. The kinds behave as the published
code does, but where a comment says otherwise: what must stand in an answer is plain text, mostly of any case.
"""

import json
import re
from collections.abc import Callable
from importlib import import_module
from operator import ge, lt
from pathlib import Path
from string import Formatter
from typing import Any

from hir.config.keys import suggest
from hir.errors import UserError
from hir.feedback.constraints import CHECKERS, check
from hir.records import Constraint, Example

COMPARE: dict[str, Callable[[int, int], bool]] = {"at least": ge, "less than": lt}


# First the kinds that take more than a line.


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
    asked = firsts[nth_paragraph - 1 : nth_paragraph]
    return len(parts) == num_paragraphs and asked == [first_word.lower()]


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


KINDS: dict[str, tuple[str, Callable[..., bool]]] = {
    # Inside a word, too; but what is forbidden is forbidden as a word.
    "keywords:existence": ("use the keywords {keywords}", lambda o, keywords: (
        all(word.lower() in o.lower() for word in keywords))),
    "keywords:frequency": (
        "use the keyword {keyword} {relation} {frequency} times", lambda o, keyword, frequency, relation: (
            COMPARE[relation](o.lower().count(keyword.strip().lower()), frequency))),
    "keywords:forbidden_words": ("avoid the words {forbidden_words}", lambda o, forbidden_words: not _has(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, forbidden_words))})(?!\w)", o)),
    "keywords:letter_frequency": (
        "use the character {letter} {let_relation} {let_frequency} times",
        lambda o, letter, let_frequency, let_relation: (
            COMPARE[let_relation](o.lower().count(letter.lower()), let_frequency))),
    "language:response_language": ("write in the language {language}", _language),
    "length_constraints:number_sentences": ("write {relation} {num_sentences} sentences", _sentences),
    "length_constraints:number_paragraphs": (
        "write {num_paragraphs} paragraphs with *** between them", lambda o, num_paragraphs: (
            len(parts := _between(o, "***")) == num_paragraphs and all(parts))),
    "length_constraints:number_words": (
        "write {relation} {num_words} words", lambda o, num_words, relation: (
            COMPARE[relation](_number(r"\w+", o), num_words))),
    "length_constraints:nth_paragraph_first_word": (
        "write {num_paragraphs} paragraphs with empty lines between them, and begin number {nth_paragraph} "
        "with {first_word}", _nth_paragraph),
    # Departs from IFEval in that [] holds no place.
    "detectable_content:number_placeholders": (
        "leave at least {num_placeholders} places in square brackets", lambda o, num_placeholders: (
            _number(r"\[[^][\n]+\]", o) >= num_placeholders)),
    # With or without a space after its full stops.
    "detectable_content:postscript": (
        "add a postscript that begins with {postscript_marker}", lambda o, postscript_marker: (
            _has(re.escape(postscript_marker.strip()).replace(r"\.", r"\.\s?"), o))),
    # Lines that begin with - or one *.
    "detectable_format:number_bullet_lists": ("make {num_bullets} bullet points", lambda o, num_bullets: (
        _number(r"^[^\S\n]*(?:-|\*(?!\*))", o) == num_bullets)),
    # Departs from IFEval in that an answer with two of them has not chosen.
    "detectable_format:constrained_response": (
        "say just one of My answer is yes. My answer is no. My answer is maybe.", lambda o: (
            sum(f"My answer is {choice}." in o for choice in ("yes", "no", "maybe")) == 1)),
    # *Like this* or **like this**, within a line.
    "detectable_format:number_highlighted_sections": (
        "highlight at least {num_highlights} pieces *like this*", lambda o, num_highlights: (
            _number(r"(\*\*?)(?!\*)[^\S\n]*[^\s*][^\n*]*\1", o) >= num_highlights)),
    "detectable_format:multiple_sections": (
        "write at least {num_sections} sections marked {section_spliter} and their numbers",
        lambda o, section_spliter, num_sections: (
            _number(re.escape(section_spliter.strip()) + r"\s?\d+", o) >= num_sections)),
    "detectable_format:json_format": ("write JSON and nothing else", _json),
    "detectable_format:title": ("give it a title <<like this>>", lambda o: any(
        line.partition("<<")[2].rpartition(">>")[0].strip("<> \t\r") for line in o.split("\n"))),
    "combination:two_responses": ("give two different answers with ****** between them", lambda o: (
        len(parts := _between(o, "******")) == len({*parts} - {""}) == 2)),
    "combination:repeat_prompt": ("first repeat: {prompt_to_repeat}", lambda o, prompt_to_repeat: (
        o.strip().lower().startswith(prompt_to_repeat.strip().lower()))),
    "startend:end_checker": ("end with: {end_phrase}", lambda o, end_phrase: (
        o.strip().strip('"').lower().endswith(end_phrase.strip().lower()))),
    # Departs from IFEval in that something must be quoted.
    "startend:quotation": ("put double quotation marks around it all", lambda o: (
        o.strip()[0] == o.strip()[-1] == '"' and o.strip(' "\n') != "")),
    # Joined by hyphens, apostrophes or full stops it is one word; nltk, which IFEval asks, parts "I'M".
    "change_case:capital_word_frequency": (
        "write {capital_relation} {capital_frequency} words in capitals",
        lambda o, capital_frequency, capital_relation: COMPARE[capital_relation](
            sum(map(str.isupper, re.findall(r"\w+(?:[-'’.]\w+)*", o))), capital_frequency)),
    # Depart from IFEval, which asks langdetect for English, in that it may be any language.
    "change_case:english_capital": ("write in capital letters only", str.isupper),
    "change_case:english_lowercase": ("write in lowercase letters only", str.islower),
    "punctuation:no_comma": ("use no comma", lambda o: "," not in o),
}  # fmt: skip
"""By kind its text, with the arguments that it has in braces, and whether an output meets one of them."""

CHECKERS.update({kind: checker for kind, (_, checker) in KINDS.items()})


def read_rows(path: Path) -> tuple[Example, ...]:
    """The rows of a file, without targets; UserError, naming the file and the line, if one is broken."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as text in UTF-8: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(_example(line))
            except UserError as error:
                raise UserError(f"{path}: line {number}: {error}") from error
    if not rows:
        raise UserError(f"{path} has no rows")
    return tuple(rows)


def _example(line: str) -> Example:
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()  # an escape may stand for half a character
    except (ValueError, RecursionError) as error:
        raise UserError(f"no JSON in UTF-8: {error}") from error
    keys = ("prompt", "instruction_id_list", "kwargs")
    prompt, kinds, kwargs = map(row.get, keys) if isinstance(row, dict) else (None, None, None)
    if not isinstance(prompt, str) or not prompt.strip():
        raise UserError("an object with a text 'prompt' is needed")
    if not isinstance(kinds, list) or not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise UserError("'instruction_id_list' must be a list of names")
    given = [{} if one is None else one for one in kwargs] if isinstance(kwargs, list) else []
    if len(given) != len(kinds) or not all(isinstance(one, dict) for one in given):
        raise UserError(f"'kwargs' must be a list of {len(kinds)} objects, one for each instruction")
    return Example(prompt.strip(), (), constraints=tuple(dict.fromkeys(map(constraint, kinds, given))))


def constraint(kind: str, kwargs: dict[str, Any]) -> Constraint:
    """An instruction, checked, with its text; a null is an argument that it does not have."""
    if kind not in KINDS:
        raise UserError(f"no instruction is called {kind!r}{suggest(kind, KINDS)}")
    text, _ = KINDS[kind]
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in kwargs.items() if v is not None}
    takes = [name for _, name, *_ in Formatter().parse(text) if name]
    if {*given} != {*takes}:
        raise UserError(f"the arguments of {kind} are {takes}, not {[*given]}")
    if wrong := [name for name in takes if not _fits(name, given[name])]:
        raise UserError(f"{wrong[0]} of {kind} cannot be {given[wrong[0]]!r}")
    said = {name: ", ".join(v) if isinstance(v, tuple) else v for name, v in given.items()}
    made = Constraint(text.format(**said), kind, tuple((name, given[name]) for name in takes))
    check(made, "a")  # it may need a package
    return made


def _fits(name: str, value: Any) -> bool:
    """Whether a value is what an argument of that name must be."""
    if name.endswith("relation"):
        return value in [*COMPARE]
    if name in ("keywords", "forbidden_words"):
        return isinstance(value, tuple) and value != () and all(isinstance(v, str) and v for v in value)
    if name.startswith(("num_", "nth_")) or name.endswith("frequency"):
        return type(value) is int and value >= (name.startswith("nth_") or name == "num_paragraphs")
    return isinstance(value, str) and value != ""
