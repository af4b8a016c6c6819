"""Kills a run at every file-system event in turn: python -m tests.robustness.crash_points

Each time the same command, or resume= where it is refused, must end with what a run never killed has.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.robustness.same import Place, differences, survive, uninterrupted


def crash(root: Path, number: int, event: str, makes_base: bool) -> list[str]:
    """Kill a run at an event, go on with it, and compare it; returns what is wrong."""
    place = Place(root / f"{number}")
    if not makes_base:
        shutil.copytree(root / "first" / "cache", place.root / "cache")
    killed, problems = survive(place, [{"event": f"^{event.split()[0]} "}])
    problems = problems or differences(place, Place(root / "first"))
    if not killed:
        problems = ["the event did not come again", *problems]
    if not problems:
        shutil.rmtree(place.root)
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="number of the first event to be killed at")
    parser.add_argument("--last", type=int, help="of the last one")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time (default: cores)")
    parser.add_argument("--list", action="store_true", help="list the events only")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="crash_points-"))
    # Each process of the pool has a server of forks of its own.
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        first, second = pool.submit(uninterrupted, root).result()
        in_cache = [place for place, event in enumerate(first.events) if event.split()[2].startswith("cache")]
        points = [(event, True) for event in first.events[: in_cache[-1] + 1]]
        points += [(event, False) for event in second.events]
        chosen = [*enumerate(points, 1)][options.first - 1 : options.last : options.step]
        if options.list:
            print(*(f"{number}: {event}" for number, (event, _) in chosen), sep="\n")
            chosen = []
        print(f"{len(points)} events, of which {len(chosen)} are tried, in {root}", flush=True)
        tried = [pool.submit(crash, root, number, *point) for number, point in chosen]
        different = 0
        for done, ((number, (event, _)), result) in enumerate(zip(chosen, tried, strict=True), 1):
            if problems := result.result():
                different += 1
                print(f"event {number}, {event}: {'; '.join(problems)}", flush=True)
            if done % 10 == 0:
                print(f"{done} tried", flush=True)
    print(f"{len(chosen)} crash points, {len(chosen) - different} survived, {different} differences")
    if not different:
        shutil.rmtree(root)
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
