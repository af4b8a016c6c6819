"""Answers to rows of BigBench tasks from their text alone; none knows how generated rows are made.

Each file's ``solve(stem, options)`` gives the answer to a row, the text of an option where it has some. It
raises ValueError or LookupError where it cannot read the row.
"""

import re


def find(pattern: str, text: str) -> re.Match[str]:
    """The first match; ValueError where there is none."""
    if not (match := re.search(pattern, text)):
        raise ValueError(f"nothing in it reads {pattern}")
    return match
