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
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf

from hir.config.help import entry
from hir.config.keys import keys_of, suggest
from hir.config.values import parse_value, set_value, to_object
from hir.errors import UserError, exit_code

T = TypeVar("T")

VERBS = ("evaluate", "compare", "report", "export", "teams-rl", "audit", "new-task")
TAKE_SETTINGS = ("evaluate", "compare", "teams-rl")
"""Verbs with keys of train.py beside their own."""


def read_options(kind: type[T], argv: Sequence[str], takes_settings: bool = False) -> tuple[T, list[str]]:
    """The options in a command line, and what in it are settings of train.py, where it takes any.

    A key may be named --key, too, the first one need not be named, and the last of a repeated one wins.
    MISSING is the default of one that must be given. UserError: a key is unknown or missing, a value wrong.
    """
    keys, tree, settings = keys_of(kind), OmegaConf.structured(kind), []
    for another in [argument for argument in argv if "=" not in argument][1:]:
        raise UserError(f"{another!r} is not key=value, and one argument alone need not be")
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not equals:
            name, text = next(iter(keys)), argument
        if name in keys:
            set_value(tree, keys[name], name, parse_value(keys[name], text))
        elif takes_settings:
            settings.append(argument)
        else:
            raise UserError(f"unknown key {name}{suggest(name, keys)}")
    missing = sorted(map(str, OmegaConf.missing_keys(tree)))
    if missing:
        raise UserError(f"{missing[0]}= is missing: {keys[missing[0]].meaning}")
    return to_object(tree), settings


def help_of(kind: type[Any], about: str | None) -> str:
    """A tool's help: what it is about, and its keys."""
    lines = [(about or "").strip(), ""]
    tree: Any = OmegaConf.to_container(OmegaConf.structured(kind))
    for name, key in keys_of(kind).items():
        default = reduce(getitem, name.split("."), tree)
        text = "none, give one" if default == MISSING else "null" if default is None else str(default)
        lines += entry(name, key.type_name, text, key.meaning)
    return "\n".join(lines)


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
