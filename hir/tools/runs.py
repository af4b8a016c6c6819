"""What compare and sweep stand on: runs of train.py as processes, several at a time, in folders that last."""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console, RichCast
from rich.live import Live

import hir
from hir.config.keys import KEYS
from hir.config.load import ROOT
from hir.config.schema import Config
from hir.errors import UserError
from hir.training.settings import load_run_config

LIBRARIES = ("torch", "lightning", "transformers")

REMAINS = {"config.yaml", "metrics.csv", "samples.jsonl", "checkpoints", "wandb"}
"""What a run that was killed before its first checkpoint may leave."""

PATIENCE = 20.0
"""Seconds that an interrupted run has to end by itself."""


@dataclass(frozen=True)
class Cell:
    """One run."""

    folder: Path
    arguments: tuple[str, ...]
    """Of train.py, all but run_dir."""
    config: Config = field(compare=False, repr=False)
    """What the arguments make."""
    arm: tuple[str, ...] = ()
    """Of a comparison: task, method and what else is compared, in words, which all seeds share."""


def is_finished(cell: Cell) -> bool:
    """Whether the cell's run is over; one with a checkpoint alone is gone on with.

    Raises:
        UserError: its folder holds a run, finished or not, with another configuration.
    """
    summary = cell.folder / "summary.json"
    if summary.is_file() or _checkpoint(cell).exists():
        saved = load_run_config([f"config={cell.folder / 'config.yaml'}"])
        for key in sorted(KEYS.keys() - {"run_dir", "resume"}):
            before, now = (attrgetter(key)(config) for config in (saved, cell.config))
            if before != now:
                raise UserError(
                    f"{cell.folder} holds a run with {key}={before!r}, not {now!r}: choose another out"
                )
    return summary.is_file()


def _checkpoint(cell: Cell) -> Path:
    return cell.folder / "checkpoints" / "last.ckpt"


def log_file(cell: Cell) -> Path:
    """The output of the cell's run; beside its folder, which train.py wants to itself."""
    return cell.folder.with_name(f"{cell.folder.name}.log")


