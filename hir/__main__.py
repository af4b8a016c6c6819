"""What is done with runs, and beside them: python -m hir VERB [key=value ...]

  evaluate   a run, or any model, on tasks
  compare    methods and settings over tasks and seeds
  report     a run as one HTML page
  export     a run's model as a folder for transformers
  teams-rl   a set of instructions by TeaMs-RL
  audit      real rows of the paper's tasks, answered from their text
  new-task   a generated task of your own

python -m hir VERB --help lists a verb's keys.
"""

import importlib
import signal
import sys

from hir.errors import UserError, exit_code
from hir.tools.arguments import help_of, read_options

VERBS = ("evaluate", "compare", "report", "export", "teams-rl", "audit", "new-task")
TAKE_SETTINGS = ("evaluate", "compare", "teams-rl")
"""Verbs with keys of train.py beside their own."""


def interrupt_on_signals() -> None:
    """Take the signals of a scheduler and of a closed terminal for Ctrl-C: so a tool ends its runs, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # unless nohup says otherwise
            signal.signal(number, signal.default_int_handler)


def main(argv: list[str]) -> int:
    """Run a tool: hir/tools/VERB.py has its ``Options`` and ``run``."""
    verb, *rest = argv or ["--help"]
    if verb in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    try:
        if verb not in VERBS:
            raise UserError(f"python -m hir {verb}: there are {', '.join(VERBS)}")
        tool = importlib.import_module(f"hir.tools.{verb.replace('-', '_')}")
        if {"-h", "--help"} & {*rest}:
            print(help_of(tool.Options, tool.__doc__))
            return 0
        options, settings = read_options(tool.Options, rest, verb in TAKE_SETTINGS)
        return int(tool.run(options, settings))
    except (UserError, OSError) as error:
        return exit_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    interrupt_on_signals()
    sys.exit(main(sys.argv[1:]))
