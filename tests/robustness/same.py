"""Runs that are killed, gone on with as a user would, and compared with one that never was.

`python tests/robustness/same.py PLACE KILL key=value ...` trains like train.py and sends itself a signal, as
the JSON object KILL tells `watch`.
"""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a program: the project is two folders up
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.command_line import ROOT, SMALL, run

SETTINGS = [
    *SMALL, "task.num_train=64", "sampling.max_queries=16", "training.num_updates=2",
    "model.base.d_model=32", "model.base.num_layers=1", "model.base.max_updates=55",
    "trainer.max_epochs=3", "trainer.accelerator=cpu",
]  # fmt: skip
"""Three iterations of 16 queries x 4 samples and 2 updates, after a base that is right now and then."""

FOLDERS = ("run", "cache", "tmp")
"""What a place has: the run's folder, its cache and its temporary folder."""

CHANGES = {
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree",
}  # fmt: skip
"""Audit events, beside "open" for writing, of what changes a file system; os.replace is an os.rename."""

TIMES = {"seconds", "samples_per_second", "run_dir", "resume"}
"""Keys of what two runs need not share: how long it took, and where."""

Kill = dict[str, Any]
"""Arguments of `watch`."""


@dataclass(frozen=True)
class Place:
    """Where a run is to be: a folder with a temporary folder and, where none is given, a cache of its own."""

    root: Path
    processes: int = 1
    cache: Path | None = None

    @property
    def fresh(self) -> list[str]:
        """The command that starts the run."""
        return [*SETTINGS, f"trainer.devices={self.processes}", f"run_dir={self.root / 'run'}"]

    @property
    def resume(self) -> list[str]:
        return [f"resume={self.root / 'run'}"]

    @property
    def events(self) -> list[str]:
        """What happened in the last attempt: "17 os.rename run/metrics.csv", "killed"."""
        return (self.root / "events").read_text().splitlines()

    @property
    def files(self) -> set[str]:
        """Of the run, the cache and the temporary folder."""
        below = {name: self.root / name for name in FOLDERS} | ({"cache": self.cache} if self.cache else {})
        found = {f"{top}/{path.relative_to(below[top])}" for top in below for path in below[top].rglob("*")}
        # Half a base, which another process may be making, is cleared when it is an hour old.
        return {name for name in found if not name.startswith("cache/base/.")}

    def attempt(self, command: Sequence[str], kill: Kill | None = None) -> subprocess.CompletedProcess[str]:
        """Run train.py until it ends or is killed, and until all its processes have ended."""
        (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        places = {"HIR_CACHE": str(self.cache or self.root / "cache"), "TMPDIR": str(self.root / "tmp")}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **places}
        program = f"tests/robustness/same.py {self.root}"
        done = run(environment, json.dumps(kill or {}), *command, program=program)
        end = time.monotonic() + 60  # a rank that Lightning started outlives rank 0 by a moment
        search = ["pgrep", "-f", str(self.root)]
        while self.processes > 1 and subprocess.run(search, stdout=subprocess.DEVNULL).returncode == 0:
            if time.monotonic() > end:
                raise SystemExit(f"a rank outlived rank 0 by a minute: pgrep -f {self.root}, {kill}")
            time.sleep(0.1)
        return done


def survive(
    place: Place, kills: Sequence[Kill], say: Callable[[str], object] = lambda line: None
) -> tuple[int, list[str]]:
    """Repeat a command until it has ended, resume= where it is refused, each attempt killed as told.

    Returns: the number of kills, and what is wrong.
    """
    command, left, problems = place.fresh, [*kills], []
    while True:
        done = place.attempt(command, left[0] if left else None)
        if left and "killed" in place.events:
            say(f"{place.root.name}: {json.dumps(left.pop(0))}: exit code {done.returncode}")
        elif done.returncode == 2 and command == place.fresh:
            command = place.resume
        else:
            if done.returncode and "has finished" not in done.stderr:
                said = done.stderr.strip().splitlines()[-1:]
                problems.append(f"{command[-1]} ends with {done.returncode}: {said}")
            return len(kills) - len(left), problems