def last_line(cell: Cell) -> str:
    """What the run said last."""
    lines = log_file(cell).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def slots(jobs: int | None, cells: Sequence[Cell]) -> list[dict[str, str]]:
    """The environment of each run at a time: its share of the GPUs and of the cores.

    Args:
        jobs: runs at a time; None: one for each trainer.devices GPUs where the cells may use any, else one a
            core.
        cells: what is to be run.

    Raises:
        UserError: a run wants several machines, or more GPUs than its share.
    """
    import torch

    for cell in cells:
        if (num_nodes := cell.config.trainer.get("num_nodes", 1)) != 1:
            raise UserError(
                f"trainer.num_nodes={num_nodes}: runs are started on this machine alone, so set 1"
            )
    on_gpu = any(cell.config.trainer.get("accelerator") != "cpu" for cell in cells)
    gpus = [str(i) for i in range(torch.cuda.device_count())] if on_gpu else []
    if gpus and os.environ.get("CUDA_VISIBLE_DEVICES"):
        gpus = os.environ["CUDA_VISIBLE_DEVICES"].split(",")[: len(gpus)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = max((_num_devices(cell.config) for cell in cells), default=1)
    if gpus and not jobs:
        jobs = max(1, len(gpus) // devices)
    jobs = jobs or cores
    if gpus and devices > 1 and jobs * devices > len(gpus):
        raise UserError(
            f"jobs={jobs} x trainer.devices={devices} is more than the {len(gpus)} GPUs there are"
        )
    shared = {"OMP_NUM_THREADS": str(max(1, cores // jobs)), **os.environ, "PYTHONUNBUFFERED": "1"}
    if not gpus:
        return [shared] * jobs
    shares = [gpus[i::jobs] or [gpus[i % len(gpus)]] for i in range(jobs)]
    return [{**shared, "CUDA_VISIBLE_DEVICES": ",".join(share)} for share in shares]


def _num_devices(config: Config) -> int:
    """GPUs that a run asks for; 1 where it takes what it finds."""
    devices = config.trainer.get("devices")
    if isinstance(devices, list):
        return len(devices)
    return max(1, devices) if isinstance(devices, int) else 1


def check_machine(cells: Sequence[Cell], jobs: int | None) -> None:
    """Refuse what ``slots`` refuses before anything is written; runs that have ended need no machine.

    Raises:
        UserError: a run wants several machines, or more GPUs than its share.
    """
    slots(jobs, [cell for cell in cells if not (cell.folder / "summary.json").exists()])


@dataclass
class _Running:
    """A run that has been started."""

    cell: Cell
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    killed_at: float = math.inf
    """time.monotonic() at which it is killed, as it has been asked to end."""


def run_cells(
    cells: Iterable[Cell],
    jobs: int | None,
    started: Callable[[Cell], None],
    ended: Callable[[Cell, bool], None],
    watch: Callable[[Cell], bool] | None = None,
) -> None:
    """Run the cells in their order; all that runs is ended where this is interrupted.

    Args:
        cells: unfinished ones. The next one is taken when there is room for its run, after ``ended`` was told
            of those before it, so that a generator may choose it by their results. How the machine is shared
            suits all cells of a list, and of a generator the first one.
        jobs: runs at a time, None for what suits the machine.
        started: told of each cell when its run starts.
        ended: told of each cell, and whether its run succeeded.
        watch: asked of each running cell once a second. True ends the run: it is interrupted, after
            ``PATIENCE`` seconds killed, and ``ended`` is told False, unless it had succeeded by then.
    """
    coming = iter(cells)
    known = list(islice(coming, None if isinstance(cells, Sequence) else 1))
    free, waiting = slots(jobs, known), chain(known, coming)
    running: list[_Running] = []
    watched = time.monotonic()
    try:
        while True:
            while free and (cell := next(waiting, None)):
                environment = free.pop(0)
                running.append(_Running(cell, environment, _start(cell, environment)))
                started(cell)
            if not running:
                return
            time.sleep(0.05)
            if watch and time.monotonic() - watched >= 1:
                watched = time.monotonic()
                for run in running:
                    if run.killed_at == math.inf and watch(run.cell):
                        run.killed_at = watched + PATIENCE
                        _signal(run.process, signal.SIGINT)
            for run in list(running):
                if time.monotonic() > run.killed_at:
                    _signal(run.process, signal.SIGKILL)
                if (code := run.process.poll()) is not None:
                    running.remove(run)
                    free.append(run.environment)
                    ended(run.cell, code == 0 and is_finished(run.cell))
    finally:
        _stop([run.process for run in running])


def _start(cell: Cell, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    resume = _checkpoint(cell).exists()
    names = {path.name for path in cell.folder.iterdir()} if cell.folder.is_dir() else set()
    if not resume and all(name in REMAINS or name.endswith(".tmp") for name in names):
        shutil.rmtree(cell.folder, ignore_errors=True)
    arguments = [f"resume={cell.folder}"] if resume else [*cell.arguments, f"run_dir={cell.folder}"]
    log_file(cell).parent.mkdir(parents=True, exist_ok=True)
    with log_file(cell).open("ab" if resume else "wb") as log:
        # In a session of its own: Ctrl-C reaches it through _stop alone, and so do processes that it starts.
        return subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a run and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes with all that they started: asked first, so that they clear up, then killed."""
    deadline = time.monotonic() + PATIENCE
    try:
        for process in processes:
            _signal(process, signal.SIGINT)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:  # at once where this is interrupted again
        for process in processes:
            _signal(process, signal.SIGKILL)
            process.wait()


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Keep a second process, while the first still runs unseen, from running the runs of a folder as well.

    The folder is made if there is none.

    Raises:
        UserError: another process is running them, or a file cannot be read or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of when this process ends, however
            yield
    except BlockingIOError as error:
        raise UserError(f"another process is running the runs in {out}") from error
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror or error}") from error


def open_console() -> Console:
    """The terminal, or a log, whose lines are not to be wrapped."""
    console = Console(highlight=False)
    if not console.file.isatty():
        console.width = 250
    return console


def run_live(
    state: RichCast,
    console: Console,
    cells: Iterable[Cell],
    jobs: int | None,
    started: Callable[[Cell], None],
    ended: Callable[[Cell, bool], None],
    watch: Callable[[Cell], bool] | None = None,
) -> None:
    """``run_cells``, in a terminal under a live table of the state."""
    if console.file.isatty():
        with Live(console=console, get_renderable=state.__rich__, refresh_per_second=2, transient=True):
            run_cells(cells, jobs, started, ended, watch)
    else:
        run_cells(cells, jobs, started, ended, watch)


def as_argument(key: str, value: Any) -> str:
    """The argument of train.py that sets a key to a value of a YAML file.

    Raises:
        UserError: no argument can say it, as with a date.
    """
    if isinstance(value, str):
        return f"{key}={value}"
    try:
        return f"{key}={json.dumps(value, ensure_ascii=False)}"
    except (TypeError, ValueError) as error:
        raise UserError(f"{key} holds what is no value of train.py: {error} (a date wants quotes)") from error


def versions() -> dict[str, str]:
    """Of Python, of this project and of the libraries that numbers depend on."""
    return {
        "python": platform.python_version(),
        "hir": hir.__version__,
        **{name: version(name) for name in LIBRARIES},
    }
