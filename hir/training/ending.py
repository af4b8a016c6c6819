"""How the processes of a run end: by a signal, or together where one fails, which says why.

Lightning starts the processes of a machine as children of its first one, and would kill that one as soon as a
child fails, before it can say anything. Under torchrun and srun it is they who end what is left.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import Popen, TimeoutExpired
from types import FrameType

import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import subprocess_script

from hir.errors import UserError

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""SIGUSR1 is what Slurm is told to send before a job's time is over."""
STARTER = "HIR_STARTER"
"""Environment variable with the process that has started this one."""
INNOCENT = (None, 0, *(128 + number for number in ENDING))
"""Exit codes of a child that is alive, or has ended as its parent will, too."""
GRACE = 10.0
"""Seconds that a process which has lost another one waits for the cause to show."""


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Drop the iteration in hand at any of these signals, and exit with 128 + its number.

    All become KeyboardInterrupt, which Lightning knows; the last checkpoint stands. Those ignored stay so.
    """
    received: list[int] = []
    ignored = (signal.SIG_IGN, None)
    ours = {number: before for number in ENDING if (before := signal.getsignal(number)) not in ignored}

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in ours:  # there is no second one while the run clears up
            signal.signal(each, signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    except BaseException:  # Lightning ends with 1, and torch, in a file, with an error of its own
        if received:
            raise SystemExit(128 + received[0]) from None
        raise
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


@contextmanager
def end_together(trainer: Trainer) -> Iterator[None]:
    """Around trainer.fit: where a process of this machine fails or dies, all end, and it is named last."""
    if trainer.world_size == 1:
        yield
        return
    children, over = list[Popen[bytes]](), threading.Event()
    if trainer.local_rank == 0:
        os.environ[STARTER] = str(os.getpid())
        # Called by Lightning with the processes that it has started.
        subprocess_script._launch_process_observer = children.extend  # type: ignore
    threading.Thread(target=_watch, args=(trainer, children, over), daemon=True).start()
    try:
        yield
        with suppress(TimeoutExpired):
            for child in children:
                child.wait(60)
    except BaseException as error:
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            # The thread, or a launcher, ends this process with the cause; where that hangs this one says so,
            # the first on a machine before the others.
            time.sleep(2 * GRACE if trainer.local_rank else GRACE)
            what = "another process is gone, or gave no answer for training.rank_timeout seconds"
            raise RuntimeError(what) from error
        elif trainer.global_rank:
            time.sleep(1)  # what all have alike rank 0 says, which ends this process meanwhile
            if isinstance(error, UserError):
                raise UserError(f"rank {trainer.global_rank}: {error}") from error
        raise
    finally:
        over.set()
        _kill(children)


def _watch(trainer: Trainer, children: list[Popen[bytes]], over: threading.Event) -> None:
    """Until ``over``: end this process with the one that started it, and all with a child that fails."""
    starter = int(os.environ.get(STARTER, os.getppid()))  # which may be gone by now
    while not over.wait(0.2):
        if trainer.local_rank and os.getppid() != starter:
            os._exit(1)
        failed = {i: child.returncode for i, child in enumerate(children, 1) if child.poll() not in INNOCENT}
        if not failed or over.wait(1):  # in which this process may have something to say itself
            continue
        _kill(children)
        for local_rank, code in failed.items():
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            if code != 2:  # a mistake, which it has told
                print(f"error: rank {trainer.global_rank + local_rank} {how}", file=sys.stderr, flush=True)
        os._exit(2 if 2 in failed.values() else 1)


def _kill(children: list[Popen[bytes]]) -> None:
    for child in children:
        child.kill()  # a stopped one, too
        child.wait()
