"""Runs the unfinished cells as processes of train.py, several at a time."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path

from hir.config.keys import KEYS
from hir.config.load import ROOT, load_config
from hir.config.schema import Config
from hir.errors import UserError
from hir.tools.compare.grid import Cell
from hir.training.run_folder import read_history

REMAINS = {"config.yaml", "metrics.csv", "samples.jsonl", "answers.jsonl", "checkpoints", "wandb"}
"""What a run that was broken off leaves."""

PATIENCE = 20.0
"""Seconds that an interrupted run has to end by itself."""


def is_finished(cell: Cell) -> bool:
    """Whether the cell's run is over.

    Raises:
        UserError: its folder holds a run, finished or not, with another configuration.
    """
    summary = cell.folder / "summary.json"
    if summary.is_file() or _checkpoint(cell).exists():
        saved = load_config([f"config={cell.folder / 'config.yaml'}"])
        for key in sorted(KEYS.keys() - {"run_dir", "resume"}):
            before, now = (attrgetter(key)(config) for config in (saved, cell.config))
            if before != now:
                raise UserError(
                    f"{cell.folder} holds a run with {key}={before!r}, not {now!r}: choose another out"
                )
    return summary.is_file() and not _is_outdated(cell)


def _is_outdated(cell: Cell) -> bool:
    """Whether the summary is that of fewer iterations: the run got more since, and was broken off."""
    trainer = cell.config.trainer
    try:
        done = json.loads((cell.folder / "summary.json").read_text(encoding="utf-8"))["iterations"]
        if trainer.get("max_time") or trainer.get("fast_dev_run"):  # which end a run before
            return bool(done < read_history(cell.folder)[-1]["iteration"])
        return bool(done < trainer["max_epochs"])
    except (OSError, ValueError, LookupError, TypeError):
        return False  # damaged, which whoever reads its numbers reports


def command(cell: Cell) -> str:
    """The shell command that makes the cell's run, or goes on with it."""
    return shlex.join(_command(cell))


def _command(cell: Cell) -> list[str]:
    program = [sys.executable, str(ROOT / "train.py")]
    if _can_resume(cell):
        return [*program, f"resume={cell.folder}"]
    return [*program, *cell.arguments, f"run_dir={cell.folder}"]


def _checkpoint(cell: Cell) -> Path:
    return cell.folder / "checkpoints" / "last.ckpt"


def _can_resume(cell: Cell) -> bool:
    """Whether there is a checkpoint that train.py goes on with; one that DeepSpeed wrote is none."""
    if not _checkpoint(cell).exists() or stuck(cell):
        return False
    from hir.training.checkpoints import read_checkpoint

    return bool(read_checkpoint(_checkpoint(cell))["optimizer_states"])


def stuck(cell: Cell) -> str | None:
    """Why an unfinished run can neither be gone on with nor be made anew, for that would delete its weights.

    None for a run that can; else a line that says what to do.
    """
    if not _checkpoint(cell).exists():
        return None
    from hir.training.checkpoints import read_checkpoint  # takes seconds, as it imports transformers

    try:
        done = read_checkpoint(_checkpoint(cell))["epoch"] + 1
    except UserError:
        return f"{_checkpoint(cell)} cannot be read: delete {cell.folder}, and the run is made anew"
    if done < cell.config.trainer["max_epochs"]:
        return None
    return (
        f"{cell.folder} has all {done} iterations but no summary.json of them: "
        f"python -m hir evaluate run={shlex.quote(str(cell.folder))} gives the test accuracy; "
        "delete the folder, and the run is made anew"
    )


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
    devices = max((num_devices(cell.config) for cell in cells), default=1)
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


def check_machine(cells: Sequence[Cell], jobs: int | None) -> None:
    """Refuse what ``slots`` refuses before anything is written; runs that have ended need no machine.

    Raises:
        UserError: a run wants several machines, or more GPUs than its share.
    """
    slots(jobs, [cell for cell in cells if not (cell.folder / "summary.json").exists()])


def num_devices(config: Config) -> int:
    """GPUs that a run asks for; 1 where it takes what it finds."""
    devices = config.trainer.get("devices")
    if isinstance(devices, list):
        return len(devices)
    return max(1, devices) if isinstance(devices, int) else 1


def run_cells(
    cells: Sequence[Cell],
    jobs: int | None,
    started: Callable[[Cell], None],
    ended: Callable[[Cell, bool], None],
) -> None:
    """Run the cells in their order; all that runs is ended where this is interrupted.

    Args:
        cells: unfinished ones.
        jobs: runs at a time, None for what suits the machine.
        started: told of each cell when its run starts.
        ended: told of each cell, and whether its run succeeded.
    """
    free, waiting = slots(jobs, cells), list(cells)[::-1]
    running: dict[subprocess.Popen[bytes], tuple[Cell, dict[str, str]]] = {}
    try:
        while waiting or running:
            while waiting and free:
                cell = waiting.pop()
                if reason := stuck(cell):
                    with log_file(cell).open("a", encoding="utf-8") as log:
                        log.write(f"{reason}\n")
                    started(cell)
                    ended(cell, False)
                    continue
                environment = free.pop(0)
                running[_start(cell, environment)] = cell, environment
                started(cell)
            time.sleep(0.05)
            for process in [process for process in running if process.poll() is not None]:
                cell, environment = running.pop(process)
                free.append(environment)
                ended(cell, process.returncode == 0 and is_finished(cell))
    finally:
        _stop(list(running))


def _start(cell: Cell, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    resume = _can_resume(cell)
    names = {path.name for path in cell.folder.iterdir()} if cell.folder.is_dir() else set()
    if not resume and all(name in REMAINS or name.endswith(".tmp") for name in names):
        shutil.rmtree(cell.folder, ignore_errors=True)
    log_file(cell).parent.mkdir(parents=True, exist_ok=True)
    with log_file(cell).open("ab" if resume else "wb") as log:
        # In a session of its own: Ctrl-C reaches it through _stop alone, and so do processes that it starts.
        return subprocess.Popen(
            _command(cell),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes with all that they started: asked first, so that they clear up, then killed."""
    deadline = time.monotonic() + PATIENCE
    try:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:  # at once where this is interrupted again
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
