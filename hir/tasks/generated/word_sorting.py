"""Generated word sorting: "Sort the following words alphabetically: List: river apple" -> "apple river".

Rows in the style of BIG-Bench Hard's word sorting, any number of them, as long as the settings say.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from hir.config.schema import limited
from hir.errors import UserError
from hir.records import Example
from hir.tasks.base import GeneratedTask, register

WORDS = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()
FORMS = (
    "Sort the following words alphabetically: List: {}",
    "Sort the following words alphabetically:\nList: {}\nSorted:",
)


@dataclass(frozen=True)
class Settings:
    """Difficulty of word_sorting (``task.settings.*``)."""

    min_words: int = 2
    """Fewest words in a list."""
    max_words: int = 20
    """Most words in a list."""
    num_words: int = len(WORDS)
    """Different words there are, evenly spread over the alphabet; fewer are easier to know the order of."""
    compounds: bool = True
    """Let one word or more of a list be two in one, such as applecart: so are there some 40,000."""
    forms: int = limited(2, "[1, 2]")
    """Wordings: 1 is that of BIG-Bench Hard alone, 2 that of BIG-bench too."""

    def __post_init__(self) -> None:
        if not 2 <= self.min_words <= self.max_words <= self.num_words <= len(WORDS):
            raise UserError(f"task.settings needs 2 <= min_words <= max_words <= num_words <= {len(WORDS)}")


@register("word_sorting")
class WordSorting(GeneratedTask[Settings]):
    """Put different words into alphabetical order; the answer is the words with spaces between."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        s = self.settings
        known = [WORDS[i * len(WORDS) // s.num_words] for i in range(s.num_words)]
        words = rng.sample(known, rng.randint(s.min_words, s.max_words))
        if s.compounds:
            for i in rng.sample(range(len(words)), rng.randint(1, len(words))):
                words[i] += rng.choice(known)
        query = rng.choice(FORMS[: s.forms]).format(" ".join(words))
        return Example(query=query, targets=(" ".join(sorted(words)),))
