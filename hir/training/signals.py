"""What asks a run to end: Ctrl-C, a scheduler, a closed terminal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""SIGUSR1 is what Slurm is told to send before a job's time is over."""


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
