"""Run a W&B sweep file with Optuna, without a server; each run is made by train.py:

  python -m hir sweep conf/sweep/FILE.yaml [count=8] [out=DIR] [jobs=N] [seed=N] [key=value ...]

key=value is any key of train.py (python train.py --help), for every run: it beats the file's parameter. The
file's logger is left out: logger=wandb asks for it. docs/sweeps.md says what of a file is understood.

Writes results.md, results.json, sweep.png and best.yaml, which `python train.py config=DIR/best.yaml` takes,
into DIR; a run lies in DIR/runNNN and its output in runNNN.log beside it. Broken off, the same command goes
on. Exit code: 0; 1 if a run failed or none has the metric, 2 for a mistake in the arguments or the file, 130
if interrupted.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.markup import escape
from rich.table import Table

from hir.errors import UserError
from hir.figures import image, plain
from hir.files import atomic_write, write_json
from hir.randomness import derive_seed
from hir.tools import runs
from hir.training.run_folder import Row, read_history
from hir.training.settings import load_run_config

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

TAKES_SETTINGS = True

METRICS = ("val/accuracy", "val/accuracy_p_wrong", "val/gap", "fraction_correct", "fraction_unique")
"""Columns of metrics.csv that a sweep may go by, beside train/... and TASK/accuracy of evaluation.tasks."""

RANGE = ("min", "max")
DISTRIBUTIONS = {
    "constant": ("value",),
    "categorical": ("values",),
    "uniform": RANGE,
    "int_uniform": RANGE,
    "log_uniform_values": RANGE,
    "q_uniform": (*RANGE, "q"),
    "q_log_uniform_values": (*RANGE, "q"),
}
"""W&B's distributions that are drawn from here, and what a file says for each."""


@dataclass
class Options:
    """Arguments of a sweep."""

    file: str = MISSING
    """The sweep file, such as conf/sweep/quickstart.yaml."""
    count: int | None = None
    """Runs in all, within the file's run_cap; null: as many as that, or the whole grid."""
    out: str | None = None
    """Folder of runs and results; null: outputs/sweep-FILE. What is finished there is not run again."""
    jobs: int | None = None
    """Runs at once; null: one a GPU, or for each trainer.devices GPUs, else one a core."""
    seed: int = 1
    """Seed of the draws; that of the runs is a parameter of the file."""


@dataclass
class Metric:
    """The column of metrics.csv whose last value is wanted high or low."""

    name: str = MISSING
    goal: Literal["maximize", "minimize"] = "minimize"


@dataclass
class Hyperband:
    """When a run that falls behind is given up, in values of the metric; the base's is the first."""

    type: Literal["hyperband"] = MISSING
    min_iter: int = MISSING
    eta: int = 3


@dataclass
class File:
    """A sweep file, but for its parameters and its command."""

    program: Literal["train.py"] = MISSING
    method: Literal["grid", "random", "bayes"] = MISSING
    metric: Metric = MISSING
    run_cap: int | None = None
    early_terminate: Hyperband | None = None
    name: Any = None
    description: Any = None
    project: Any = None
    entity: Any = None


