"""Run a W&B sweep file with Optuna, without a server; each run is made by train.py:

  python -m hir sweep conf/sweep/FILE.yaml [count=8] [out=DIR] [jobs=N] [seed=N] [key=value ...]

key=value is any key of train.py (python train.py --help), for every run: it beats the file's parameter. The
file's logger is left out: logger=wandb asks for it. docs/sweeps.md says what of a file is understood.

Writes results.md, results.json and best.yaml, which `python train.py config=DIR/best.yaml` takes, into DIR;
a run lies in DIR/runNNN and its output in runNNN.log beside it. Broken off, the same command goes on. Exit
code: 0; 1 if a run failed, 2 for a mistake in the arguments or the file, 130 if interrupted.
"""

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hir.config.schema import limited
from hir.config.values import read_yaml
from hir.errors import UserError
from hir.files import atomic_write, write_json
from hir.randomness import derive_seed
from hir.tools import runs
from hir.tools.runs import Cell
from hir.training.run_folder import read_history

try:
    import optuna
    from optuna import distributions, samplers
    from optuna.trial import Trial, TrialState
except ModuleNotFoundError as error:
    raise UserError("a sweep needs optuna: pip install optuna") from error

METRICS = ("val/accuracy", "val/accuracy_p_wrong", "val/gap", "fraction_correct", "fraction_unique")
"""Columns of metrics.csv that a sweep may go by, beside train/..."""


@dataclass
class Options:
    """Arguments of a sweep."""

    file: str = MISSING
    """The sweep file, such as conf/sweep/quickstart.yaml."""
    count: int | None = None
    """Runs in all, within the file's run_cap; null: as many as that, or the whole grid."""
    out: str | None = None
    """Folder of runs and results; null: outputs/sweep-FILE. What is finished there is not run again."""
    jobs: int | None = limited(None, "[1, 1000]")
    """Runs at once; null: one a GPU, or for each trainer.devices GPUs, else one a core."""
    seed: int = 1
    """Seed of the draws; that of the runs is a parameter of the file."""


@dataclass
class Metric:
    """The column of metrics.csv whose last value is wanted high or low."""

    name: str = MISSING
    goal: Literal["maximize", "minimize"] = "minimize"


@dataclass
class File:
    """What of a sweep file has a say here."""

    program: Literal["train.py"] = MISSING
    method: Literal["grid", "random", "bayes"] = MISSING
    metric: Metric = MISSING
    parameters: dict[str, Any] = MISSING
    run_cap: int | None = None


def read_file(path: Path) -> File:
    """A sweep file; UserError if it is none that is run here."""
    tree = read_yaml(path)
    command = tree.pop("command", None)
    if extra := [part for part in (command if isinstance(command, list) else [command]) if "=" in str(part)]:
        raise UserError(f"{path}: command sets {extra[0]}: make it a parameter with a value")
    if tree.pop("early_terminate", None):
        print("early_terminate is for W&B's server: here every run is whole")
    for name in ("name", "description", "project", "entity"):
        tree.pop(name, None)
    try:
        file = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(File), tree))
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {error.full_key or 'file'}: {str(error).splitlines()[0]}") from error
    assert isinstance(file, File)
    metric, allowed = file.metric.name, f"use {', '.join(METRICS)} or train/loss"
    if metric not in METRICS and not metric.startswith("train/"):
        raise UserError(f"metric {metric}: test rows have no part in a choice; {allowed}")
    return file


def read_parameter(name: str, entry: Any) -> distributions.BaseDistribution:
    """Where the values of a parameter come from; UserError if that is not known here."""
    reason = "docs/sweeps.md says what there is, as {value: 1} or {min: 0.0, max: 1.0}"
    options = dict(entry) if isinstance(entry, dict) else {}
    kind = options.pop("distribution", None)
    low, high = (options.get(key, 0) for key in ("min", "max"))
    whole = isinstance(low, int) and isinstance(high, int)
    try:
        if not (abs(low) < 1e18 and abs(high) < 1e18):  # nan is not, either
            raise ValueError("a bound is beyond 1e18")
        match kind, *sorted(options):
            case None | "constant", "value":
                return distributions.CategoricalDistribution([_plain(options["value"])])
            case None | "categorical", "values":
                return distributions.CategoricalDistribution([*map(_plain, options["values"])])
            case None | "int_uniform", "max", "min" if whole:
                return distributions.IntDistribution(low, high)
            case None | "uniform", "max", "min":
                return distributions.FloatDistribution(low, high)
            case "log_uniform_values", "max", "min":
                return distributions.FloatDistribution(low, high, log=True)
    except (TypeError, ValueError, ArithmeticError) as error:
        reason = str(error)
    raise UserError(f"{name} cannot be drawn from {entry}: {reason}")


