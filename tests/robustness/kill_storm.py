"""Kills runs at random moments, several times each: python -m tests.robustness.kill_storm

Each time the same command, or resume= where it is refused, must end with what a run never killed has.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.robustness.same import Place, differences, survive, uninterrupted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--processes", type=int, default=1, help="rank 0, the others or all are killed")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of who is killed")
    options = parser.parse_args()
    rng, root = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kill_storm-"))
    whole, again = uninterrupted(root, options.processes)
    start = time.monotonic()
    survive(Place(root / "timed", options.processes, again.cache), [])
    seconds = time.monotonic() - start
    killed = runs = different = 0
    while killed < options.kills:
        runs += 1
        # Every third run makes its base, which takes about as long again.
        place = Place(root / f"run{runs}", options.processes, again.cache if runs % 3 else None)
        kills = [
            {
                "after": round(rng.uniform(0, seconds * (1 if place.cache else 2)), 3),
                "rank": rng.choice([0, 1, None]) if options.processes > 1 else 0,
            }
            for _ in range(min(rng.randint(2, 6), options.kills - killed))
        ]
        start = time.monotonic()
        survived, problems = survive(place, kills, lambda line: print(line, flush=True))
        if place.cache and not survived:  # the machine is less busy than it was
            seconds = time.monotonic() - start
        problems += differences(place, whole)
        print(f"{place.root.name}: {'; '.join(problems) or 'equal'}", flush=True)
        killed, different = killed + survived, different + bool(problems)
    print(f"{killed} kills in {runs} runs, {different} of them with differences")
    if not different:
        shutil.rmtree(root)
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
