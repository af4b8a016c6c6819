"""Solver of word_sorting: the words after "List:", in order."""

import re


def solve(stem: str, options: tuple[str, ...]) -> str:
    """The answer to a row, from its text; ValueError where it cannot be read."""
    if not (found := re.search(r"List:(.*?)(?:\n\s*Sorted:)?\s*$", stem, re.DOTALL)):
        raise ValueError("no list")
    return " ".join(sorted(found[1].split()))
