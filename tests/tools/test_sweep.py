"""python -m hir sweep: files, draws, W&B's agent, runs of a train.py that trains nothing, and real ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from operator import itemgetter
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from hir.__main__ import main
from hir.tools.arguments import read_options
from hir.tools.runs import Cell, as_argument
from hir.tools.sweep import Options, build_cells, draw, read_file
from hir.training.settings import load_run_config
from tests.command_line import ROOT, SMALL, run

FILES = sorted((ROOT / "conf" / "sweep").glob("*.yaml"))
QUICKSTART = ROOT / "conf/sweep/quickstart.yaml"


def cells_of(*arguments: str) -> list[Cell]:
    options, settings = read_options(Options, arguments, takes_settings=True)
    return build_cells(read_file(Path(options.file)), options, settings, Path("out"))


def write(folder: Path, text: str) -> str:
    """A sweep file of train.py with this text, which goes by the validation accuracy."""
    path = folder / "mine.yaml"
    metric = "" if "metric:" in text else "metric: {name: val/accuracy, goal: maximize}\n"
    path.write_text(f"program: train.py\n{metric}{text}")
    return str(path)


# The files, and the arguments that W&B's agent makes of them


ODD = {
    "sampling.max_queries": None,
    "buffer.group": False,
    "evaluation.tasks": ["word_sorting", "it's"],
    "instructions.wrong": "Solve it: = and #, wrongly.",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_agent_gives_each_run_the_configuration_that_it_has_here(path: Path, tmp_path: Path) -> None:
    command = yaml.safe_load(path.read_text())["command"]
    assert command == ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
    file = tmp_path / path.name
    file.write_text(path.read_text().replace("method: bayes", "method: random"))
    cells = cells_of(str(file), "count=3", *(as_argument(*pair) for pair in ODD.items()))
    assert len({str(asdict(cell.config)) for cell in cells}) == 3
    for cell in cells:
        chosen = [argument.split("=", 1) for argument in cell.arguments if argument.split("=")[0] not in ODD]
        given = {**{k: yaml.safe_load(v) for k, v in chosen}, **ODD, "logger": "wandb"}
        shapes = create_sweep_command_args({"args": {k: {"value": v} for k, v in given.items()}})
        for shape in ("args", "args_no_hyphens"):
            assert load_run_config(shapes[shape]) == replace(cell.config, logger="wandb")


# What is drawn from


def test_a_parameter_lists_its_values_or_has_a_range() -> None:
    for entry, values in (
        ("{value: [1, 2]}", [[1, 2]]),
        ("{values: [0, null, {a: 1}]}", [0, None, {"a": 1}]),
    ):
        drawn = [draw("x", yaml.safe_load(entry), Random(number)) for number in range(20)]
        assert all(value in drawn for value in values) and all(value in values for value in drawn)
    for entry, kind, low, middle, high in (
        ("{min: 0.5, max: 2}", float, 0.5, 1.25, 2),
        ("{min: 1, max: 4}", int, 1, 2, 4),
        ("{distribution: uniform, min: 1, max: 4}", float, 1, 2.5, 4),
        ("{distribution: int_uniform, min: 1, max: 4}", int, 1, 2, 4),
        ("{distribution: log_uniform_values, min: 0.001, max: 0.1}", float, 1e-3, 1e-2, 0.1),
    ):
        drawn = [draw("x", yaml.safe_load(entry), Random(number)) for number in range(1000)]
        assert {*map(type, drawn)} == {kind} and low <= min(drawn) and max(drawn) <= high
        assert 450 < sum(value <= middle for value in drawn) < 550


MIXED = """\
method: random
run_cap: 4
parameters:
  logger: {value: wandb}
  method.alpha: {values: [0.5]}
  trainer.max_epochs: {min: 2, max: 2}
  evaluation.tasks: {value: [mine]}
"""


def test_a_run_has_what_was_drawn_and_the_arguments_beat_it(tmp_path: Path) -> None:
    file = write(tmp_path, MIXED)
    cells = cells_of(file)
    assert cells[3].arguments == ["method.alpha=0.5", "trainer.max_epochs=2", 'evaluation.tasks=["mine"]']
    assert cells[3].folder == Path("out/run004")
    assert cells[3].config.evaluation.tasks == ["mine"] and cells[3].config.logger == "csv"
    fewer = cells_of(file, "method.alpha=0.3", "logger=wandb", "count=2")
    assert (fewer[1].config.method["alpha"], fewer[1].config.logger) == (0.3, "wandb")
    assert (len(cells), len(fewer)) == (4, 2)


RANGES = """\
method: random
run_cap: 20
parameters:
  method.alpha: {min: 0.0, max: 1.0}
  training.lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
