"""What compare stands on: runs of train.py as processes, several at a time."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from typing import Any

import torch

from hir.config.load import ROOT
from hir.config.schema import Config
from hir.errors import UserError
from hir.files import has_checkpoint
from hir.training.settings import load_run_config

PATIENCE = 20.0
"""Seconds that an interrupted run has to end by itself."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One run."""

    name: str
    """In words."""
    folder: Path
    arguments: Sequence[str]
    """Of train.py, all but run_dir."""
    arm: Mapping[str, Any] = field(default_factory=dict)
    """What is compared of it."""

    @cached_property
    def config(self) -> Config:
        """What the arguments make; UserError if train.py would refuse them."""
        return load_run_config(list(self.arguments))

    @property
    def log(self) -> Path:
        """The output of the run; beside its folder, which train.py wants to itself."""
        return self.folder.with_name(f"{self.folder.name}.log")


def is_finished(cell: Cell) -> bool:
    """Whether the cell's run is over; one with a checkpoint alone is gone on with.

    Raises UserError where its folder holds a run, finished or not, with another configuration.
    """
    finished = (cell.folder / "summary.json").is_file()
    begun = finished or has_checkpoint(cell.folder)
    if begun and load_run_config([f"config={cell.folder / 'config.yaml'}"]) != cell.config:
        raise UserError(f"{cell.folder} holds a run with other settings: choose another out, or delete it")
    return finished


def slots(jobs: int | None, cells: Sequence[Cell]) -> list[dict[str, str]]:
    """The environment of each run at a time: its share of the GPUs and of the cores.

    ``jobs`` run at a time; None: one for each trainer.devices GPUs where there are any, else one a core.
    """
    on_gpu = any(cell.config.trainer.get("accelerator") != "cpu" for cell in cells)
    gpus = [str(i) for i in range(torch.cuda.device_count())] if on_gpu else []
    if gpus and (visible := os.environ.get("CUDA_VISIBLE_DEVICES")):
        gpus = visible.split(",")[: len(gpus)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = [cell.config.trainer.get("devices") for cell in cells]
    numbers = [len(given) if isinstance(given, list) else given for given in asked]
    devices = max([1, *(n for n in numbers if isinstance(n, int))])  # "auto" and -1 take what they find
    jobs = jobs or (max(1, len(gpus) // devices) if gpus else cores)
    shared = {"OMP_NUM_THREADS": str(max(1, cores // jobs)), **os.environ, "PYTHONUNBUFFERED": "1"}
    if not gpus:
        return [shared] * jobs
    shares = [gpus[i::jobs] or [gpus[i % len(gpus)]] for i in range(jobs)]
    return [{**shared, "CUDA_VISIBLE_DEVICES": ",".join(share)} for share in shares]


def run_cells(cells: Sequence[Cell], jobs: int | None, ended: Callable[[Cell], str]) -> dict[Cell, str]:
    """Run what is unfinished, as many at once as ``slots`` has it, and print what ``ended`` says of each.

    Returns the last line of each run that failed. All that runs is ended where this is interrupted. Raises
    UserError where a cell cannot be run.
    """
    free = slots(jobs, cells)
    todo = [cell for cell in cells if not is_finished(cell)]
    waiting, number, failed = iter(todo), 0, dict[Cell, str]()
    running: dict[Popen[bytes], tuple[Cell, dict[str, str]]] = {}
    try:
        while True:
            while free and (cell := next(waiting, None)):
                env = free.pop(0)
                running[_start(cell, env)] = cell, env
            if not running:
                return failed
            time.sleep(0.2)
            for process in [process for process in running if process.poll() is not None]:
                cell, env = running.pop(process)
                free.append(env)
                number += 1
                if process.returncode == 0 and is_finished(cell):
                    print(f"{cell.name}: {ended(cell)} ({number} of {len(todo)})", flush=True)
                else:
                    text = cell.log.read_text(encoding="utf-8", errors="replace").strip()
                    failed[cell] = text.rpartition("\n")[2].strip()
                    print(f"{cell.name} failed: {failed[cell]} ({cell.log})", flush=True)
    finally:
        _stop([*running])


def _start(cell: Cell, env: dict[str, str]) -> Popen[bytes]:
    resume = has_checkpoint(cell.folder)
    arguments = [f"resume={cell.folder}"] if resume else [*cell.arguments, f"run_dir={cell.folder}"]
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    cell.log.parent.mkdir(parents=True, exist_ok=True)
    with cell.log.open("ab" if resume else "wb") as log:
        # In a session of its own: Ctrl-C reaches it through _stop alone, and so do processes that it starts.
        return Popen(command, env=env, stdin=DEVNULL, stdout=log, stderr=STDOUT, start_new_session=True)


def _stop(processes: Sequence[Popen[bytes]]) -> None:
    """End runs with all that they started: asked first, so that they clear up, then killed."""

    def send(number: signal.Signals) -> None:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    deadline = time.monotonic() + PATIENCE
    try:
        send(signal.SIGINT)
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:  # at once where this is interrupted again
        send(signal.SIGKILL)
        for process in processes:
            process.wait()


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A table with at least a row, the texts of each by their heads; it reads well in a terminal, too."""
    texts = [rows[0], *(row.values() for row in rows)]
    lines = [[cell.replace("|", "\\|") for cell in line] for line in texts]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