def read_file(path: Path) -> tuple[File, dict[str, Any]]:
    """A sweep file and its parameters; UserError if it is none that is run here."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # a ValueError: of text, of a date or of a number
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    parameters = tree.pop("parameters", None) if isinstance(tree, dict) else None
    if not isinstance(parameters, dict) or not parameters:
        raise UserError(f"{path} must hold program, method, metric and parameters")
    if extra := [part for part in tree.pop("command", None) or () if "=" in str(part)]:
        raise UserError(f"{path}: command sets {extra[0]}: make it a parameter with a value")
    tree.setdefault("metric", {"name": "val/accuracy", "goal": "maximize"})
    try:
        merged = OmegaConf.merge(OmegaConf.structured(File), OmegaConf.create(tree))
        file: Any = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {error.full_key or 'file'}: {str(error).splitlines()[0]}") from error
    rule = file.early_terminate
    if rule and (rule.min_iter < 1 or rule.eta < 2) or file.run_cap is not None and file.run_cap < 1:
        raise UserError(f"{path}: run_cap and min_iter must be at least 1, eta at least 2")
    return file, parameters


@dataclass(frozen=True)
class Parameter:
    """A key of train.py, and where its values come from."""

    name: str
    distribution: BaseDistribution
    q: float | None
    """What values are rounded to a multiple of; None for no rounding."""

    def suggest(self, trial: Trial) -> None:
        """Have Optuna choose, unless the trial has a value."""
        d: Any = self.distribution
        if hasattr(d, "choices"):
            trial.suggest_categorical(self.name, d.choices)
        elif isinstance(d.low, int):
            trial.suggest_int(self.name, d.low, d.high)
        else:
            trial.suggest_float(self.name, d.low, d.high, log=d.log)

    def value(self, trial: Trial | FrozenTrial) -> Any:
        """What the trial's run gets; an integer where q is one, as an integer key wants it."""
        chosen = trial.params[self.name]
        if self.q is None:
            return chosen
        steps = round(chosen / self.q)
        return steps * int(self.q) if self.q == int(self.q) else float(f"{steps * self.q:.12g}")

    def grid(self) -> Sequence[Any]:
        """All values; UserError where they are a range of fractions."""
        d: Any = self.distribution
        if hasattr(d, "choices"):
            return list(d.choices)
        if isinstance(d.low, int):
            return range(d.low, d.high + 1)
        raise UserError(f"{self.name}: a grid takes value, values and int_uniform, not a range of fractions")


