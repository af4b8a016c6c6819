"""Runs the tests on the oldest or the newest versions that pyproject.toml allows, in their own environment:

python -m tests.versions oldest|newest [--python PATH] [pytest arguments]
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


def requirements(which: str) -> list[str]:
    """The project's dependencies and all extras; of the oldest, each with its lower bound as the version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    return [line.replace(">=", "==", 1) if which == "oldest" else line for line in lines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("which", choices=("oldest", "newest"))
    parser.add_argument("--python", default=sys.executable, help="interpreter for a new environment")
    options, arguments = parser.parse_known_args()
    venv = ROOT / f".venv-{options.which}"
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip"]
    pytest = [python, "-m", "pytest", "--numprocesses=auto", "--dist=loadfile", "--no-loadscope-reorder"]
    if options.which == "oldest":
        # What they need themselves is the newest, of which they use what is deprecated by now.
        pytest += ["-W", "ignore::DeprecationWarning"]
    commands = [] if venv.exists() else [[options.python, "-m", "venv", str(venv)]]
    commands += [
        [*pip, "install", "--quiet", "--upgrade", "--upgrade-strategy=eager", *requirements(options.which)],
        [*pip, "list"],
        [*pytest, *arguments],
    ]
    for command in commands:
        if code := subprocess.run(command, cwd=ROOT).returncode:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