"""


def test_a_random_draw_is_a_function_of_seed_and_number(tmp_path: Path) -> None:
    file = write(tmp_path, RANGES)
    drawn = [cell.arguments for cell in cells_of(file, "count=4")]
    assert [cell.arguments for cell in cells_of(file, "count=2")] == drawn[:2]
    assert cells_of(file, "count=1", "seed=2")[0].arguments != drawn[0]
    assert len({alpha for alpha, _ in drawn}) == 4


MISTAKES = [
    (RANGES.replace("run_cap: 20\n", ""), [], "count=N, the runs to draw, must be 1 to"),
    (RANGES, ["method.alhpa=1"], "method.alpha"),
    (RANGES, ["run_dir=x"], "run_dir is set by the sweep: use out="),
    (RANGES, ["training.lr=-1"], "training.lr must be"),
    (f"{RANGES}metric: {{name: test/accuracy, goal: maximize}}\n", [], "test rows have no part in a choice"),
    (f"{RANGES}metric: {{name: val/gap, goal: up}}\n", [], "metric: {name: val/accuracy, goal:"),
    ("method: random\n", [], "and parameters: {NAME:"),
    (RANGES.replace("random", "bayes"), [], "method: random, metric:"),
    (f"{RANGES}  seed: {{values: [1], probabilities: [1]}}\n", [], "docs/sweeps.md says what there is"),
    (f"{RANGES}  seed: {{min: 3, max: 1}}\n", [], "seed cannot be drawn from {'min': 3"),
    (f"{RANGES}  seed: 3\n", [], "seed cannot be drawn from 3: docs/sweeps.md"),
]


@pytest.mark.parametrize(("text", "arguments", "words"), MISTAKES)
def test_mistakes_end_with_2(
    text: str, arguments: list[str], words: str, tmp_path: Path, refused: Callable[..., None]
) -> None:
    refused(words, "sweep", write(tmp_path, text), *arguments)


# Runs, by a train.py that trains nothing: its validation accuracy becomes alpha, and of 0.9 there is none

TRAIN = """\
import sys
from pathlib import Path

given = dict(argument.split("=", 1) for argument in sys.argv[1:])
folder, alpha = Path(given["run_dir"]), float(given["method.alpha"])
if alpha < 0 and not Path(__file__).with_name("mended").exists():
    sys.exit("error: out of luck")
folder.mkdir(parents=True)
(folder / "config.yaml").write_text(f"method: {{alpha: {alpha}}}\\n")
(folder / "metrics.csv").write_text(f"iteration,val/accuracy\\n0,\\n1,{alpha if alpha < 0.9 else ''}\\n")
(folder / "summary.json").touch()
with Path(__file__).with_name("runs").open("a") as file:
    file.write(f"{folder.name} {alpha}\\n")
"""
CHOICES = """\
method: random
run_cap: 4
parameters: {method.alpha: {values: [0.2, -0.5, 0.8, 0.9]}, trainer.max_epochs: {value: 1}}
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of that train.py."""
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.setattr("hir.tools.runs.ROOT", tmp_path)
    monkeypatch.setattr("hir.tools.runs.is_finished", lambda cell: (cell.folder / "summary.json").is_file())
    in_turn = [SimpleNamespace(choice=itemgetter(number)) for number in range(4)]
    monkeypatch.setattr("hir.tools.sweep.generator", lambda seed, number, *_: in_turn[number])
    # Which looks at all configurations, and -0.5 is refused.
    monkeypatch.setattr("hir.tools.runs.slots", lambda *_: [{**os.environ}])
    return tmp_path


def test_a_failed_run_is_named_and_alone_tried_again(stub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", write(stub, CHOICES), f"out={stub / 'out'}", "jobs=1"]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert f"\nrun 2 failed: error: out of luck ({stub / 'out' / 'run002.log'})\n" in printed.out
    assert printed.err == "error: runs failed: 1; the same command tries them again\n"
    results = json.loads((stub / "out/results.json").read_text())
    assert [run["run"] for run in results["runs"]] == ["run003", "run001", "run004"]
    assert results["failed"] == [{"run": "run 2", "says": "error: out of luck"}]
    (stub / "mended").touch()
    assert main(command) == 0
    started = ["run001 0.2", "run003 0.8", "run004 0.9", "run002 -0.5"]
    assert (stub / "runs").read_text().splitlines() == started
    table = [line for line in (stub / "out/results.md").read_text().splitlines() if line.startswith("|")]
    assert table == [
        "| run    | method.alpha | val/accuracy |",
        "| ------ | ------------ | ------------ |",
        "| run003 | 0.8          | 0.8          |",
        "| run001 | 0.2          | 0.2          |",
        "| run002 | -0.5         | -0.5         |",
        "| run004 | 0.9          | –            |",
    ]
    assert (stub / "out/best.yaml").read_text() == "method: {alpha: 0.8}\n"
    assert main([*command, "count=3"]) == 0  # within what there is
    assert (stub / "runs").read_text().splitlines() == started


@pytest.mark.slow(seconds=15)
def test_a_real_run(environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [str(QUICKSTART), "count=1", f"out={out}", *SMALL, "trainer.max_epochs=1"]
    done = run(environment, "sweep", *arguments, program="-m hir")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith("run 1: val/accuracy 0.")
    (result,) = json.loads((out / "results.json").read_text())["runs"]
    best = load_run_config([f"config={out / 'best.yaml'}"])
    assert best.training.lr == result["training.lr"] and best.run_dir is None
