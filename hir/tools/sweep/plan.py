"""From a sweep file and the arguments to the runs of a sweep."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hir.config.keys import CHOICES, lookup, suggest
from hir.config.load import load_config
from hir.errors import UserError
from hir.tools.runs import Cell, as_argument
from hir.tools.sweep.file import Metric, check_metric, command_arguments, read_file, read_metric
from hir.tools.sweep.space import Parameter, Settings, grid, random_search, read_parameters

OPTIONS = ("count", "out", "jobs", "seed")
"""This program's own arguments; every other one is train.py's."""


@dataclass(frozen=True)
class Run:
    """One run of the sweep, numbered from 1."""

    number: int
    settings: Settings
    """Dotted key to value, of the keys that vary."""
    cell: Cell


@dataclass(frozen=True)
class Sweep:
    """All runs, and what to do with them."""

    path: Path
    argv: tuple[str, ...]
    method: str
    """random or grid: what is done here, whatever the file says."""
    metric: Metric
    varied: tuple[Parameter, ...]
    runs: tuple[Run, ...]
    out: Path
    jobs: int | None
    """Runs at once; None for what suits the machine."""
    notes: tuple[str, ...]
    """What of the file is done otherwise without a server."""
    identity: Mapping[str, Any]
    """What decides the settings of a run beside its number."""


def parse_arguments(argv: Sequence[str]) -> Sweep:
    """Read the file and build the sweep, every run's configuration loaded.

    Raises:
        UserError: the file, an argument or a run's configuration is wrong.
    """
    files = [argument for argument in argv if "=" not in argument]
    if len(files) != 1:
        given = f", not {' '.join(files)}" if files else ""
        raise UserError(f"give one sweep file, such as conf/sweep/quickstart.yaml{given}")
    path = Path(files[0])
    options: dict[str, str] = {}
    overrides: dict[str, str] = {}
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if equals:
            (options if name in OPTIONS else overrides)[name] = text
    for name in overrides:
        _check_key(name, "", OPTIONS)
    count, jobs, seed = (_whole(options, name, low) for name, low in (("count", 1), ("jobs", 1), ("seed", 0)))
    tree = read_file(path)
    notes: list[str] = []
    parameters = [p for p in _parameters(tree, notes, overrides) if p.name not in overrides]
    method = _method(tree, count, seed, notes)
    if (cap := tree.get("run_cap")) and count and count > cap:
        raise UserError(f"count={count} is above the file's run_cap of {cap}")
    count, draw_seed = count or cap, 1 if seed is None else seed
    drawn = grid(parameters, count) if method == "grid" else random_search(parameters, count or 0, draw_seed)
    before, after = command_arguments(tree)
    for part in (*before, *after):
        _check_key(part.removeprefix("--").partition("=")[0], "command: ")
    fixed = before, [*after, *(f"{key}={text}" for key, text in overrides.items())]
    metric = read_metric(tree, notes)
    varied = tuple(parameter for parameter in parameters if not parameter.fixed)
    out = Path(options.get("out") or Path("outputs") / f"sweep-{path.stem}")
    runs = tuple(_run(number, settings, varied, fixed, out) for number, settings in enumerate(drawn, 1))
    for run in runs:
        check_metric(metric, run.cell.config)
    identity = {
        "method": method,
        "parameters": tree["parameters"],
        "command": tree.get("command"),
        "overrides": overrides,
        **({"seed": draw_seed} if method == "random" else {}),
    }
    return Sweep(
        path=path,
        argv=tuple(argv),
        method=method,
        metric=metric,
        varied=varied,
        runs=runs,
        out=out,
        jobs=jobs,
        notes=tuple(notes),
        identity=json.loads(json.dumps(identity, default=str)),
    )


def _parameters(tree: Mapping[str, Any], notes: list[str], overrides: Mapping[str, str]) -> list[Parameter]:
    parameters = list(read_parameters(tree["parameters"]))
    names: set[str] = set()
    for parameter in parameters:
        _check_key(parameter.name, "the file's parameters: ")
        if parameter.name in names:
            raise UserError(f"the file's parameters: {parameter.name} is given twice")
        names.add(parameter.name)
        kind = parameter.distribution
        if parameter.log and parameter.bounds and not kind.endswith("_values"):
            low, high = parameter.bounds
            notes.append(
                f"{parameter.name}: {kind} takes logarithms as bounds, as by W&B, and draws {low:.4g} to "
                f"{high:.4g}: {kind}_values takes the values themselves"
            )
    if "logger" not in overrides:
        logged = [parameter for parameter in parameters if parameter.name == "logger"]
        if any("wandb" in str(parameter.options) for parameter in logged):
            notes.append("logger: wandb of the file is left out here: logger=wandb logs to W&B as well")
        parameters = [parameter for parameter in parameters if parameter.name != "logger"]
    return parameters


def _method(tree: Mapping[str, Any], count: int | None, seed: int | None, notes: list[str]) -> str:
    method = tree.get("method")
    if method not in ("grid", "random", "bayes"):
        raise UserError(f"method must be grid, random or bayes, not {method!r}")
    if method == "bayes":
        notes.append("method: bayes needs W&B's server: run as a random search here")
    if "early_terminate" in tree:
        notes.append("early_terminate is left out here: every run goes to its end")
    if method == "grid" and seed is not None:
        raise UserError(
            "seed= seeds the draws, and a grid draws nothing: the runs' own seed is a parameter of the file"
        )
    if method != "grid" and not (count or tree.get("run_cap")):
        raise UserError("count=N is missing: how many runs to draw (a grid alone has an end)")
    return "grid" if method == "grid" else "random"


def _whole(options: Mapping[str, str], name: str, low: int) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not re.fullmatch("[0-9]+", text) or int(text) < low:
        raise UserError(f"{name} must be an integer of at least {low}, not {text!r}")
    return int(text)


def _check_key(name: str, where: str, options: Sequence[str] = ()) -> None:
    """Refuse a key that train.py does not know or that the sweep sets."""
    if name in ("run_dir", "resume"):
        raise UserError(f"{where}{name} is set by the sweep: use out=")
    if hint := "" if "." in name or name in CHOICES else suggest(name, options, cutoff=0.8):
        raise UserError(f"unknown argument {name}{hint}")
    if name not in CHOICES:
        try:
            lookup(name)
        except UserError as error:
            raise UserError(f"{where}{error}") from error


def _run(
    number: int,
    settings: Settings,
    varied: Sequence[Parameter],
    fixed: tuple[Sequence[str], Sequence[str]],
    out: Path,
) -> Run:
    own = [as_argument(key, value) for key, value in settings.items()]
    arguments = [*fixed[0], *own, *fixed[1]]  # the last of a repeated key wins
    try:
        config = load_config(arguments)
    except UserError as error:
        raise UserError(f"run {number}: {error}") from error
    shown = {parameter.name: settings[parameter.name] for parameter in varied}
    words = ", ".join(f"{key}={text(value)}" for key, value in shown.items())
    folder = out / f"run{number:03}"
    cell = Cell(folder, tuple(arguments), config, (config.task.name, config.method["name"], words))
    return Run(number, shown, cell)


def text(value: Any) -> str:
    """A setting for a table, to four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
