"""Judges: whether an output is a right answer to a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hir.records import Example

Verifier = Callable[[Example, str], bool]

MAX_OPTIONS = 26 + 26 * 26
_LETTER = re.compile(r"\(?\s*([a-z]{1,2})\s*[).:]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:\(\s*([a-z]{1,2})\s*\)|\(?([a-z]{1,2})[).:])\s*(.+)", re.IGNORECASE | re.DOTALL
)


def normalise_answer(text: str) -> str:
    """Remove white space and full stops and lower-case, as HIR's reference code does before it compares."""
    return "".join(text.split()).replace(".", "").lower()


def exact_match(example: Example, output: str) -> bool:
    """Whether the output equals a target after :func:`normalise_answer`; an empty one never does."""
    answer = normalise_answer(output)
    return answer != "" and any(answer == normalise_answer(target) for target in example.targets)


def option_letter(index: int) -> str:
    """Letter of option ``index``: A to Z, then AA to ZZ."""
    return chr(65 + index) if index < 26 else chr(64 + index // 26) + chr(65 + index % 26)


def read_choice(text: str, options: Sequence[str]) -> int | None:
    """Index of the one option the text names as a whole, or None. The first reading that applies decides:

    1. a letter that labels an option, with or without brackets ("(B)", "B", "b)", "(B"), whatever the
       texts of the options are: with options ("B", "A") the output "B" is option (B), whose text is "A";
    2. a marked letter and the text of that same option ("(B) the owl"); with the text of another one: None;
    3. the text of exactly one option, but for case, runs of white space and a final full stop.
    """
    answer = _fold(text)
    letters = [option_letter(i).lower() for i in range(len(options))]
    texts = [_fold(option) for option in options]
    if not answer:
        return None
    if (match := _LETTER.fullmatch(answer)) and match[1] in letters:
        return letters.index(match[1])
    if answer in texts:
        return texts.index(answer) if texts.count(answer) == 1 else None
    if (match := _LETTER_AND_TEXT.fullmatch(answer)) and (letter := match[1] or match[2]) in letters:
        index = letters.index(letter)
        return index if match[3] == texts[index] else None
    return None


def multiple_choice(example: Example, output: str) -> bool:
    """Whether the output names a right option, by letter or by text as :func:`read_choice` reads it.

    Targets are letters ("(A)" or "A") or texts of options. A row without options is judged by
    :func:`exact_match`. Nothing is credited for an answer inside a longer output.
    """
    if not example.options:
        return exact_match(example, output)
    choice = read_choice(output, example.options)
    return choice is not None and choice in {read_choice(t, example.options) for t in example.targets}


def _fold(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").rstrip().lower()
