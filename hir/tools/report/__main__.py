"""Write what a run did as one HTML page:

  python -m hir report run=DIR [run=DIR2 ...] [to=FILE.html]

  run=DIR        a run's folder, finished or not; several runs (run=DIR,DIR2 too) stand beside each other
  to=FILE.html   the page; default: report.html in the run's folder, for several runs in the current one

The page loads nothing and runs no script, so it can be mailed, archived and printed as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hir.errors import UserError
from hir.files import atomic_write


def write_report(folders: list[Path], to: Path | None) -> Path:
    """Write the page of one or several runs; returns where it lies.

    Raises:
        UserError: a folder holds no run or a damaged one, or the page cannot be written.
    """
    from hir.tools.report.page import run_page, runs_page
    from hir.training.run_folder import read_run

    runs = [read_run(folder) for folder in folders]
    to = to or (folders[0] if len(folders) == 1 else Path()) / "report.html"
    if to.is_dir() or not to.parent.is_dir():
        raise UserError(f"to={to} cannot be written: give the name of a file in a folder that exists")
    page = run_page(runs[0]) if len(runs) == 1 else runs_page(runs)
    try:
        atomic_write(to, page.encode(errors="replace"))  # half a surrogate pair is no text
    except OSError as error:
        raise UserError(f"to={to} cannot be written: {error.strerror}") from error
    return to


def parse_arguments(argv: list[str]) -> tuple[list[Path], Path | None]:
    """The runs' folders and the page's file."""
    folders: list[Path] = []
    to = None
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if name not in ("run", "to") or not equals or not text:
            raise UserError(f"{argument!r} is not run=DIR or to=FILE.html (--help explains them)")
        if name == "to":
            to = Path(text)
        else:
            whole = [text] if Path(text).exists() else text.split(",")  # a folder's name may hold a comma
            folders += [Path(part) for part in whole if part]
    if not folders:
        raise UserError("run=DIR is missing: the folder of a run")
    return list({folder.resolve(): folder for folder in folders}.values()), to


def main(argv: list[str]) -> int:
    if "-h" in argv or "--help" in argv:
        print(__doc__)
        return 0
    try:
        print(f"written to {write_report(*parse_arguments(argv))}")
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
