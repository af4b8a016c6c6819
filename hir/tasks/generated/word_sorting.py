"""Generated word sorting: "Sort the following words alphabetically: List: river apple" -> "apple river".

Rows in the style of BIG-Bench Hard's word sorting, any number of them, as long as the settings say.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from hir.errors import UserError
from hir.records import Example
from hir.tasks.base import GeneratedTask, register

WORDS = tuple(
    """
    able acid acorn actor again age air alarm album ant apple april arch area arm army arrow art ash atlas
    aunt autumn baby back badge bag baker ball banana band bank barn basin basket bath beach beak bean bear
    beard bed bee bell belt bench berry bike bird black blade blanket block blue board boat body bone book
    boot bottle bowl box boy branch brave bread brick bridge broom brother brown brush bucket bug bus butter
    button cabin cake camel camp candle cap car card carpet carrot cart castle cat cave chain chair chalk
    cheese cherry chest chin circle city clay clock cloth cloud coal coast coat coin cold comb cook copper
    corn cotton couch cow crab cream crow crown cup curtain dance dark day deer desk dog doll donkey door
    dragon dress drum duck dust eagle ear earth east egg elbow engine evening eye face fan farm father
    feather fence field finger fire fish flag flame floor flower flute fly fog foot forest fork fox frame
    friend frog fruit game garden gate ghost gift giraffe girl glass glove goat gold goose grape grass green
    guitar hammer hand harbor hat hawk head heart hill honey hook horse hotel house ice ink iron island
    jacket jam jar jelly jewel judge jungle key king kite kitten knee knife ladder lake lamb lamp leaf lemon
    letter light lion lock log lunch magnet map market mask meal melon metal milk mirror moon moth mother
    mouse mouth music nail neck needle nest night north nose nut oak ocean office oil olive onion orange
    oven owl page paint paper park path pear pen pencil pepper piano picture pig pillow pin plane plant
    plate plum pocket pond pony potato queen quilt rabbit rain rat red ribbon rice ring river road robin
    rock roof room root rope rose sail salt sand school sea seed sheep shell ship shirt shoe silk silver
    sister skin sky sleep snail snow soap sock song soup south spider spoon spring square star stone storm
    street sugar summer sun swan table tail tea tent thumb tiger toast tomato tooth tower town toy train
    tree truck tulip turtle uncle valley vase violin voice wagon wall water wave west whale wheat wheel
    white wind window wing winter wolf wood wool yard year yellow zebra
    """.split()
)


@dataclass(frozen=True)
class Settings:
    """Difficulty of word_sorting (``task.settings.*``)."""

    min_words: int = 2
    """Fewest words in a list."""
    max_words: int = 4
    """Most words in a list."""
    num_words: int = 26
    """Different words there are, evenly spread over the alphabet; fewer are easier to know the order of."""

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
        return Example(
            query=f"Sort the following words alphabetically: List: {' '.join(words)}",
            targets=(" ".join(sorted(words)),),
        )
