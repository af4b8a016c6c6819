"""What compare and sweep share around their runs: exit codes, signals, terminal, folder, versions."""

from __future__ import annotations

import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO

from rich.console import Console, RichCast
from rich.live import Live

import hir
from hir.errors import UserError
from hir.tools.compare.grid import Cell

LIBRARIES = ("torch", "lightning", "transformers")


def exit_code(help_text: str | None, argv: Sequence[str], run: Callable[[], int]) -> int:
    """What a program ends with: of ``run``, after its help, or after a line for a mistake or an interrupt."""
    if "-h" in argv or "--help" in argv:
        print(help_text)
        return 0
    try:
        return run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


def interrupt_on_signals() -> None:
    """Take the signals of a scheduler and of a closed terminal for Ctrl-C, so that they end the runs, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # unless nohup says otherwise
            signal.signal(number, signal.default_int_handler)


def open_console() -> Console:
    """The terminal, or a log, whose lines are not to be wrapped."""
    console = Console(highlight=False)
    if not console.file.isatty():
        console.width = 250
    return console


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Keep other processes from running the runs of a folder, which is made if there is none.

    Raises:
        UserError: another process is running them, or a file cannot be read or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / ".lock").open("a") as file:
            _lock(file, out)
            yield
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror or error}") from error


def _lock(file: IO[str], out: Path) -> None:
    with suppress(ImportError):  # of Windows, where nobody is kept out
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of when this process ends, however
        except BlockingIOError as error:
            raise UserError(f"another process is running the runs in {out}") from error


def run_live(
    state: RichCast,
    console: Console,
    cells: Sequence[Cell],
    jobs: int | None,
    started: Callable[[Cell], None],
    ended: Callable[[Cell, bool], None],
) -> None:
    """``run_cells``, in a terminal under a live table of the state."""
    from hir.tools.compare.runner import run_cells

    if console.file.isatty():
        with Live(console=console, get_renderable=state.__rich__, refresh_per_second=2, transient=True):
            run_cells(cells, jobs, started, ended)
    else:
        run_cells(cells, jobs, started, ended)


def versions() -> dict[str, str]:
    """Of Python, of this project and of the libraries that numbers depend on."""
    return {
        "python": platform.python_version(),
        "hir": hir.__version__,
        **{name: version(name) for name in LIBRARIES},
    }


def plain(text: str) -> str:
    """A text for a chart, in which matplotlib is not to take what stands between two $ for a formula."""
    return text.replace("$", r"\$")
