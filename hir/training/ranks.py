"""Ends the processes of a run together, and lets the one that failed say why: the others only lost it.

Lightning starts the processes of a machine as children of its first one, and would kill that one as soon as a
child fails, before it can say anything. Under torchrun and srun it is they who end what is left.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from subprocess import Popen, TimeoutExpired

import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import subprocess_script
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from hir.errors import UserError
from hir.training.signals import ENDING

STARTER = "HIR_STARTER"
"""Environment variable with the process that has started this one."""
ENDED = (None, 0, *(128 + number for number in ENDING))
"""Exit codes of a child that is alive, or has ended as its parent will, too."""


def is_loss(error: BaseException | None) -> bool:
    """Whether an error says no more than that another process is gone or gives no answer."""
    told_so = isinstance(error, (dist.DistBackendError, dist.DistStoreError))
    return told_so or (isinstance(error, RuntimeError) and "gloo" in str(error))


def has_lost(child: Popen[bytes]) -> bool:
    """Whether a child shows that it has lost another process, and waits to be ended."""
    return child.poll() is None and os.getpgid(child.pid) != os.getpgrp()


class EndTogether:
    """Around trainer.fit: where a process fails, dies or gives no answer for so many seconds, all end, and it
    is named last.
    """

    def __init__(self, trainer: Trainer, timeout: float) -> None:
        self.trainer = trainer
        self.silent = f"gave no answer for {timeout:g} s and was killed"
        self.grace = max(5.0, timeout / 10)
        """Seconds between the first process that gives up and the last, which is the one that hangs."""
        self.children: list[Popen[bytes]] = []
        self.parent = 0
        self.lost = False  # a child shows it by leaving its parent's process group
        self.alone = threading.Event()  # set once all have lost each other, by no fault of one
        self.over = threading.Event()  # set once this process has come to an end of its own

    def __enter__(self) -> None:
        if self.trainer.world_size == 1:
            return
        if self.trainer.local_rank == 0:
            os.environ[STARTER] = str(os.getpid())
            # Called by Lightning with the processes that it has started.
            subprocess_script._launch_process_observer = self.children.extend  # type: ignore
        elif STARTER in os.environ:  # which may have gone while this process was loading the libraries
            self.parent = int(os.environ[STARTER])
            # Should the parent go while this process is stopped, it wakes up to end.
            _prctl_pr_set_pdeathsig(signal.SIGCONT)
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if self.trainer.world_size > 1 and is_loss(error):
                self._wait_for_the_cause(str(error))
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
        patience = self.grace
        while not self.over.wait(0.2):
            if self.parent and os.getppid() != self.parent:
                if self.trainer.local_rank == 1:
                    self._say(0, "was killed, or ended without a word")
                os._exit(1)
            failed = [child for child in self.children if child.poll() not in ENDED]
            if failed and not self.over.wait(1):  # in which this process may have something to say itself
                self._end(failed)
            if self.children and (self.lost or any(map(has_lost, self.children))):
                patience -= 0.2
                others = [child for child in self.children if not has_lost(child)]
                if (self.lost and all(child.poll() is not None for child in others)) or patience < 0:
                    if others or not self.lost:
                        self._end(others)
                    self.alone.set()

    def _wait_for_the_cause(self, message: str) -> None:
        """Called where this process has lost another: that one gets time to say why and end this one."""
        self.lost = True
        if self.parent:
            os.setpgid(0, 0)
        if self.alone.wait(2 * self.grace + self.trainer.local_rank):
            return
        if self.parent:  # which would have ended this process by now
            self._say(0, self.silent)
            os.kill(self.parent, signal.SIGKILL)
        else:
            self._say(self.trainer.local_rank, f"has lost another process: {message.splitlines()[0]}")
        os._exit(1)

    def _end(self, cause: list[Popen[bytes]]) -> None:
        """End the run and say which children failed, or that none did but this process hangs."""
        codes = {1 + self.children.index(child): child.poll() for child in cause}
        self._kill_children()
        for local_rank, code in (codes or {0: None}).items():
            if code is None:
                self._say(local_rank, self.silent)
            elif code < 0:
                self._say(local_rank, f"was killed by {signal.Signals(-code).name}")
            elif code != 2:  # a mistake, which it has told
                self._say(local_rank, f"ended with exit code {code}")
        os._exit(2 if 2 in codes.values() else 1)

    def _kill_children(self) -> None:
        for child in self.children:
            child.kill()  # a stopped one, too
            child.wait()

    def _say(self, local_rank: int, text: str) -> None:
        rank = self.trainer.global_rank - self.trainer.local_rank + local_rank
        print(f"error: rank {rank} {text}", file=sys.stderr, flush=True)
