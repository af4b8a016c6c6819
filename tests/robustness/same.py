"""Runs that are killed, gone on with as a user would, and compared with one that never was.

`python tests/robustness/same.py PLACE KILL key=value ...` trains like train.py and sends itself a signal, as the
JSON object KILL tells `watch`.
"""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import shutil
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
    *SMALL,
    "task.num_train=64",
    "sampling.max_queries=16",
    "training.num_updates=2",
    *("model.base.d_model=32", "model.base.num_layers=1", "model.base.max_updates=55"),
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
]
"""Three iterations of 16 queries x 4 samples and 2 updates, after a base of the fewest updates that are checked."""

FOLDERS = ("run", "cache", "tmp")
"""What a place has: the run's folder, its cache and its temporary folder."""

CHANGES = {
    *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("shutil.rmtree", "shutil.move"),
}
"""Audit events, beside "open" for writing, of what changes a file system; os.replace is an os.rename."""

TIMES = {"seconds", "samples_per_second", "run_dir", "resume"}
"""Keys of what two runs need not share: how long it took, and where."""

Kill = dict[str, Any]
"""Arguments of `watch`."""


@dataclass(frozen=True)
class Place:
    """A run with a cache and a temporary folder of its own."""

    root: Path
    processes: int = 1

    @property
    def fresh(self) -> list[str]:
        """The command that starts the run."""
        return [*SETTINGS, f"trainer.devices={self.processes}", f"run_dir={self.root / 'run'}"]

    @property
    def resume(self) -> list[str]:
        return [f"resume={self.root / 'run'}"]

    @property
    def events(self) -> list[str]:
        """The file-system events of the last attempt, "17 os.rename run/metrics.csv", and "killed"."""
        return (self.root / "events").read_text().splitlines()

    def attempt(self, command: Sequence[str], kill: Kill | None = None) -> subprocess.CompletedProcess[str]:
        """Run train.py until it ends or is killed, and until all its processes have ended."""
        for name in FOLDERS[1:]:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        places = {"HIR_CACHE": str(self.root / "cache"), "TMPDIR": str(self.root / "tmp")}
        single = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        program = f"tests/robustness/same.py {self.root}"
        done = run({**os.environ, **single, **places}, json.dumps(kill or {}), *command, program=program)
        for _ in range(600):  # a rank that Lightning started outlives rank 0 by a moment
            if not (ranks := _commands_with(str(self.root))):
                return done
            time.sleep(0.1)
        for rank in ranks:
            os.kill(rank, signal.SIGKILL)
        orphans = f"{len(ranks)} ranks outlived rank 0 by 60 s"
        return subprocess.CompletedProcess(done.args, 1, done.stdout, f"{done.stderr}\n{orphans}")


def _commands_with(text: str) -> list[int]:
    """Processes with the text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [int(path.parent.name)] if text in path.read_text() else []
        except OSError:  # it has just ended
            pass
    return found


def survive(
    place: Place, kills: Sequence[Kill], say: Callable[[str], object] = lambda line: None
) -> tuple[int, list[str]]:
    """Repeat a command until it has ended, resume= where it is refused, each attempt killed as told.

    Returns: the number of kills, and what is wrong.
    """
    command, left = place.fresh, [*kills]
    while True:
        done = place.attempt(command, left[0] if left else None)
        if left and "killed" in place.events:
            say(f"{place.root.name}: killed by {json.dumps(left.pop(0))}, exit code {done.returncode}")
        elif done.returncode == 2 and command == place.fresh:
            command = place.resume
        elif done.returncode == 0 or (done.returncode == 2 and "has finished" in done.stderr):
            return len(kills) - len(left), []
        else:
            said = (done.stderr.strip() or "no message").splitlines()[-1]
            return len(kills) - len(left), [f"{command[-1]} ends with {done.returncode}: {said}"]


def uninterrupted(root: Path, processes: int = 1) -> tuple[Place, Place]:
    """Two equal runs: the first makes its base, the second finds it in its cache."""
    first, second = Place(root / "first", processes), Place(root / "second", processes)
    problems = survive(first, [])[1]
    shutil.copytree(first.root / "cache", second.root / "cache")
    if problems := problems or survive(second, [])[1] or differences(second, first):
        raise SystemExit(f"two uninterrupted runs differ: {problems}")
    return first, second


def differences(place: Place, other: Place) -> list[str]:
    """What a run, its cache and its temporary folder have that another's do not, but for times."""
    ours, theirs = _files(place), _files(other)
    found = [f"missing: {', '.join(sorted(theirs - ours))}"] if theirs - ours else []
    found += [f"left over: {', '.join(sorted(ours - theirs)[:3])}"] if ours - theirs else []
    for name in sorted(ours & theirs):
        if name.startswith("run/") and (path := place.root / name).is_file():
            one, two = _contents(path), _contents(other.root / name)
            where = [key for key in {**one, **two} if one.get(key) != two.get(key)]
            found += [f"{name} differs in {', '.join(where[:3])}"] if where else []
    return found


def _files(place: Place) -> set[str]:
    return {str(path.relative_to(place.root)) for top in FOLDERS for path in (place.root / top).rglob("*")}


def _contents(path: Path) -> dict[str, Any]:
    import torch

    if path.suffix == ".ckpt":
        return dict(_leaves(torch.load(path, weights_only=True)))
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return dict(_leaves([*csv.DictReader(file)]))
    if path.suffix == ".json":
        return dict(_leaves(json.loads(path.read_text())))
    return {"its bytes": path.read_bytes()}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values within a value by their path, tensors as bytes; no times."""
    if isinstance(value, dict):
        for key in value.keys() - TIMES:
            yield from _leaves(value[key], f"{name}/{key}")
    elif isinstance(value, list | tuple):
        yield f"{name} (length)", len(value)
        for place, item in enumerate(value):
            yield from _leaves(item, f"{name}/{place}")
    elif hasattr(value, "numpy"):
        yield name, (value.dtype, value.shape, value.numpy().tobytes())
    else:
        yield name, value


def watch(
    root: Path,
    name: str = "SIGKILL",
    event: str | None = None,
    nth: int = 1,
    after: float | None = None,
    exists: str | None = None,
    rank: int | None = 0,
) -> None:
    """Note the file-system events of this process, and have it sent a signal at one moment.

    Args:
        name: of the signal.
        event: before the nth event in which this regular expression finds something.
        after: so many seconds from now.
        exists: when there is this file below the root.
        rank: 0 for this process, 1 for those that it started, null for both.
    """
    log, me = os.open(root / "events", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.getpid()
    number = found = 0

    def send() -> None:
        os.write(log, b"killed\n")
        started = [int(child) for child in Path(f"/proc/{me}/task/{me}/children").read_text().split()]
        others = {child for child in started if child != os.getpid()}  # not the process that waits below
        for process in [*others] * (rank != 0) + [me] * (rank != 1 or not others):
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
            found += bool(event and re.search(event, line))
            if event and found == nth:
                send()
            os.write(log, f"{line}\n".encode())

    if (after or exists) and os.fork() == 0:
        end = time.monotonic() + (after or 300)
        while time.monotonic() < end and not (exists and (root / exists).exists()):
            time.sleep(0.002)
        if os.getppid() == me:
            send()
        os._exit(0)
    sys.addaudithook(hook)


if __name__ == "__main__":
    tempfile.tempdir = None  # the process it is forked from may have asked for its own
    watch(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    sys.argv = [str(ROOT / "train.py"), *sys.argv[3:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
