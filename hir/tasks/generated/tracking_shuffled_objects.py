"""Generated swaps in the stories of BIG-bench's tracking_shuffled_objects, rendered as in BIG-Bench Hard."""

import random
from dataclasses import dataclass

from hir.config.schema import limited
from hir.records import Example
from hir.tasks.base import GeneratedTask, register

# No Bob: he is in every row of BIG-bench, so that none of them is met here.
NAMES = "Alice Claire Dave Eve Fred Gertrude Henry Iris Jack Kate Liam Maria Noah Olga".split()
# What they are doing | start | what first | how it goes on | "has" | "swap" | end | "has" | the things
STORIES = """\
playing a game|the game|are each holding a ball|As the game progresses, pairs of players trade balls|has
a|swap balls|the game|has the|black ball, blue ball, brown ball, green ball, orange ball, pink ball, purple
ball, red ball, white ball, yellow ball, gray ball, silver ball, golden ball;
holding a white elephant gift exchange|the event|are each holding a present of a different color|As the event
progresses, pairs of people swap gifts|has a|swap their gifts|the event|has the|black ball, orange ball, pink
ball, blue present, brown present, green present, purple present, red present, white present, yellow present;
on the same team in a soccer match|the match|are each assigned to a position|As the game progresses, pairs of
players occasionally swap positions|is playing|trade positions|the match|is playing|left winger, right winger,
striker, fullback, goalkeeper, left midfielder, right midfielder, center midfielder, benchwarmer, cheerleader;
friends and avid readers who occasionally trade books|the semester|each buy one new book|As the semester
proceeds, they start trading around the new books|gets|swap books|the semester|has|Catch-22, Frankenstein,
Lolita, Moby Dick, Dracula, The Great Gatsby, The Odyssey, The Pearl, Ulysses, Hound of the Baskervilles;
dancers at a square dance|a song|each have a partner|Throughout the song, the dancers often trade partners|is
dancing with|switch partners|the dance|is dancing with|Helga, Izzi, Jamie, Karl, Lola, Melissa, Ophelia,
Patrick, Rodrigo, Sam, Boris, Wanda""".replace("\n", " ").split("; ")


@dataclass(frozen=True)
class Settings:
    """Difficulty of tracking_shuffled_objects_* (``task.settings.*``)."""

    num_swaps: int | None = limited(None, "[2, 50]")
    """Swaps; null for as many as there are people."""


@register(
    "tracking_shuffled_objects_three_objects",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
)
class TrackingShuffledObjects(GeneratedTask[Settings]):
    """People swap what they have, two at a time; say what one of them has in the end."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        n = {"three": 3, "five": 5, "seven": 7}[self.name.split("_")[3]]
        doing, start, first, goes_on, has, swap, end, holds, listed = rng.choice(STORIES).split("|")
        people, things = rng.sample(NAMES, n), rng.sample(listed.split(", "), n)
        now, told, pair = dict(zip(people, things, strict=True)), "", ("", "")
        for word in ["First", *["Then"] * ((self.settings.num_swaps or n) - 2), "Finally"]:
            a, b = pair = rng.choice([(p, q) for p in people for q in people if p != q and {p, q} != {*pair}])
            now[a], now[b], told = now[b], now[a], f"{told}{word}, {a} and {b} {swap}. "
        *most, last = (f"{person} {has} {thing}" for person, thing in zip(people, things, strict=True))
        asked = rng.choice(people)
        options = "".join(f"\n({letter}) {thing}" for letter, thing in zip("ABCDEFG", things, strict=False))
        query = (
            f"{', '.join(people[:-1])}, and {people[-1]} are {doing}. At the start of {start}, they {first}: "
            f"{', '.join(most)}, and {last}.\n{goes_on}. "
            f"{told}At the end of {end}, {asked} {holds}\nOptions:{options}"
        )
        return Example(query, (f"({'ABCDEFG'[things.index(now[asked])]})",), tuple(things))
