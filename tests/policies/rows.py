"""Two training rows whose tokens are places in conftest.WORDS.

0 is pad and start, 1 end, 3 "Q:", 4 "A:", 5 right, 6 wrong, 7 cat, 8 dog, 9 one, 10 two.
"""

from hir.records import TrainingExample

ROWS = [
    TrainingExample(0, "cat", "right", (9, 1), correct=True, contrast=("wrong",)),
    TrainingExample(
        0, "dog dog", "wrong", (9, 7, 1), correct=False, contrast=("right",), weight=0.5, prefix_ids=(10,)
    ),
]
