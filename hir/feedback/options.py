"""Reading the text of an input: the options it ends in, and the scenario it shares with other rows."""

from __future__ import annotations

import re
from itertools import pairwise as pairs

from hir.feedback.match import option_letter

HEADER = re.compile(r"^[ \t]*(?:answer )?(?:options|choices):?[ \t]*$", re.IGNORECASE | re.MULTILINE)
"""A line that says that options follow."""
_LABEL = re.compile(r"^[ \t]*([(\[]?)([A-Za-z]{1,2})([)\]]|[.:](?=\s))", re.MULTILINE)
_FORMS = ("()", ")", "[]", ".", ":")
# A line, without runs of white space, that asks for the answer or asks something else, and its rest.
_CUE = re.compile(
    r"(?:(?:[a-z]+,? ){0,3}answer(?: is)?(?: ?[:=]|$)|(?:a|q|question|output|response) ?:) ?(.*)",
    re.IGNORECASE,
)


def listed_options(text: str) -> tuple[str, tuple[str, ...]]:
    """The input without the options it ends in, and their texts; no texts where they have no letters.

    The list ends before an empty line and before a cue ("Answer:", "A:", "The answer is", "Q: ...").
    """
    headers = list(HEADER.finditer(text))
    start, begin = (headers[-1].start(), headers[-1].end()) if headers else (len(text), 0)
    nothing = text[:start].strip(), ()
    labels = [label for label in _LABEL.finditer(text, begin) if label[1] + label[3] in _FORMS]
    firsts = [label for label in labels if label[2] in "Aa"]
    if not firsts:
        return nothing
    first = firsts[0 if headers else -1]
    labels = [x for x in labels if x.start() >= first.start() and (x[1], x[3]) == (first[1], first[3])]
    count = next((i for i, x in enumerate(labels) if x[2].upper() != option_letter(i)), len(labels))
    # The list ends within what follows its last label.
    lines = text[labels[count - 1].end() :].split("\n")
    cues = [_CUE.fullmatch(" ".join(line.split())) for line in lines]
    length = next((i for i in range(1, len(lines)) if cues[i] or not lines[i].strip()), len(lines))
    if count > 1 and all("\n" not in text[a.end() : b.start()].strip() for a, b in pairs(labels[:count])):
        length = 1  # the options before it take a line each, so what follows the last is no part of it
    stop = labels[count - 1].end() + len("\n".join(lines[:length]))
    if count < 2 or any(label.start() < stop for label in labels[count:]):
        return nothing
    if not headers:
        # Then only single lines count, with nothing but cues after them; "A:" may be somebody who speaks.
        more = zip(lines[length:], cues[length:], strict=True)
        goes_on = any(line.strip() and (cue is None or cue[1]) for line, cue in more)
        if first[3] == ":" or text.count("\n", first.start(), stop) != count - 1 or goes_on:
            return nothing
        start = first.start()
    ends = [*(label.start() for label in labels[1:count]), stop]
    options = (text[label.end() : end] for label, end in zip(labels[:count], ends, strict=True))
    return text[:start].strip(), tuple(" ".join(option.split()) for option in options)


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
