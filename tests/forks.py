"""Runs programs in forks of one process that has imported the libraries, which takes longer than a small run.

`python tests/forks.py` reads a job a line, a JSON object, and answers each with the program's exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

LIBRARIES = """torch lightning.pytorch torchmetrics transformers.models.t5.modeling_t5 omegaconf
    matplotlib.backends.backend_agg rich.progress""".split()
"""None of the project: each fork imports that anew."""


def run_program(job: dict[str, Any]) -> int:
    """Become the program of a job: its arguments, environment, folder and files for what it prints."""
    for stream, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, job["stdout"], os.O_WRONLY),
        (2, job["stderr"], os.O_WRONLY),
    ):
        os.dup2(os.open(path, flags), stream)
    # Ignored in what a shell's script starts in the background; here each has it as at a prompt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    program, *arguments = job["argv"]
    sys.argv = [program, *arguments]
    sys.path[1:1] = os.environ.get("PYTHONPATH", "").split(os.pathsep)  # which Python reads when it starts
    try:
        if program == "-m":
            name, *rest = arguments
            sys.path[0], sys.argv = job["folder"], [name, *rest]
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = str(Path(job["folder"], program).resolve().parent)
            runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        if (process := os.fork()) == 0:
            code = run_program(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
