"""Reading the public format of IFEval: a JSON object a line with prompt, instruction_id_list and kwargs.

The prompt states its demands itself; a constraint has its text for hindsight, which says what was met.
"""

import json
import re
from collections.abc import Callable
from math import inf
from pathlib import Path
from string import Formatter
from typing import Any

from hir.config.keys import suggest
from hir.errors import UserError
from hir.feedback.constraints import COMPARE, check, consistent
from hir.records import Constraint, Example

TEXTS = {
    "keywords:existence": "use the keywords {keywords}",
    "keywords:frequency": "use the keyword {keyword} {relation} {frequency} times",
    "keywords:forbidden_words": "avoid the words {forbidden_words}",
    "keywords:letter_frequency": "use the character {letter} {let_relation} {let_frequency} times",
    "language:response_language": "write in {language}",
    "length_constraints:number_sentences": "write {relation} {num_sentences} sentences",
    "length_constraints:number_paragraphs": "write {num_paragraphs} paragraphs with *** between them",
    "length_constraints:number_words": "write {relation} {num_words} words",
    "length_constraints:nth_paragraph_first_word": "write {num_paragraphs} paragraphs with empty lines "
    "between them, and begin number {nth_paragraph} with {first_word}",
    "detectable_content:number_placeholders": "leave at least {num_placeholders} places in square brackets",
    "detectable_content:postscript": "add a postscript that begins with {postscript_marker}",
    "detectable_format:number_bullet_lists": "make {num_bullets} bullet points",
    "detectable_format:constrained_response": "say just one of My answer is yes. My answer is no. "
    "My answer is maybe.",
    "detectable_format:number_highlighted_sections": "highlight at least {num_highlights} pieces *like this*",
    "detectable_format:multiple_sections": "write at least {num_sections} sections marked {section_spliter} "
    "and their numbers",
    "detectable_format:json_format": "write JSON and nothing else",
    "detectable_format:title": "give it a title <<like this>>",
    "combination:two_responses": "give two different answers with ****** between them",
    "combination:repeat_prompt": "first repeat: {prompt_to_repeat}",
    "startend:end_checker": "end with: {end_phrase}",
    "startend:quotation": "put double quotation marks around it all",
    "change_case:capital_word_frequency": "write {capital_relation} {capital_frequency} words in capitals",
    "change_case:english_capital": "write in capital letters only",
    "change_case:english_lowercase": "write in lowercase letters only",
    "punctuation:no_comma": "use no comma",
}
"""By kind; names in braces are its arguments, all of which it has."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


ARGUMENTS: list[tuple[str, str, Callable[[Any], bool]]] = [
    (".*_paragraphs?", "a whole number, 1 or more", lambda v: type(v) is int and v >= 1),
    ("num_.*|.*frequency", "a whole number, 0 or more", lambda v: type(v) is int and v >= 0),
    (".*relation", f"one of {', '.join(COMPARE)}", lambda v: v in [*COMPARE]),
    ("keywords|.*_words", "texts", lambda v: isinstance(v, tuple) and v != () and all(map(_is_text, v))),
    ("letter", "one character", lambda v: _is_text(v) and len(v) == 1 and not v.isspace()),
    (".*", "a text", _is_text),
]
"""Names, of which the first that fits counts, what they must be, and whether a value is."""

LANGUAGES = dict(
    pair.split("=")
    for pair in """ar=Arabic bg=Bulgarian bn=Bengali de=German en=English es=Spanish fa=Persian fi=Finnish
    fr=French gu=Gujarati he=Hebrew hi=Hindi it=Italian ja=Japanese kn=Kannada ko=Korean ml=Malayalam
    mr=Marathi ne=Nepali pa=Punjabi pl=Polish pt=Portuguese ru=Russian sw=Swahili ta=Tamil te=Telugu th=Thai
    uk=Ukrainian ur=Urdu vi=Vietnamese""".split()
)
"""Those that IFEval asks for."""


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
    return Example(prompt.strip(), (), constraints=consistent(map(constraint, kinds, given)))


def constraint(kind: str, kwargs: dict[str, Any]) -> Constraint:
    """An instruction, checked, with its text; a null is an argument that it does not have."""
    if kind not in TEXTS:
        raise UserError(f"no instruction is called {kind!r}{suggest(kind, TEXTS)}")
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in kwargs.items() if v is not None}
    takes = [name for _, name, *_ in Formatter().parse(TEXTS[kind]) if name]
    if {*given} != {*takes}:
        names = (", ".join(some) or "none" for some in (takes, given))
        raise UserError("the arguments of {} are {}, not {}".format(kind, *names))
    for name in takes:
        rule, fits = next((rule, fits) for names, rule, fits in ARGUMENTS if re.fullmatch(names, name))
        if not fits(given[name]):
            raise UserError(f"{name} of {kind} must be {rule}, not {given[name]!r}")
    if given.get("nth_paragraph", 0) > given.get("num_paragraphs", inf):
        raise UserError(f"{kind} has no paragraph {given['nth_paragraph']} of {given['num_paragraphs']}")
    said = {name: ", ".join(v) if isinstance(v, tuple) else v for name, v in given.items()}
    if (language := said.get("language", "en")) not in LANGUAGES:
        raise UserError(f"no language is called {language!r}{suggest(language, LANGUAGES)}")
    text = TEXTS[kind].format(**{**said, "language": LANGUAGES[language]})
    made = Constraint(text, kind, tuple((name, given[name]) for name in takes))
    check(made, "a")  # it may need a package
    return made
