"""Reading the text of an input: the options it ends in, and the scenario it shares with other rows."""

from __future__ import annotations

import re

from hir.verifiers import option_letter

_HEADER = re.compile(r"^[ \t]*(?:answer )?(?:options|choices):?[ \t]*$", re.IGNORECASE | re.MULTILINE)
_LETTERED = re.compile(r"^[ \t]*(?:\(([A-Za-z]{1,2})\)|([A-Za-z]{1,2})\))[ \t]*", re.MULTILINE)


def listed_options(text: str) -> tuple[str, tuple[str, ...]]:
    """The input without the options it ends in, and their texts; no texts where they have no letters."""
    headers = list(_HEADER.finditer(text))
    start = headers[-1].start() if headers else len(text)
    marks = list(_LETTERED.finditer(text, headers[-1].end() if headers else 0))
    letters = [(mark[1] or mark[2]).upper() for mark in marks]
    if not headers and "A" in letters:
        # Without a header only a run of single lines at the very end counts as options.
        first = len(letters) - 1 - letters[::-1].index("A")
        marks, letters, start = marks[first:], letters[first:], marks[first].start()
        if text[start:].count("\n") != len(marks) - 1:
            return text, ()
    if len(marks) < 2 or letters != [option_letter(i) for i in range(len(letters))]:
        return (text[:start].strip() if headers else text), ()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = tuple(" ".join(text[mark.end() : end].split()) for mark, end in zip(marks, ends, strict=True))
    return text[:start].strip(), options


def scenario(stem: str) -> str:
    """What rows about one situation share: the input without its options and its question.

    The question is the last sentence or line if it ends in "?" or does not end at all ("At the end, Bob
    has"); a last statement belongs to the situation. Without anything before the question: the whole.
    """
    text = stem.strip()
    *before, last = re.split(r"(?<=[.?!])\s+|\s*\n\s*", text)
    asks = not last.endswith((".", "!"))
    kept = " ".join(before) if asks and before else text
    return " ".join(kept.split())
