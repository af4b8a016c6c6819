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
LOST = 75
"""Exit code of a child that has lost another process, by no fault of its own."""
INNOCENT = (None, 0, LOST, *(128 + number for number in ENDING))
"""Exit codes of a child that is alive, or has ended as its parent will, too."""


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Drop the iteration in hand at any of these signals, and exit with 128 + its number.

    All of them become KeyboardInterrupt, which Lightning knows; the last checkpoint stands. Those that are
    ignored, as under nohup, stay so.
    """
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    ours = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

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


def is_loss(error: BaseException | None) -> bool:
    """Whether an error says no more than that another process is gone or gives no answer."""
    told_so = isinstance(error, (dist.DistBackendError, dist.DistStoreError))
    return told_so or (isinstance(error, RuntimeError) and "gloo" in str(error))


class EndTogether:
    """Around trainer.fit: where a process fails, dies or gives no answer for so many seconds, all end, and it
    is named last.
    """

    def __init__(self, trainer: Trainer, timeout: float) -> None:
        self.trainer = trainer
        self.timeout = timeout
        self.grace = max(5.0, timeout / 10)
        """Seconds after the first process that gives up, in which the cause may show."""
        self.children: list[Popen[bytes]] = []
        self.parent = 0
        self.lost = False
        self.over = threading.Event()  # set once this process has come to an end of its own

    def __enter__(self) -> None:
        if self.trainer.world_size == 1:
            return
        if self.trainer.local_rank == 0:
            os.environ[STARTER] = str(os.getpid())
            # Called by Lightning with the processes that it has started.
            subprocess_script._launch_process_observer = self.children.extend  # type: ignore
        else:  # the starter may have gone while this process was loading the libraries
            self.parent = int(os.environ.get(STARTER, 0))
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if self.trainer.world_size > 1 and is_loss(error):
                self.lost = True
                if self.parent:
                    os._exit(LOST)
                time.sleep(2 * self.grace)  # the thread, or a launcher, ends this process with the cause
            self.over.set()
            if error is None:
                with suppress(TimeoutExpired):
                    for child in self.children:
                        child.wait(10 * self.grace)
            elif self.trainer.global_rank:
                time.sleep(1)  # what all have alike rank 0 says, which ends this process meanwhile
                if isinstance(error, UserError):
                    raise UserError(f"rank {self.trainer.global_rank}: {error}") from error
        finally:
            self._kill_children()

    def _watch(self) -> None:
        """End this process with its parent, and all with the first of the children that fails or hangs."""
        patience = self.grace
        while not self.over.wait(0.2):
            if self.parent and os.getppid() != self.parent:
                os._exit(1)
            failed = [child for child in self.children if child.poll() not in INNOCENT]
            if failed and not self.over.wait(1):  # in which this process may have something to say itself
                self._end(failed)
            if self.children and (self.lost or any(child.poll() == LOST for child in self.children)):
                patience -= 0.2
            hanging = [child for child in self.children if child.poll() is None]
            if patience < 0 and (hanging or not self.lost):
                self._end(hanging)

    def _end(self, cause: list[Popen[bytes]]) -> None:
        """End the run and say which children are the cause; where none is it is this process."""
        codes = {1 + self.children.index(child): child.poll() for child in cause}
        self._kill_children()
        for local_rank, code in (codes or {0: None}).items():
            if code is None:
                said = f"gave no answer for {self.timeout:g} s and was killed"
            elif code < 0:
                said = f"was killed by {signal.Signals(-code).name}"
            else:
                said = f"ended with exit code {code}"
            if code != 2:  # a mistake, which it has told
                rank = self.trainer.global_rank - self.trainer.local_rank + local_rank
                print(f"error: rank {rank} {said}", file=sys.stderr, flush=True)
        os._exit(2 if 2 in codes.values() else 1)

    def _kill_children(self) -> None:
        for child in self.children:
            child.kill()  # a stopped one, too
            child.wait()
