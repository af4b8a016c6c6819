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
from collections.abc import Callable
from subprocess import Popen, TimeoutExpired
from types import TracebackType

import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import subprocess_script
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from hir.errors import UserError

STARTER = "HIR_STARTER"
"""Environment variable with the process that has started this one."""
GRACE = 5.0
"""Seconds in which a process that has lost the others waits for the cause to show."""
ENDED = (None, 0, 128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of a child that is alive, or has ended as its parent will, too."""


def is_loss(error: BaseException | None) -> bool:
    """Whether an error says no more than that another process is gone or gives no answer."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def say(text: str) -> None:
    print(f"error: {text}", file=sys.stderr, flush=True)


class EndTogether:
    """Around trainer.fit: where a process fails, dies or gives no answer, all end, and it is named last.

    Args:
        trainer: what is about to fit.
        timeout: seconds that a process waits for another.
    """

    def __init__(self, trainer: Trainer, timeout: float) -> None:
        self.trainer = trainer
        self.timeout = timeout
        self.children: list[Popen[bytes]] = []
        self.parent = 0
        self.over = threading.Event()
        """Set once this process has come to an end of its own."""

    def __enter__(self) -> None:
        if self.trainer.local_rank == 0:
            os.environ[STARTER] = str(os.getpid())
            subprocess_script._launch_process_observer = self._adopt  # type: ignore[attr-defined, assignment]
        elif os.environ.get(STARTER) == str(os.getppid()):
            self.parent = os.getppid()
            # Should the parent go while this process is stopped, it wakes up to end.
            _prctl_pr_set_pdeathsig(signal.SIGCONT)
            self._watch(self._check_parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.trainer.world_size > 1 and is_loss(error):
                self._wait_for_the_cause(str(error))
            self.over.set()
            if error is None:
                self._let_children_end()
            elif self.parent:
                time.sleep(1)  # what all have alike the parent says, and ends this process meanwhile
                if isinstance(error, UserError):
                    raise UserError(f"rank {self.trainer.global_rank}: {error}") from error
        finally:
            self._kill_children()

    def _adopt(self, children: list[Popen[bytes]]) -> None:
        """Called by Lightning with the processes that it has started, in place of its own observer."""
        self.children = children
        self._watch(self._check_children)

    def _watch(self, check: Callable[[], None]) -> None:
        def watch() -> None:
            while not self.over.wait(0.2):
                check()

        threading.Thread(target=watch, daemon=True).start()

    def _check_parent(self) -> None:
        if os.getppid() != self.parent:
            if self.trainer.local_rank == 1:
                say(f"rank {self._rank(0)} was killed, or ended without a word")
            os._exit(1)

    def _check_children(self) -> None:
        failed = [child for child in self.children if child.poll() not in ENDED]
        # The pause is for what this process may be about to say itself.
        if failed and not self.over.wait(1):
            self._end(failed)

    def _wait_for_the_cause(self, message: str) -> None:
        """End this process, which has lost another, once that one had time to show itself."""
        if self.parent:
            os.setpgid(0, 0)  # shows the parent that this process does not hang
            time.sleep(3 * GRACE)
            say(self._silent(0))
            os.kill(self.parent, signal.SIGKILL)
            os._exit(1)
        time.sleep(GRACE)
        if not self.children:
            say(f"rank {self.trainer.global_rank} has lost another process: {message.splitlines()[0]}")
            os._exit(1)
        group = os.getpgrp()
        if cause := [c for c in self.children if c.poll() is not None or os.getpgid(c.pid) == group]:
            self._end(cause)

    def _rank(self, local_rank: int) -> int:
        return self.trainer.global_rank - self.trainer.local_rank + local_rank

    def _silent(self, local_rank: int) -> str:
        return f"rank {self._rank(local_rank)} gave no answer for {self.timeout:g} s and was killed"

    def _end(self, cause: list[Popen[bytes]]) -> None:
        """End the run, and say which children have ended or hang; one with exit code 2 has said it."""
        codes = {1 + self.children.index(child): child.poll() for child in cause}
        self._kill_children()
        for local_rank, code in codes.items():
            if code is None:
                say(self._silent(local_rank))
            elif code < 0:
                say(f"rank {self._rank(local_rank)} was killed by {signal.Signals(-code).name}")
            elif code != 2:
                say(f"rank {self._rank(local_rank)} ended with exit code {code}")
        os._exit(2 if 2 in codes.values() else 1)

    def _let_children_end(self) -> None:
        for child in self.children:
            try:
                child.wait(self.timeout)
            except TimeoutExpired:
                return

    def _kill_children(self) -> None:
        for child in self.children:
            child.kill()  # a stopped one, too
            child.wait()
