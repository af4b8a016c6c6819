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


def crash(place: Place, event: str, whole: Place) -> list[str]:
    """Kill a run at an event, go on with it, and compare it; returns what is wrong."""
    killed, problems = survive(place, [{"event": f"^{event.split()[0]} "}])
    problems += differences(place, whole) + ["the event did not come again"] * (not killed)
    if not problems:
        shutil.rmtree(place.root)
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="2: at every second event")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time (default: cores)")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="crash_points-"))
    # Each process of the pool has a server of forks of its own.
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        first, second = pool.submit(uninterrupted, root).result()
        in_cache = [number for number, event in enumerate(first.events, 1) if " cache/" in event]
        points = [(event, None) for event in first.events[: in_cache[-1]]]
        points += [(event, second.cache) for event in second.events]
        chosen = [*enumerate(points, 1)][:: options.step]
        print(f"{len(points)} events, of which {len(chosen)} are tried, in {root}", flush=True)
        tried = {
            f"{number} ({event})": pool.submit(crash, Place(root / f"{number}", cache=cache), event, first)
            for number, (event, cache) in chosen
        }
        different = 0
        for done, (point, result) in enumerate(tried.items(), 1):
            different += bool(problems := result.result())
            if problems or done % 10 == 0:
                print(f"{done} tried, at event {point}: {'; '.join(problems) or 'equal'}", flush=True)
    print(f"{len(chosen)} kills in {len(chosen)} runs, {different} of them with differences")
    if not different:
        shutil.rmtree(root)
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