def read_parameter(name: str, entry: Any) -> Parameter:
    """A parameter of a file; UserError if it is none that is drawn from here."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(entry, dict) or "parameters" in entry:
        nested = "in place of parameters within a parameter write dotted keys, such as training.lr"
        raise UserError(f"{name} must be like {{value: 1}} or {{min: 0.0, max: 1.0}}: {nested}")
    options = {str(key): value for key, value in entry.items()}
    kind = options.pop("distribution", None)
    if kind is None:
        implied = {"value": "constant", "values": "categorical", "max min": "uniform"}
        kind = implied.get(" ".join(sorted(options)), f"{', '.join(options)} alone")
        if kind == "uniform" and all(type(bound) is int for bound in options.values()):
            kind = "int_uniform"
    if kind not in DISTRIBUTIONS:
        raise UserError(f"{name}: {kind} is no distribution known here: {', '.join(DISTRIBUTIONS)}")
    if kind.startswith("q_"):
        options.setdefault("q", 1)
    if options.keys() != set(DISTRIBUTIONS[kind]):
        raise UserError(f"{name}: {kind} takes {', '.join(DISTRIBUTIONS[kind])}, not {', '.join(options)}")
    if kind in ("constant", "categorical"):
        values = options.get("values", [options.get("value")])
        if not isinstance(values, list) or not values:
            raise UserError(f"{name}: values must be a list with something in it, not {values!r}")
        # Optuna keeps plain values alone: a list or a mapping as the text that train.py gets.
        texts = [runs.as_argument(name, value).partition("=")[2] for value in values]
        kept = (bool, int, float, str, type(None))
        choices = [v if isinstance(v, kept) else text for v, text in zip(values, texts, strict=True)]
        return Parameter(name, CategoricalDistribution(list(dict.fromkeys(choices))), None)
    wanted = (int,) if kind == "int_uniform" else (int, float)
    for key, value in options.items():
        if type(value) not in wanted or not math.isfinite(value) or key == "q" and value <= 0:
            hint = " (YAML wants 1.0e-4 for 1e-4)" if isinstance(value, str) else ""
            raise UserError(f"{name}: {kind} cannot have {key} {value!r}{hint}")
    low, high = options["min"], options["max"]
    try:
        if kind == "int_uniform":
            return Parameter(name, IntDistribution(low, high), None)
        return Parameter(name, FloatDistribution(low, high, log="log" in kind), options.get("q"))
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


class Sweep:
    """A sweep file, the arguments beside it, and Optuna's study of its runs: a trial a run.

    A run that failed stays a running trial, as one that was broken off, so that the same command tries it
    again.
    """

    def __init__(self, options: Options, settings: Sequence[str]) -> None:
        """Read the file, and try the configurations of its runs, as far as they are known.

        Raises:
            UserError: the file, an argument or a configuration is wrong.
        """
        import optuna

        for name, low in (("count", 1), ("jobs", 1), ("seed", 0)):
            if (value := getattr(options, name)) is not None and value < low:
                raise UserError(f"{name} must be at least {low}, not {value}")
        self.options, self.settings = options, tuple(settings)
        self.file, parameters = read_file(Path(options.file))
        given = {setting.removeprefix("--").partition("=")[0] for setting in settings}
        if taken := {"run_dir", "resume"} & {*given, *parameters}:
            raise UserError(f"{min(taken)} is set by the sweep: use out=")
        read = [read_parameter(str(name), entry) for name, entry in parameters.items()]
        self.parameters = [p for p in read if p.name not in {*given, "logger"}]
        self.points: list[tuple[Any, ...]] = []
        if self.file.method == "grid":
            self.points = list(product(*(parameter.grid() for parameter in self.parameters)))
        limits = [limit for limit in (options.count, self.file.run_cap, len(self.points)) if limit]
        if not limits:
            raise UserError("count=N is missing: how many runs to draw (a grid alone has an end)")
        self.count = min(limits)
        self.out = Path(options.out or f"outputs/sweep-{Path(options.file).stem}")
        file, seed = asdict(self.file), None if self.points else options.seed
        decisive = [
            file["method"],
            file["metric"],
            file["early_terminate"],
            parameters,
            sorted(settings),
            seed,
        ]
        self.identity = json.loads(json.dumps(decisive))
        self.trials: dict[runs.Cell, Trial] = {}
        self.running: list[runs.Cell] = []
        self.given_up: set[runs.Cell] = set()
        self.failed: dict[int, str] = {}
        """What each run, by its number, said last."""
        self.study = optuna.create_study()  # in memory
        cells = [self.cell(self.ask()) for _ in range(self.count)]
        self.longest = max(cell.config.trainer["max_epochs"] for cell in cells) + 1
        """Values of the metric that a run has at most, the base's among them."""
        runs.check_machine(cells, options.jobs)

    def open(self) -> None:
        """Go on with the study in the folder, or begin it; UserError if that holds another sweep."""
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        path, rule, pruner = str(self.out / "journal.log"), self.file.early_terminate, None
        if rule:
            pruner = optuna.pruners.HyperbandPruner(rule.min_iter, self.longest, rule.eta)
        self.study = optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path))),
            pruner=pruner,
            study_name="sweep",
            direction=self.file.metric.goal,
            load_if_exists=True,
        )
        if self.study.user_attrs.get("sweep", self.identity) != self.identity:
            raise UserError(f"{self.out} holds the runs of another sweep: choose another out, or delete it")
        self.study.set_user_attr("sweep", self.identity)

    def ask(self, begun: FrozenTrial | None = None) -> Trial:
        """A new trial, or one begun before, with a value for each parameter.

        The draws depend on the seed, the trial's number and, for bayes, on what the study was told.
        """
        import optuna

        number = begun.number if begun else self.asked
        bayes = self.file.method == "bayes"
        sampler = optuna.samplers.TPESampler if bayes else optuna.samplers.RandomSampler
        self.study.sampler = sampler(seed=derive_seed(self.options.seed, number, 0, "sweep") % 2**32)
        if self.points and not begun and number == len(self.study.get_trials(deepcopy=False)):
            names = [parameter.name for parameter in self.parameters]
            self.study.enqueue_trial(dict(zip(names, self.points[number], strict=True)))
        trial = optuna.Trial(self.study, begun._trial_id) if begun else self.study.ask()
        for parameter in self.parameters:
            parameter.suggest(trial)
        return trial

    @property
    def asked(self) -> int:
        """How many runs have been chosen; one that waits in the study has not."""
        return sum(trial.state.name != "WAITING" for trial in self.study.get_trials(deepcopy=False))

    def cell(self, trial: Trial) -> runs.Cell:
        """The trial's run; UserError if train.py would refuse it."""
        arguments = [runs.as_argument(p.name, p.value(trial)) for p in self.parameters] + [*self.settings]
        metric = self.file.metric.name
        try:
            config = load_run_config(arguments)
        except UserError as error:
            raise UserError(f"run {trial.number + 1}: {error}") from error
        task = metric.removesuffix("/accuracy")
        if task in ("test", config.task.name):
            raise UserError(f"metric {metric}: test rows have no part in a choice; use val/accuracy")
        if metric not in METRICS and not metric.startswith("train/") and task not in config.evaluation.tasks:
            raise UserError(f"no run has the metric {metric}: use {', '.join(METRICS)} or train/loss")
        return runs.Cell(self.out / f"run{trial.number + 1:03}", tuple(arguments), config)

    def cells(self) -> Iterator[runs.Cell]:
        """What is to be run: what was begun before, then new runs, each chosen when its turn has come."""
        from optuna.trial import TrialState

        begun = self.study.get_trials(states=[TrialState.RUNNING])
        while begun or self.asked < self.count:
            trial = self.ask(begun.pop(0) if begun else None)
            try:
                cell = self.cell(trial)
            except UserError as error:
                self.failed[trial.number + 1] = str(error)
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            self.trials[cell] = trial
            if runs.is_finished(cell):  # interrupted before it was told
                self.finish(cell)
            else:
                yield cell

    def history(self, cell: runs.Cell) -> list[Row]:
        """The rows of a run's metrics.csv with a value of the metric; none while there is no such file."""
        with suppress(OSError, ValueError):
            return [row for row in read_history(cell.folder) if self.file.metric.name in row]
        return []

    def watch(self, cell: runs.Cell) -> bool:
        """Whether the pruner gives a running run up; it judges each value once."""
        trial = self.trials[cell]
        told = self.study.get_trials(deepcopy=False)[trial.number].last_step or 0
        for step, row in enumerate(self.history(cell)[told:], told + 1):
            trial.report(row[self.file.metric.name], step)
            if trial.should_prune() and step < self.longest:  # at its end it may as well be tested
                self.given_up.add(cell)
                return True
        return False

    def finish(self, cell: runs.Cell) -> None:
        """Tell the study what a finished run gave; one without a value counts as failed there."""
        from optuna.trial import TrialState

        if self.file.early_terminate:
            self.watch(cell)  # what came since it was last watched: others are judged by it
        trial, rows = self.trials[cell], self.history(cell)
        summary = json.loads((cell.folder / "summary.json").read_text(encoding="utf-8"))
        trial.set_user_attr("test", summary["test"]["accuracy"])
        trial.set_user_attr("seconds", summary["seconds"]["sampling"] + summary["seconds"]["training"])
        value = rows[-1][self.file.metric.name] if rows and rows[-1]["iteration"] else math.nan
        if math.isfinite(value):
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=TrialState.FAIL)

    def ended(self, cell: runs.Cell, succeeded: bool) -> str:
        """Take in a run that has ended; returns a line about it."""
        from optuna.trial import TrialState

        self.running.remove(cell)
        number, metric = self.trials[cell].number, self.file.metric.name
        if succeeded:
            self.finish(cell)
        elif cell in self.given_up:
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.failed[number + 1] = f"{runs.last_line(cell)} ({runs.log_file(cell)})"
            return f"run {number + 1} failed: {self.failed[number + 1]}"
        return f"run {number + 1}: {metric} {_outcome(self.study.get_trials(deepcopy=False)[number])}"

    def ranked(self) -> list[FrozenTrial]:
        """The trials that have ended, the best first; those given up and those without a value last."""
        sign = -1 if self.file.metric.goal == "maximize" else 1
        done = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()]
        return sorted(done, key=lambda t: (t.state, math.inf if t.value is None else sign * t.value))

    def best(self) -> FrozenTrial | None:
        """The first of the ranked that went to its end with a value."""
        return next((trial for trial in self.ranked() if trial.state.name == "COMPLETE"), None)

    def rows(self) -> list[list[str]]:
        """The table of results as text, its heads first."""
        varied = [parameter for parameter in self.parameters if not parameter.distribution.single()]
        rows = [["", "run", *(p.name for p in varied), self.file.metric.name, "test", "seconds"]]
        for place, trial in enumerate(self.ranked(), 1):
            settings = [_text(parameter.value(trial)) for parameter in varied]
            test, seconds = (_text(trial.user_attrs.get(name)) for name in ("test", "seconds"))
            rows.append([str(place), str(trial.number + 1), *settings, _outcome(trial), test, seconds])
        return rows

    def __rich__(self) -> Table:
        heads, *rows = self.rows()
        running = [f"{cell.folder.name} ({len(self.history(cell))} values)" for cell in self.running]
        table = Table(*map(escape, heads), box=None)
        for row in rows:
            table.add_row(*map(escape, row))
        table.caption = f"running: {', '.join(running)}" if running else None
        return table


