"""Reading BigBench files: BIG-bench's own task.json and BIG-Bench Hard's NAME.json, told apart row by row.

The project's prompt is instruction + "\\nQ: " + query + "\\nA:". A query is, in BIG-bench's order:
task_prefix, example_input_prefix, input, options, example_output_prefix, each where it says something.
The prefixes "Q:" and "A:" (the defaults) and their like are dropped, for the prompt brings them; others
("Sentence:") stay.

- A row with ``target_scores`` is multiple choice. Its options follow as "Options:\\n(A) ...\\n(B) ..." in
  place of choice_prefix, unless the input lists them itself; the targets are the letters of the top scores.
- A row with ``target`` and ``append_choices_to_input: false`` is a free answer, with or without scores; but
  where preferred_score, or else every one of metrics, is a multiple_choice score, the scores say what is
  right, and the options, which the query does not show, are answered by their texts.
- A target of a multiple-choice row that is none of its options (an explanation) is right as it stands.
- A row with ``target`` whose input ends in lettered options is multiple choice (BIG-Bench Hard).
- A row may have ``constraints``, which then say what is right, and a ``group``.
- A target that is a number, true or false is its text in JSON.
- Where no row has an input but all have options, the file's prefix and the options are the question.
- Where a file has the right option at one place nearly always, the order of options gives the answer away;
  BIG-bench permutes them, and so does this reader, by the row's text. Otherwise the file's order stays.
"""

import functools
import json
import math
import random
import re
import reprlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hir.errors import UserError
from hir.feedback.answers import clean, option_letter, read_choice
from hir.feedback.constraints import read_constraints
from hir.records import Example

_HEADER = re.compile(r"^[ \t]*(?:answer )?(?:options|choices):?[ \t]*$", re.IGNORECASE | re.MULTILINE)
"""A line that says that options follow."""
_LABEL = re.compile(r"[ \t]*[(\[]?([A-Za-z]{1,2})(?:[)\]]|[.:](?!\S))(.*)")
# How a line begins that asks for the answer or asks something else.
_CUE = re.compile(
    r"(?:[a-z]+,? ){0,3}answer(?: is)?(?: ?[:=]|$)|(?:a|q|question|output|response) ?:", re.IGNORECASE
)

PLAIN_INPUT_PREFIXES = ("", "q:", "question:", "input:")
PLAIN_OUTPUT_PREFIXES = ("", "a:", "answer:", "output:")
MOST_UNUSABLE = 0.05
"""Largest share of a file's rows that are left out, rather than the file being refused."""


def read_rows(path: Path, most: float = MOST_UNUSABLE) -> tuple[tuple[Example, ...], dict[int, str]]:
    """The rows of a file in either format, and those left out: example number, from 1, to what is wrong.

    Raises UserError, naming the file, if it is no JSON or more than the share ``most`` cannot be used.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=lambda nan: None)
        json.dumps(data, ensure_ascii=False).encode()  # an escape may stand for half a character
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON in UTF-8: {error}") from error
    rows = data.get("examples") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} has no examples: an object with a list 'examples' of objects is needed")
    keys = ("task_prefix", "example_input_prefix", "example_output_prefix")
    before, label, ending = (str(data.get(key) or "").strip() for key in keys)
    label = "" if label.lower() in PLAIN_INPUT_PREFIXES else label
    ending = "" if ending.lower() in PLAIN_OUTPUT_PREFIXES else ending
    append = data.get("append_choices_to_input", True) is not False
    judged = data.get("preferred_score") or data.get("metrics") or ""
    metrics = judged if isinstance(judged, list) else [judged]
    graded = all(isinstance(m, str) and m.startswith("multiple_choice") for m in metrics)
    permute = _order_tells(rows)
    bare = all(row.get("input") == "" and row.get("target_scores") for row in rows)
    examples, left_out = [], {}
    for number, row in enumerate(rows, 1):
        try:
            example = _example(row, append or bare, graded, permute, bare)
        except UserError as error:
            left_out[number] = str(error)
            continue
        parts = (before, f"{label} {example.query}".strip(), ending)
        examples.append(replace(example, query="\n".join(filter(None, parts))))
    if len(left_out) > most * len(rows):
        number, reason = next(iter(left_out.items()))
        more = f", and {len(left_out) - 1} more cannot be used" if len(left_out) > 1 else ""
        raise UserError(f"{path}: example {number} of {len(rows)}: {reason}{more}")
    return tuple(examples), left_out


def _example(row: dict[str, Any], append: bool, graded: bool, permute: bool, bare: bool) -> Example:
    """A row without the file's prefixes; ``bare``: it has no input."""
    text = "" if bare else _text(row.get("input"), "input")
    stem, options = listed_options(text)
    given = row.get("target")
    given = given if isinstance(given, list) and given else [given]
    body, lettered = text, True
    if "target_scores" in row and (append or graded or "target" not in row):
        scores = _scores(row["target_scores"])
        top = max(scores.values())
        right = [option for option, score in scores.items() if score == top]
        if options:
            targets = _letters(right, options, by_text=scores.keys() <= set(options))
        elif not append and "target" in row:
            options, targets, lettered = tuple(scores), tuple(right), False
        else:
            names = sorted(scores) if permute else [*scores]
            if permute:
                random.Random(f"options/{text}").shuffle(names)
            options = tuple(names)
            lines = (f"({option_letter(i)}) {option}" for i, option in enumerate(options))
            body = "\n".join((*filter(None, [text]), "Options:", *lines))
            targets = _letters(right, options, by_text=True)
        texts = [_text(t, "target") for t in given if t not in (None, "")]
        targets += tuple(t for t in texts if read_choice(t, options, lettered) is None)
    else:
        targets = tuple(_text(t, "target") for t in given)
        if options:
            targets = _letters(targets, options)
    if len(set(options)) < len(options):
        raise UserError(f"duplicate options ({reprlib.repr(Counter(options).most_common(1)[0][0])})")
    constraints = read_constraints(row.get("constraints", []))
    group = scenario(stem) if row.get("group") in (None, "") else _text(row["group"], "group")
    return Example(body, targets, options, lettered, constraints, group)


