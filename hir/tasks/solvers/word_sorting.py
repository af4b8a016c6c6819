"""Solver of word_sorting: the words after "List:", in order."""

from hir.tasks.solvers import find


def solve(stem: str, options: tuple[str, ...]) -> str:
    """The words in order."""
    return " ".join(sorted(find(r"List:([^:]*?)(?:\n\s*Sorted:)?\s*$", stem)[1].split()))