def _plain(value: Any) -> Any:
    """A value as Optuna keeps it: a list or a mapping as the text that train.py gets."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def grid_of(space: Mapping[str, distributions.BaseDistribution]) -> list[dict[str, Any]]:
    """All combinations of values; UserError where a parameter is a range of fractions."""
    axes: list[Sequence[Any]] = []
    for name, values in space.items():
        match values:
            case distributions.CategoricalDistribution():
                axes.append(values.choices)
            case distributions.IntDistribution():
                axes.append(range(values.low, values.high + 1))
            case _:
                raise UserError(f"{name}: a grid takes value, values and integers, not a range of fractions")
    runs.check_number(math.prod(map(len, axes)))
    return [dict(zip(space, point, strict=True)) for point in product(*axes)]


class Sweep:
    """A sweep file, the arguments beside it, and Optuna's study of its runs: a trial a run."""

    def __init__(self, options: Options, settings: Sequence[str]) -> None:
        """Read the file, and try the configurations of its runs, as far as they are known.

        Raises UserError where one is wrong, or this machine cannot run it.
        """
        self.options, self.settings, self.file = options, settings, read_file(Path(options.file))
        given = {setting.removeprefix("--").partition("=")[0] for setting in settings} | {"logger"}
        if taken := {"run_dir", "resume"} & (given | self.file.parameters.keys()):
            raise UserError(f"{min(taken)} is set by the sweep: use out=")
        drawn = {name: entry for name, entry in self.file.parameters.items() if name not in given}
        self.distributions = {name: read_parameter(name, entry) for name, entry in drawn.items()}
        self.varied = [name for name, values in self.distributions.items() if not values.single()]
        self.grid = grid_of(self.distributions) if self.file.method == "grid" else []
        limits = [options.count, self.file.run_cap, len(self.grid) or None]
        self.count = min((limit for limit in limits if limit is not None), default=0)
        if self.count < 1:
            raise UserError("count=N, the runs to draw, must be at least 1; a grid alone has an end")
        runs.check_number(self.count)
        self.out = Path(options.out or f"outputs/sweep-{Path(options.file).stem}")
        self.begin([])
        self.environments = runs.slots(options.jobs, [self.choose() for _ in range(self.count)])

    def begin(self, chosen: Sequence[Mapping[str, Any]]) -> None:
        """Begin the study; the runs that were chosen before are chosen again."""
        self.study = optuna.create_study(direction=self.file.metric.goal)
        self.trials: dict[Cell, Trial] = {}
        for point in [*chosen, *self.grid[len(chosen) :]]:
            self.study.enqueue_trial(dict(point))

    def choose(self) -> Cell:
        """The next run, drawn by the seed, its number and, for bayes, what the study was told."""
        kind = samplers.TPESampler if self.file.method == "bayes" else samplers.RandomSampler
        self.study.sampler = kind(seed=derive_seed(self.options.seed, len(self.trials), 0, "sweep") % 2**32)
        trial = self.study.ask(self.distributions)
        arguments = [runs.as_argument(name, value) for name, value in trial.params.items()]
        number = trial.number + 1
        cell = Cell(f"run {number}", self.out / f"run{number:03}", [*arguments, *self.settings])
        self.trials[cell] = trial
        return cell

    def cells(self) -> Iterator[Cell]:
        """What is to be run, each chosen when its turn has come, and written down before it begins.

        Raises UserError where the folder holds the runs of another sweep.
        """
        decisive = {**asdict(self.file), "run_cap": None}  # a larger one adds runs
        identity = [decisive, sorted(self.settings), self.options.seed]
        file, chosen = self.out / "chosen.json", list[dict[str, Any]]()
        if file.is_file():
            begun, chosen = json.loads(file.read_text(encoding="utf-8")).values()
            if begun != identity:
                raise UserError(f"{self.out} holds the runs of another sweep: choose another out")
        self.begin(chosen)
        while len(self.trials) < max(self.count, len(chosen)):
            cell = self.choose()
            if len(self.trials) > len(chosen):
                chosen.append(self.trials[cell].params)
                write_json(file, {"sweep": identity, "runs": chosen})
            if runs.is_finished(cell):
                self.ended(cell)
            else:
                yield cell

    def ended(self, cell: Cell) -> str:
        """Tell the study of a run that is finished; returns what came out."""
        metric = self.file.metric.name
        value = [math.nan, *(row[metric] for row in read_history(cell.folder) if metric in row)][-1]
        finite = math.isfinite(value)
        state = TrialState.COMPLETE if finite else TrialState.FAIL
        self.study.tell(self.trials[cell], value if finite else None, state)
        return f"{metric} {runs.as_text(value)}"


def run(options: Options, settings: Sequence[str]) -> int:
    """Run what is unfinished and write the results; returns the exit code. Raises UserError."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep = Sweep(options, settings)
    failed = runs.run_cells(sweep.cells(), sweep.environments, sweep.ended)
    metric, sign = sweep.file.metric, -1 if sweep.file.metric.goal == "maximize" else 1
    done = [trial for trial in sweep.study.trials if trial.state.is_finished()]
    done.sort(key=lambda t: math.inf if t.value is None else sign * t.value)
    results = [
        {"run": t.number + 1, **{name: t.params[name] for name in sweep.varied}, metric.name: t.value}
        for t in done
    ]
    rows = [{name: runs.as_text(value) for name, value in result.items()} for result in results]
    table = runs.markdown(rows) if rows else "No run has ended."
    print(table)
    title = f"# {Path(options.file).name}: runs in the order of {metric.name}, to {metric.goal}"
    blocks = [title, table, "docs/sweeps.md says how to read this."]
    best = results[0]["run"] if results and results[0][metric.name] is not None else None
    if best:
        where = sweep.out / "best.yaml"
        atomic_write(where, (sweep.out / f"run{best:03}" / "config.yaml").read_bytes())
        blocks.append(f"Best: run {best}; `python train.py config={shlex.quote(str(where))}` repeats it.")
    content = {"method": sweep.file.method, "metric": asdict(metric), "best": best, "runs": results}
    return runs.write_results(sweep.out, failed, content, blocks)