def _text(value: Any) -> str:
    """A value for a table, a number to four digits."""
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def _outcome(trial: FrozenTrial) -> str:
    """The metric of a trial that has ended, and whether it was given up."""
    return _text(trial.value) + (f", given up at {trial.last_step}" if trial.state.name == "PRUNED" else "")


NOTES = """\
- {metric}: the run's last value. A run given up at N had N values of it, the base's among them.
- test: the final model's accuracy on test rows, which has no part in the order.
- The first of many runs is first partly by luck: `python -m hir compare` tells how its
  settings do on other seeds.
"""


def write_results(sweep: Sweep) -> list[str]:
    """Write results.md and results.json, and with a best run best.yaml and the chart; returns their names."""
    out, best, metric = sweep.out, sweep.best(), sweep.file.metric
    given = {name: value for name, value in asdict(sweep.options).items() if value is not None}
    command = shlex.join([given.pop("file"), *(f"{k}={v}" for k, v in given.items()), *sweep.settings])
    content = {
        "command": f"python -m hir sweep {command}",
        "versions": runs.versions(),
        "method": sweep.file.method,
        "metric": asdict(metric),
        "best": best.number + 1 if best else None,
        "runs": [
            {
                "run": trial.number + 1,
                "settings": {p.name: p.value(trial) for p in sweep.parameters},
                "value": trial.value,
                "given_up_at": trial.last_step if trial.state.name == "PRUNED" else None,
                **trial.user_attrs,
            }
            for trial in sweep.ranked()
        ],
        "failed": [{"run": number, "says": line} for number, line in sweep.failed.items()],
    }
    write_json(out / "results.json", content)
    heads, *rows = sweep.rows()
    table = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    blocks = [
        f"# {Path(sweep.options.file).name}: runs in the order of {metric.name}, to {metric.goal}",
        f"```\n{content['command']}\n```",
    ]
    blocks += [f"**Failed**: run {number}: `{line}`" for number, line in sweep.failed.items()]
    blocks += ["\n".join(f"| {' | '.join(row)} |" for row in table)]
    files = ["results.md", "results.json"]
    for name in ("best.yaml", "sweep.png"):  # of a state before this one
        (out / name).unlink(missing_ok=True)
    if best:
        atomic_write(out / "best.yaml", (out / f"run{best.number + 1:03}" / "config.yaml").read_bytes())
        files.append("best.yaml")
        where = shlex.quote(str(out / "best.yaml"))
        blocks.append(f"Best: run {best.number + 1}; `python train.py config={where}` repeats it.")
    if best and len(heads) > 5:
        atomic_write(out / "sweep.png", chart(sweep))
        files.append("sweep.png")
        blocks.append(f"![What mattered, and {metric.name} of each run by its settings](sweep.png)")
    blocks += ["## How to read this", NOTES.format(metric=metric.name)]
    atomic_write(out / "results.md", "\n\n".join(blocks).encode())
    return files


