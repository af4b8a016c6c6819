"""Two training rows whose tokens are places in conftest.WORDS.

0 is pad and start, 1 end, 3 "Q:", 4 "A:", 5 right, 6 wrong, 7 cat, 8 dog, 9 one, 10 two.
"""

from typing import Any

from hir.records import TrainingExample


def row_of(query: str, correct: bool, *output_ids: int, **more: Any) -> TrainingExample:
    own, other = ("right", "wrong") if correct else ("wrong", "right")
    return TrainingExample(0, query, own, output_ids, correct, contrast=(other,), **more)


ROWS = [row_of("cat", True, 9, 1), row_of("dog dog", False, 9, 7, 1, weight=0.5, prefix_ids=(10,))]
