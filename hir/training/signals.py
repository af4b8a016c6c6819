"""What asks a run to end: Ctrl-C, a scheduler, a closed terminal, a reader of its output that has gone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""SIGUSR1 is what Slurm is told to send before a job's time is over; Windows has the first two alone."""
ENDING = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Drop the iteration in hand at any of these signals, and exit with 128 + its number.

    All of them become KeyboardInterrupt, which Lightning knows; the last checkpoint stands. Those that are
    ignored, as under nohup, stay so.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in ours:  # there is no second one while the run clears up
            signal.signal(each, signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in ENDING}
    ours = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    if threading.current_thread() is not threading.main_thread():  # which alone may set them
        ours = []
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    except BaseException:  # Lightning ends with 1, and torch, in a file, with an error of its own
        if received:
            raise SystemExit(128 + received[0]) from None
        raise
    finally:
        for number in ours:
            signal.signal(number, before[number])