def chart(sweep: Sweep) -> bytes:
    """A PNG: how much each parameter mattered, and a line a run through its settings to the metric.

    Args:
        sweep: with a varied parameter and a run that went to its end.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from optuna.importance import get_param_importances

    trials = [trial for trial in sweep.ranked() if trial.state.name == "COMPLETE"][::-1]  # the best on top
    varied = [parameter for parameter in sweep.parameters if not parameter.distribution.single()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for few runs it says that importances will be equal
        importances = get_param_importances(sweep.study, params=[parameter.name for parameter in varied])
    figure = Figure(figsize=(4 + 1.8 * len(varied), 4.2), dpi=120, layout="constrained")
    bars, lines = figure.subplots(1, 2, width_ratios=(2, 1 + len(varied)))
    bars.barh(list(importances)[::-1], list(importances.values())[::-1], color="#4c72b0")
    bars.set_title("importance (PED-ANOVA)", fontsize=10)
    values = [trial.value or 0.0 for trial in trials]
    columns = [[_height(p.distribution, trial.params[p.name]) for trial in trials] for p in varied]
    columns.append([(value - min(values)) / ((max(values) - min(values)) or 1.0) for value in values])
    for heights, shade in zip(zip(*columns, strict=True), columns[-1], strict=True):
        goodness = shade if sweep.file.metric.goal == "maximize" else 1 - shade
        lines.plot(heights, color=colormaps["viridis_r"](goodness))
    for x, parameter in enumerate(varied):
        d: Any = parameter.distribution
        for value in getattr(d, "choices", None) or (d.low, d.high):
            lines.annotate(plain(_text(value)[:18]), (x, _height(d, value)), fontsize=8)
    for height, value in ((0.0, min(values)), (1.0, max(values))):
        lines.annotate(_text(value), (len(varied), height), fontsize=8)
    names = [parameter.name.replace(".", ".\n") for parameter in varied]
    lines.set_xticks(range(len(names) + 1), [*names, sweep.file.metric.name], fontsize=8)
    lines.grid(axis="x")
    lines.set_yticks([])
    lines.set_title(f"{len(trials)} runs: a darker line is better, to {sweep.file.metric.goal}", fontsize=10)
    return image(figure)


def _height(distribution: Any, value: Any) -> float:
    """Where a value stands between the ends of its distribution, 0 to 1."""
    if hasattr(distribution, "choices"):
        return float(distribution.choices.index(value) / (len(distribution.choices) - 1))
    scale = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    return (scale(value) - low) / (high - low)


def run(options: Options, settings: Sequence[str]) -> int:
    """Run what is unfinished and write the results; returns the exit code.

    Raises:
        UserError: a mistake in the arguments or the file, the folder holds or another process runs other
            runs, or this machine cannot run these.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError("a sweep needs optuna: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep, console = Sweep(options, settings), runs.open_console()

    def ended(cell: runs.Cell, succeeded: bool) -> None:
        console.print(sweep.ended(cell, succeeded), markup=False, soft_wrap=True)

    watch = sweep.watch if sweep.file.early_terminate else None
    with runs.claimed(sweep.out):
        sweep.open()
        if options.jobs != 1 and (watch or sweep.file.method == "bayes"):
            console.print("note: with several jobs, what is chosen depends on which run ends first")
        runs.run_live(sweep, console, sweep.cells(), options.jobs, sweep.running.append, ended, watch)
        files = write_results(sweep)
    console.print(sweep)
    console.print(f"written to {sweep.out}: {' '.join(files)}", markup=False, soft_wrap=True)
    if sweep.failed:
        print(
            f"error: {len(sweep.failed)} of {sweep.count} runs failed; the same command tries them again",
            file=sys.stderr,
        )
    elif not sweep.best():
        print(f"error: no run has a value of {sweep.file.metric.name}", file=sys.stderr)
    return 1 if sweep.failed or not sweep.best() else 0
