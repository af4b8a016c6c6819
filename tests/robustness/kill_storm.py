"""Kills runs at random moments, several times each: python -m tests.robustness.kill_storm

Each time the same command, or resume= where it is refused, is given again; at the end a run must have what a run
never killed has.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.robustness.same import Kill, Place, differences, survive, uninterrupted


def draw(rng: random.Random, seconds: float, processes: int) -> Kill:
    """A kill of rank 0, of the others, or of all, at a moment of a run that takes so many seconds."""
    rank = rng.choice([0, 1, None]) if processes > 1 else 0
    return {"after": round(rng.uniform(0, seconds), 3), "rank": rank}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of who is killed")
    options = parser.parse_args()
    rng, root = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kill_storm-"))
    reference, _ = uninterrupted(root, options.processes)
    seconds = {}
    for makes_base in (True, False):  # timed apart from the start of the server
        place = Place(root / f"timed{makes_base}", options.processes)
        if not makes_base:
            shutil.copytree(reference.root / "cache", place.root / "cache")
        start = time.monotonic()
        survive(place, [])
        seconds[makes_base] = time.monotonic() - start
    killed = runs = different = 0
    while killed < options.kills:
        runs += 1
        makes_base = runs % 4 == 1
        place = Place(root / f"run{runs}", options.processes)
        if not makes_base:
            shutil.copytree(reference.root / "cache", place.root / "cache")
        number = min(rng.randint(1, 5), options.kills - killed)
        kills = [draw(rng, seconds[makes_base], options.processes) for _ in range(number)]
        survived, problems = survive(place, kills, lambda line: print(line, flush=True))
        killed += survived
        problems = problems or differences(place, reference)
        print(f"{place.root.name}: {'; '.join(problems) or 'equal'}", flush=True)
        different += bool(problems)
        if not problems:
            shutil.rmtree(place.root)
    print(f"{killed} kills in {runs} runs, {runs - different} runs equal, {different} differences")
    if not different:
        shutil.rmtree(root)
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