def uninterrupted(root: Path, processes: int = 1) -> tuple[Place, Place]:
    """Two equal runs: the first makes its base, the second finds it in the first one's cache."""
    first = Place(root / "first", processes)
    second = Place(root / "second", processes, first.root / "cache")
    if problems := survive(first, [])[1] + survive(second, [])[1] + differences(second, first):
        raise SystemExit(f"two uninterrupted runs differ: {problems}")
    return first, second


def differences(place: Place, other: Place) -> list[str]:
    """What a run, its cache and its temporary folder have that another's do not, but for times."""
    ours, theirs = place.files, other.files
    found = [f"{len(names)} missing: {sorted(names)[:3]}"] if (names := theirs - ours) else []
    found += [f"{len(names)} left over: {sorted(names)[:3]}"] if (names := ours - theirs) else []
    for name in sorted(ours & theirs):
        if name.startswith("run/") and (path := place.root / name).is_file():
            one, two = (dict(_leaves(_contents(each))) for each in (path, other.root / name))
            if where := [key for key in {**one, **two} if one.get(key) != two.get(key)]:
                found.append(f"{name} differs in {where[:3]}")
    return found


def _contents(path: Path) -> Any:
    import torch

    if path.suffix == ".ckpt":
        return torch.load(path, weights_only=True)
    if path.suffix == ".csv":
        return [*csv.DictReader(path.read_text().splitlines())]
    return json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values within a value by their path, tensors as bytes; no times."""
    if isinstance(value, dict | list | tuple):
        items = value if isinstance(value, dict) else dict(enumerate(value))
        yield f"{name} (length)", len(items)
        for key in items.keys() - TIMES:
            yield from _leaves(items[key], f"{name}/{key}")
    else:
        yield name, (value.dtype, value.shape, value.numpy().tobytes()) if hasattr(value, "numpy") else value


def watch(
    root: Path,
    name: str = "SIGKILL",
    event: str | None = None,
    nth: int = 1,
    after: float | None = None,
    rank: int | None = 0,
) -> None:
    """Note the file-system events of this process, and have a signal sent at one moment.

    Args:
        root: of its place.
        name: of the signal.
        event: before the nth event in which this regular expression finds something.
        nth: counted from 1.
        after: so many seconds from now.
        rank: 0 to this process, 1 to those that it started, null to both.
    """
    log, me = os.open(root / "events", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), os.getpid()
    number = found = 0

    def send() -> None:
        os.write(log, b"killed\n")
        started = map(int, Path(f"/proc/{me}/task/{me}/children").read_text().split())
        others = [child for child in started if child != os.getpid()]  # not the process that waits below
        for process in others * (rank != 0) + [me] * (rank != 1 or not others):
            os.kill(process, signal.Signals[name])

    def hook(happening: str, args: tuple[Any, ...]) -> None:
        nonlocal number, found
        writes = happening == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not (writes or happening in CHANGES) or not isinstance(args[0], str | bytes | os.PathLike):
            return
        path = os.fsdecode(args[0])
        if happening in ("os.remove", "os.rmdir", "os.mkdir") and args[-1] >= 0:  # relative to an open folder
            path = os.path.join(os.readlink(f"/proc/self/fd/{args[-1]}"), path)
        path = os.path.relpath(path, root)
        if os.getpid() == me and path.split(os.sep)[0] in FOLDERS:
            number += 1
            line = f"{number} {happening} {path}"
            if event and re.search(event, line):
                found += 1
                if found == nth:
                    send()
            os.write(log, f"{line}\n".encode())

    if after is not None and os.fork() == 0:
        time.sleep(after)
        if os.getppid() == me:
            send()
        os._exit(0)
    sys.addaudithook(hook)


if __name__ == "__main__":
    tempfile.tempdir = None  # the process it is forked from may have asked for its own
    watch(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    sys.argv = [str(ROOT / "train.py"), *sys.argv[3:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