def _text(value: Any, key: str) -> str:
    """A text that says something; of a target or a group a number, true or false, too."""
    if key != "input" and isinstance(value, (int, float)) and abs(value) < math.inf:
        value = json.dumps(value)
    if not value or isinstance(value, str) and not clean(value.strip()[:1000]):  # for the sake of speed
        raise UserError(f"{'no' if value is None else 'empty'} {key}")
    if not isinstance(value, str):
        raise UserError(f"{key} is not a text but {reprlib.repr(value)[:80]}")
    return value.strip()


def _scores(value: Any) -> dict[str, float]:
    """Score by option, checked: different options, and one of them right."""
    if not isinstance(value, dict) or not all(
        type(score) in (int, float) and abs(score) < math.inf for score in value.values()
    ):
        raise UserError("target_scores is not an object of numbers")
    scores = {_option(option): score for option, score in value.items()}
    if len(scores) < len(value):
        scores = value  # options that differ in white space alone
    if not max(scores.values(), default=0) > 0:
        raise UserError("no correct option: no score in target_scores is above 0")
    return scores


@functools.lru_cache(maxsize=4096)  # rows often share their options
def _option(text: str) -> str:
    return " ".join(_text(text, "option").split())


def _letters(right: Sequence[str], options: tuple[str, ...], by_text: bool = False) -> tuple[str, ...]:
    """The letters of the right options, which are given as their texts, or as texts or letters."""
    letters = []
    for text in right:
        index = options.index(text) if by_text else read_choice(text, options)
        if index is None:
            last = option_letter(len(options) - 1)
            raise UserError(f"the right answer {reprlib.repr(text)} is not among the options (A) to ({last})")
        letters.append(f"({option_letter(index)})")
    return tuple(letters)


def _order_tells(rows: list[dict[str, Any]]) -> bool:
    """Whether one place holds the right option in more than nine of ten rows, of ten rows or more."""
    places: Counter[int] = Counter()
    for row in rows:
        scores = row.get("target_scores")
        values = list(scores.values()) if isinstance(scores, dict) else []
        if values and all(type(value) in (int, float) for value in values):
            places[values.index(max(values))] += 1
    return places.total() >= 10 and max(places.values()) > 0.9 * places.total()


def listed_options(text: str) -> tuple[str, tuple[str, ...]]:
    """The input without the lettered options that it lists under its last header, and their texts, if any.

    The list ends before an empty line and before a cue ("Answer:", "A:", "The answer is", "Q: ...").
    """
    nothing = text.strip(), ()
    if not (headers := [*_HEADER.finditer(text)]):
        return nothing
    options: list[list[str]] = []
    for line in text[headers[-1].end() :].split("\n"):
        label = _LABEL.match(line)
        if label and label[1].upper() == option_letter(len(options)):
            options.append([label[2]])
        elif options:
            options[-1].append(line)
    if len(options) < 2:
        return nothing
    *before, last = options
    ends = (i for i, line in enumerate(last) if i and (not line.strip() or _CUE.match(line.strip())))
    # Where the options before it take a line each, what follows the last is no part of it.
    end = next(ends, len(last)) if any("".join(lines[1:]).strip() for lines in before) else 1
    texts = (" ".join(" ".join(lines).split()) for lines in [*before, last[:end]])
    return text[: headers[-1].start()].strip(), tuple(texts)


def scenario(stem: str) -> str:
    """What rows about one situation share: the input without its options and its question.

    The question is the last sentence or line if it ends in "?" or does not end at all ("At the end, Bob
    has"); a last statement belongs to the situation. Without anything before the question: the whole.
    """
    text = stem.strip()
    *before, last = re.split(r"(?<=[.?!])\s+|\n", text)
    asks = not last.endswith((".", "!"))
    kept = " ".join(before) if asks and before else text
    return " ".join(kept.split())
