"""hir/sweep and conf/sweep: the command lines of W&B's own agent, draws by hand, and real runs of seconds."""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hir.__main__ import main as verb
from hir.config.load import load_config, save_config, to_dict
from hir.errors import UserError
from hir.tools.runs import Cell, slots
from hir.tools.sweep.chart import Scale, axis_of, chart
from hir.tools.sweep.distributions import DISTRIBUTIONS
from hir.tools.sweep.plan import Run, Sweep, parse_arguments
from hir.tools.sweep.space import Parameter, random_search, read_parameters
from tests.command_line import ROOT, SMALL


def main(argv: list[str]) -> int:
    return verb(["sweep", *argv])


FILES = sorted((ROOT / "conf" / "sweep").glob("*.yaml"))
QUICKSTART = ROOT / "conf/sweep/quickstart.yaml"
FOUR_GPUS = ROOT / "conf/sweep/flan_t5_large_4gpu.yaml"


def count_of(path: Path) -> list[str]:
    return [] if "method: grid" in path.read_text() else ["count=3"]


def write(folder: Path, text: str) -> str:
    """A sweep file of train.py with this text."""
    path = folder / "mine.yaml"
    path.write_text(f"program: train.py\n{text}")
    return str(path)


# The files, and the command lines that W&B's agent makes of them


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_run_of_a_file_has_a_configuration(path: Path) -> None:
    sweep = parse_arguments([str(path), *count_of(path)])
    configs = [run.cell.config for run in sweep.runs]
    assert len({str(to_dict(config)) for config in configs}) == len(configs) >= 3
    if path.stem.startswith("tune_"):  # what was searched for a table has that table's budget
        budgets = {(c.training.passes, c.training.num_updates, c.sampling.num_samples) for c in configs}
        assert len(budgets) == 1 and len(configs) >= 4


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """W&B's agent, which needs a server for its orders alone."""
    from wandb.wandb_agent import Agent

    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):  # which the agent sets: to be put back
        monkeypatch.setenv(name, "")
    return Agent(None, None, sweep_id="s1")


def order(agent: Any, arguments: dict[str, Any], command: list[str]) -> None:
    """Have the agent start a run, as the server tells it to."""
    agent._sweep_command = list(command)
    given = {name: {"value": value} for name, value in arguments.items()}
    agent._command_run({"run_id": "r1", "program": "train.py", "args": given})


def command_line(
    agent: Any, arguments: dict[str, Any], command: list[str], patch: pytest.MonkeyPatch
) -> list[str]:
    """The command that the agent would start."""
    started: list[list[str]] = []

    class Recorded:
        def __init__(self, command: list[str], **kwargs: Any) -> None:
            started.append(command)

    with patch.context() as patched:
        patched.setattr("wandb.wandb_agent.AgentProcess", Recorded)
        order(agent, arguments, command)
    return started[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_agent_gives_each_run_the_configuration_that_it_has_here(
    path: Path, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = yaml.safe_load(path.read_text())
    parameters = list(read_parameters(tree["parameters"]))
    for run in parse_arguments([str(path), *count_of(path)]).runs[:3]:
        constants = {p.name: p.options["value"] for p in parameters if p.distribution == "constant"}
        line = command_line(agent, {**constants, **run.settings}, tree["command"], monkeypatch)
        assert line[:3] == ["/usr/bin/env", "python", "train.py"]
        logger = constants.get("logger", "csv")
        assert load_config(line[3:]) == replace(run.cell.config, logger=logger)


NASTY = [
    {"training.lr": 1e-4, "training.weight_decay": 1e-05, "method.alpha": 0, "training.passes": 3},
    {"training.final_lr": None, "buffer.max_wrong_fraction": None, "sampling.max_queries": None},
    {"training.compile": True, "buffer.group": False, "buffer.deduplicate": True},
    {"evaluation.tasks": ["word_sorting", "mine"], "model.lora.target_modules": []},
    {"evaluation.tasks": ["it's", 'say "so"', "a, b", "None"]},
    {"instructions.wrong": "Solve it: wrongly, with 'blanks', = signs and a # sign."},
    {"instructions.wrong": "{curly} [x", "instructions.correct": "two\nlines,  ünï – ${HOME} \\${x}"},
    {"trainer.devices": [0, 1], "trainer.max_time": "00:12:00:00", "trainer.gradient_clip_val": None},
    {"trainer": {"max_epochs": 3, "deterministic": False, "gradient_clip_val": 1e-05}},
    {"task.settings": {"max_answer": 5, "max_items": 3}},
    {"trainer": {"gradient_clip_val": None, "precision": "32-true"}},
    {
        "training": {"lr": 1e-05, "final_lr": None},
        "method": {"alpha": 0.5},
        "task": {"settings": {"max_items": 3}},
    },
    {"model": {"lora": {"r": 8, "target_modules": ["q", "v", "k"]}}, "evaluation": {"tasks": ["mine"]}},
    {"instructions.others": ["both ' and \" \\ here", "two\nlines"]},
]


def among(found: Any, wanted: Any) -> Any:
    """What is found of the keys that are wanted, at any depth."""
    return {key: among(found[key], wanted[key]) for key in wanted} if isinstance(wanted, dict) else found


@pytest.mark.parametrize("arguments", NASTY, ids=lambda arguments: next(iter(arguments)))
@pytest.mark.parametrize("form", ["${args}", "${args_no_hyphens}"])
def test_agent_form_of_any_value_is_understood(
    form: str, arguments: dict[str, Any], agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = command_line(agent, arguments, ["${program}", "logger=csv", form], monkeypatch)
    assert line[:2] == ["train.py", "logger=csv"] and line[2].startswith("--") == (form == "${args}")
    config = to_dict(load_config(line[1:]))
    for name, value in arguments.items():
        found: Any = config
        for part in name.split("."):
            found = found[part]
        assert among(found, value) == value and type(found) in (type(value), float)


@pytest.mark.slow
def test_agent_runs_train_py_and_stops_it_early(
    agent: Any, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HIR_CACHE", "WANDB_MODE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(ROOT)
    tree = yaml.safe_load(QUICKSTART.read_text())
    drawn = {p.name: p.draw(random.Random(1)) for p in read_parameters(tree["parameters"])}
    small = dict(argument.split("=") for argument in SMALL)
    run = tmp_path / "run"
    order(agent, {**drawn, **small, "trainer.max_epochs": 500, "run_dir": str(run)}, tree["command"])
    process, metrics, start = agent._run_processes["r1"], run / "metrics.csv", time.monotonic()
    try:
        while not metrics.exists() or metrics.read_text().count("\n") < 4:
            assert process.poll() is None and time.monotonic() < start + 200
            time.sleep(0.1)
        agent._command_stop({"run_id": "r1"})  # what early_terminate comes to
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    saved = load_config([f"config={run / 'config.yaml'}"])
    assert saved.logger == "wandb" and saved.training.lr == drawn["training.lr"]
    assert list((run / "wandb").glob("offline-run-*-r1")) and (run / "checkpoints/last.ckpt").exists()
    assert not (run / "summary.json").exists()


# Draws


class Fixed(random.Random):
    """Draws one number again and again."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def random(self) -> float:
        return self.share


@pytest.mark.parametrize(
    ("options", "share", "value"),
    [
        ({"value": [1, 2]}, 0.5, [1, 2]),
        ({"values": ["a", "b", None]}, 0.7, None),
        ({"values": ["a", "b"], "probabilities": [0.8, 0.2]}, 0.79, "a"),
        ({"values": ["a", "b"], "probabilities": [0.8, 0.2]}, 0.81, "b"),
        ({"min": 1, "max": 4}, 0.0, 1),
        ({"min": 1, "max": 4}, 0.99, 4),
        ({"min": 1.0, "max": 4}, 0.25, 1.75),
        ({"distribution": "q_uniform", "min": 1, "max": 4}, 0.7, 3),  # 3.1
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.1}, 0.29, 0.3),
        ({"distribution": "log_uniform", "min": 0, "max": 2}, 0.5, math.e),
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}, 0.5, 1e-3),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 2}, 0.5, 1 / math.e),
        ({"distribution": "inv_log_uniform_values", "min": 0.01, "max": 1}, 0.5, 0.1),
        ({"distribution": "q_log_uniform", "min": 0, "max": 2}, 0.5, 3),  # e
        ({"distribution": "q_log_uniform_values", "min": 1, "max": 100, "q": 4}, 0.51, 12),  # 10.5
        ({"distribution": "normal", "mu": 2, "sigma": 3}, 0.8413447461, 5.0),  # a standard deviation up
        ({"distribution": "normal"}, 0.5, 0.0),
        ({"distribution": "q_normal", "mu": 2.5, "sigma": 3, "q": 2}, 0.8413447461, 6),  # 5.5
        ({"distribution": "log_normal", "mu": 1}, 0.5, math.e),
        ({"distribution": "q_log_normal", "mu": 1, "q": 0.5}, 0.5, 2.5),
    ],
)
def test_a_value_is_the_distributions_quantile(options: dict[str, Any], share: float, value: Any) -> None:
    (parameter,) = read_parameters({"x": options})
    drawn = parameter.draw(Fixed(share))
    assert drawn == (pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value)
    assert type(drawn) is type(value)


def test_beta_has_the_mean_of_beta() -> None:
    (beta, quantized) = read_parameters(
        {"x": {"distribution": "beta", "a": 2, "b": 6}, "y": {"distribution": "q_beta", "q": 0.25}}
    )
    rng = random.Random(1)
    mean = sum(beta.draw(rng) for _ in range(4000)) / 4000
    assert mean == pytest.approx(2 / 8, abs=0.01)  # standard deviation 0.144 / sqrt(4000) = 0.0023
    assert {quantized.draw(rng) for _ in range(200)} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert len(DISTRIBUTIONS) == 18


def space(text: str) -> list[Parameter]:
    return list(read_parameters(yaml.safe_load(text)))


def test_settings_are_a_function_of_seed_and_number() -> None:
    parameters = space("{a: {min: 0.0, max: 1.0}, b: {values: [1, 2, 3]}, c: {min: 0.0, max: 1.0}}")
    drawn = random_search(parameters, 5, seed=1)
    assert random_search(parameters, 3, seed=1) == drawn[:3]
    assert random_search(parameters, 5, seed=2)[0] != drawn[0]
    assert len({run["a"] for run in drawn}) == 5 and all(run["a"] != run["c"] for run in drawn)
    fewer = random_search(parameters[1:], 5, seed=1)
    assert [run["c"] for run in fewer] == [run["c"] for run in drawn]


def test_no_settings_are_drawn_twice() -> None:
    parameters = space("{a: {values: [1, 2]}, b: {values: [x, z]}}")
    drawn = random_search(parameters, 4, seed=1)
    assert sorted((run["a"], run["b"]) for run in drawn) == [(1, "x"), (1, "z"), (2, "x"), (2, "z")]
    with pytest.raises(UserError, match="count=5 is more than there are different settings: 4 were found"):
        random_search(parameters, 5, seed=1)


# Files and arguments

GRID = """\
method: grid
metric: {name: train/loss}
parameters:
  trainer: {parameters: {max_epochs: {min: 2, max: 3}, gradient_clip_val: {value: null}}}
  method.alpha: {distribution: q_uniform, min: 0, max: 1, q: 0.5}
  evaluation.tasks: {value: [mine]}
"""


def test_grid_is_every_combination_and_nested_keys_are_dotted(tmp_path: Path) -> None:
    sweep = parse_arguments([write(tmp_path, GRID)])
    assert [run.settings for run in sweep.runs] == [
        {"trainer.max_epochs": epochs, "method.alpha": alpha} for epochs in (2, 3) for alpha in (0, 0.5)
    ]
    assert sweep.runs[3].cell.config.trainer["gradient_clip_val"] is None
    assert sweep.runs[3].cell.folder == Path("outputs/sweep-mine/run004")
    assert (sweep.metric.name, sweep.metric.maximize) == ("train/loss", False)  # W&B's default
    assert len(parse_arguments([write(tmp_path, GRID), "count=3"]).runs) == 3


def test_integral_steps_of_a_grid_are_integers() -> None:
    whole, half, shifted = space(
        "{a: {distribution: q_uniform, min: 2, max: 10, q: 4.0},"
        " b: {distribution: q_uniform, min: 0, max: 1, q: 0.5},"
        " c: {distribution: q_uniform, min: 0.5, max: 2, q: 1}}"
    )
    assert [(value, type(value)) for value in whole.grid()] == [(2, int), (6, int)]
    assert [(value, type(value)) for value in half.grid()] == [(0.0, float), (0.5, float)]
    assert shifted.grid() == [0.5, 1.5]


def test_arguments_beat_the_file_and_its_command(tmp_path: Path) -> None:
    before, after = "trainer.max_epochs=9, training.lr=0.5", "--seed=6, trainer.gradient_clip_val=0.7"
    text = f"{GRID}command: ['${{program}}', {before}, '${{args}}', {after}, method.alpha=9]\n"
    one, two = parse_arguments([write(tmp_path, text), "method.alpha=0.3", "out=o", "jobs=2"]).runs
    assert (one.settings, two.settings) == ({"trainer.max_epochs": 2}, {"trainer.max_epochs": 3})
    config = two.cell.config
    assert (config.method.alpha, config.seed, config.training.lr) == (0.3, 6, 0.5)
    assert (config.trainer["max_epochs"], config.trainer["gradient_clip_val"]) == (3, 0.7)
    assert two.cell.folder == Path("o/run002")


def test_variables_of_the_environment_in_a_command_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{GRID}command: ['${{program}}', 'task.data_dir=${{envvar:HIR_TEST}}/x', '${{args}}']\n"
    monkeypatch.setenv("HIR_TEST", "/data")
    sweep = parse_arguments([write(tmp_path, text)])
    assert sweep.runs[0].cell.config.task.data_dir == "/data/x"
    assert sweep.identity["command"][1] == "task.data_dir=/data/x"  # other data is another sweep
    monkeypatch.delenv("HIR_TEST")
    with pytest.raises(UserError, match="HIR_TEST} stands for a variable of the environment that is not set"):
        parse_arguments([write(tmp_path, text)])


def test_texts_of_a_list_come_as_they_stand_in_the_file(tmp_path: Path) -> None:
    text = "method: grid\nparameters: {instructions.others: {values: [['a: b', 'yes', '\U0001f600, c']]}}\n"
    (run,) = parse_arguments([write(tmp_path, text)]).runs
    assert run.cell.config.instructions.others == ["a: b", "yes", "\U0001f600, c"]


def test_bounds_are_read_as_wandb_does_but_for_integers_of_a_key_that_takes_fractions(tmp_path: Path) -> None:
    text = (
        "method: random\nparameters:\n  training.lr: {distribution: log_uniform, min: 0.00001, max: 0.01}\n"
        "  method.alpha: {min: 0, max: 1}\n  training.batch_size: {min: 16, max: 18}\n"
        "  method.beta: {distribution: int_uniform, min: 0, max: 1}\n"
    )
    sweep = parse_arguments([write(tmp_path, text), "count=5"])
    (note,) = sweep.notes
    assert note == (
        "training.lr: log_uniform takes logarithms as bounds, as by W&B, and draws 1 to 1.01: "
        "log_uniform_values takes the values themselves"
    )
    settings = [run.settings for run in sweep.runs]
    assert all(1 < drawn["training.lr"] < 1.02 for drawn in settings)
    assert all(0 < drawn["method.alpha"] < 1 for drawn in settings)
    assert {drawn["training.batch_size"] for drawn in settings} <= {16, 17, 18}
    assert {drawn["method.beta"] for drawn in settings} <= {0, 1}


def test_what_needs_a_server_is_noted(tmp_path: Path) -> None:
    text = """\
method: bayes
metric: {name: val/accuracy, goal: maximize, target: 0.9}
early_terminate: {type: hyperband, min_iter: 3}
run_cap: 2
parameters: {logger: {value: wandb}, method.alpha: {min: 0.0, max: 1.0}}
"""
    sweep = parse_arguments([write(tmp_path, text)])
    assert sweep.method == "random" and len(sweep.runs) == 2
    words = " / ".join(sweep.notes)
    for part in ("run as a random search", "every run goes to its end", "logger: wandb", "metric.target"):
        assert part in words
    assert [run.cell.config.logger for run in sweep.runs] == ["csv", "csv"]
    asked = parse_arguments([write(tmp_path, text), "logger=wandb"])
    assert asked.runs[0].cell.config.logger == "wandb" and "logger" not in " ".join(asked.notes)


SPACE = "method: random\nparameters: {method.alpha: {min: 0.0, max: 1.0}}\n"


def with_parameter(text: str) -> str:
    return f"method: random\nparameters: {{{text}}}\n"


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (SPACE, [], "count=N is missing"),
        (SPACE, ["count=0"], "count must be an integer of at least 1, not '0'"),
        (SPACE, ["count=2", "jobs=x"], "jobs must be an integer of at least 1"),
        (SPACE, ["count=2", "method.alhpa=1"], "did you mean method.alpha?"),
        (SPACE, ["count=2", "cuont=1"], "did you mean count?"),
        (SPACE, ["count=2", "run_dir=x"], "run_dir is set by the sweep: use out="),
        (SPACE, ["count=2", "other.yaml"], "give one sweep file"),
        (SPACE, ["count=2", "training.lr=-1"], "run 1: training.lr must be above 0"),
        (f"{SPACE}run_cap: 3\n", ["count=4"], "count=4 is above the file's run_cap of 3"),
        (f"{SPACE}metric: {{name: val/acuracy}}\n", ["count=1"], "did you mean val/accuracy?"),
        (f"{SPACE}metric: {{name: test/accuracy}}\n", ["count=1"], "test rows are no part of a choice"),
        (f"{SPACE}metric: {{name: val/gap, goal: up}}\n", ["count=1"], "metric.goal must be maximize or"),
        (f"{SPACE}metric: {{name: foo/accuracy}}\n", ["count=1"], "evaluation.tasks holds no foo"),
        (
            f"{SPACE}metric: {{name: object_counting/accuracy}}\n",
            ["count=1", "evaluation.tasks=[object_counting]"],
            "test rows of the run's task are no part of a choice",
        ),
        (
            "method: grid\nmetric: {name: word_sorting/accuracy}\n"
            "parameters: {task: {values: [object_counting, word_sorting]}}\n",
            ["evaluation.tasks=[word_sorting]"],
            "test rows of the run's task are no part of a choice",
        ),
        (f"{SPACE}program: main.py\n", ["count=1"], "program must be train.py, not 'main.py'"),
        (f"{SPACE}methd: grid\n", ["count=1"], "unknown key methd: did you mean method?"),
        (f"{SPACE}command: ['${{program}}', '${{args_json}}']\n", ["count=1"], "not '${args_json}'"),
        (f"{SPACE}command: [torchrun, '${{program}}', '${{args}}']\n", ["count=1"], "'torchrun' before"),
        (f"{SPACE}command: ['${{program}}', '${{args_no_boolean_flags}}']\n", ["count=1"], "${envvar:NAME}"),
        (f"{SPACE}command: ['${{program}}', '${{args}}', run_dir=x]\n", ["count=1"], "run_dir is set by the"),
        (f"{SPACE}command: ['${{program}}', --lrr=1, '${{args}}']\n", ["count=1"], "unknown key lrr"),
        (f"{SPACE}command: ['${{program}}', seed=1]\n", ["count=1"], "no run would get its settings"),
        ("method: random\n", ["count=1"], "parameters is missing or empty"),
        ("method: custom\nparameters: {seed: {value: 1}}\n", [], "method must be grid, random or bayes"),
        ("method: grid\nparameters: {seed: {values: [1, 2]}}\n", ["seed=2"], "a grid draws nothing"),
        ("method: grid\nparameters: {method.beta: {min: 0.0, max: 1.0}}\n", [], "method.beta: a grid takes"),
        (with_parameter("method.alhpa: {value: 1}"), ["count=1"], "did you mean method.alpha?"),
        (with_parameter("seed: {distribution: unifrom, min: 0, max: 1}"), ["count=1"], "mean uniform?"),
        (with_parameter("seed: {distribution: uniform, min: 0}"), ["count=1"], "max is missing"),
        (with_parameter("seed: {distribution: normal, min: 0}"), ["count=1"], "normal knows no 'min'"),
        (with_parameter("seed: {min: 0}"), ["count=1"], "min tell no distribution"),
        (with_parameter("seed: {min: 3, max: 1}"), ["count=1"], "min 3 must be below max 1"),
        (with_parameter("training.lr: {min: 1e-4, max: 1.0}"), ["count=1"], "YAML wants 1.0e-4 for 1e-4"),
        (with_parameter("seed: 3"), ["count=1"], "seed must be a mapping"),
        (with_parameter("seed: {1: 2}"), ["count=1"], "seed must be a mapping"),
        (with_parameter("seed: {distribution: [uniform], min: 0, max: 1}"), ["count=1"], "['uniform']"),
        (with_parameter(f"seed: {{min: 0, max: {10**400}}}"), ["count=1"], "max is too large a number"),
        (with_parameter(f"seed: {{value: 1{'0' * 5000}}}"), ["count=1"], "cannot be read"),
        (with_parameter("task.settings: {value: {a: 2024-01-01}}"), ["count=1"], "date is not JSON"),
        (with_parameter("task.data_dir: {values: [a, 2024-01-01]}"), ["count=1"], "a date wants quotes"),
        (with_parameter("task.data_dir: {value: 2024-13-01}"), ["count=1"], "month must be in 1..12"),
        (
            with_parameter("method.alpha: {value: 1}, method: {parameters: {alpha: {value: 0}}}"),
            ["count=1"],
            "method.alpha is given twice",
        ),
        (with_parameter("seed: {distribution: log_uniform, min: 800, max: 900}"), ["count=1"], "too large"),
        (with_parameter("seed: {values: []}"), ["count=1"], "a list with something in it"),
        (with_parameter("seed: {values: [1, 2], probabilities: [0.5, 0.6]}"), ["count=1"], "must sum to 1"),
        (with_parameter("seed: {distribution: log_uniform_values, min: 0, max: 1}"), ["count=1"], "above 0"),
    ],
)  # fmt: skip
def test_mistakes_exit_2_with_one_line_and_leave_nothing(
    text: str,
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([write(tmp_path, text), *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1 and words in message
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_file_that_is_none_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere.yaml", "count=1"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere.yaml cannot be read: ")


def test_a_run_on_four_gpus_gets_four(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [run.cell for run in parse_arguments([str(FOUR_GPUS), "count=2"]).runs]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(None, cells)] == ["0,2,4,6", "1,3,5,7"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(UserError, match="jobs=1 x trainer.devices=4 is more than the 2 GPUs there are"):
        slots(None, cells)


def test_what_this_machine_cannot_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    shared = [str(FOUR_GPUS), "count=2", f"out={tmp_path / 'out'}"]
    for argument, words in (("trainer.num_nodes=2", "trainer.num_nodes=2"), ("jobs=3", "jobs=3 x")):
        assert main([*shared, argument]) == 2
        message = capsys.readouterr().err
        assert message.startswith(f"error: {words}") and message.count("\n") == 1
        assert not any(tmp_path.iterdir())


# Results of made-up runs


def make_up(run: Run, test: float, losses: list[float]) -> None:
    """The folder of a finished run with these losses after the base's row, which alone has mine/accuracy."""
    folder = run.cell.folder
    folder.mkdir(parents=True)
    save_config(run.cell.config, folder / "config.yaml")
    rows = ["iteration,train/loss,mine/accuracy", "0,,0.5", *(f"{i},{x}," for i, x in enumerate(losses, 1))]
    (folder / "metrics.csv").write_text("\n".join([*rows, ""]))
    seconds = {"sampling": 2.0, "training": 4.0}
    summary = {"base": {"accuracy": 0.5}, "test": {"accuracy": test}, "seconds": seconds}
    summary["iterations"] = run.cell.config.trainer["max_epochs"]
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def made_up(tmp_path: Path) -> tuple[list[str], Sweep]:
    arguments = [write(tmp_path, GRID), f"out={tmp_path / 'out'}"]
    sweep = parse_arguments(arguments)
    for run, losses in zip(sweep.runs, ([0.1, 0.4], [0.9, 0.2], [0.3, math.nan], [0.3, 0.3]), strict=True):
        make_up(run, 0.5 + run.number / 10, losses)
    return arguments, sweep


def test_runs_are_in_the_order_of_their_last_value(
    made_up: tuple[list[str], Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sweep = made_up
    assert main(arguments) == 0
    printed = capsys.readouterr()
    note = "note: metric has no goal: train/loss is minimised, as by W&B\n"
    assert printed.out.startswith(f"{note}nothing left to do\n") and printed.err == ""
    assert "in the order of the last train/loss, to minimize\n" in printed.out
    table = [line for line in (sweep.out / "results.md").read_text().splitlines() if line.startswith("| ")]
    assert table == [
        "|  | run | trainer.max_epochs | method.alpha | train/loss | base | test | seconds |",
        "| ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |",
        "| 1 | 2 | 2 | 0.5 | 0.200 | 0.500 | 0.700 | 6 |",
        "| 2 | 4 | 3 | 0.5 | 0.300 | 0.500 | 0.900 | 6 |",
        "| 3 | 1 | 2 | 0 | 0.400 | 0.500 | 0.600 | 6 |",
        "| 4 | 3 | 3 | 0 | nan | 0.500 | 0.800 | 6 |",
    ]
    results = json.loads((sweep.out / "results.json").read_text())
    assert results["metric"] == {"name": "train/loss", "goal": "minimize", "value": "last"}
    assert results["best"] == 2 and [run["run"] for run in results["runs"]] == [2, 4, 1, 3]
    assert results["runs"][3]["value"] is None
    best = load_config([f"config={sweep.out / 'best.yaml'}"])
    assert best == sweep.runs[1].cell.config and best.run_dir is None
    assert (sweep.out / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_another_metric_orders_the_same_runs_anew(
    made_up: tuple[list[str], Sweep], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sweep = made_up
    assert main(arguments) == 0
    write(tmp_path, GRID.replace("train/loss}", "train/loss, goal: maximize}"))
    assert main(arguments) == 0
    assert json.loads((sweep.out / "results.json").read_text())["best"] == 1
    write(tmp_path, GRID.replace("train/loss}", "mine/accuracy}"))
    capsys.readouterr()
    assert main(arguments) == 1
    assert "no run has a value of mine/accuracy" in capsys.readouterr().err
    assert not (sweep.out / "best.yaml").exists() and not (sweep.out / "sweep.png").exists()


def test_a_changed_sweep_is_refused_and_keeps_its_runs(
    made_up: tuple[list[str], Sweep], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sweep = made_up
    assert main(arguments) == 0
    before = (sweep.out / "sweep.json").read_bytes()
    longer = GRID.replace("max: 3", "max: 4")
    for text, more, what in ((longer, [], "parameters"), (GRID, ["training.lr=1"], "overrides")):
        write(tmp_path, text)
        capsys.readouterr()
        assert main([*arguments, *more]) == 2
        message = f"error: {sweep.out} holds a sweep with other {what}: choose another out, or delete it\n"
        assert capsys.readouterr().err == message
    assert (sweep.out / "sweep.json").read_bytes() == before
    assert (sweep.runs[0].cell.folder / "summary.json").exists()


@pytest.mark.parametrize("text", ["null", "[]", "{", '{"base": {}}', '{"test": {"accuracy": null}}'])
def test_broken_files_of_a_finished_run_are_named(
    text: str, made_up: tuple[list[str], Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sweep = made_up
    folder = sweep.runs[1].cell.folder
    (folder / "summary.json").write_text(text)
    assert main(arguments) == 2
    assert (
        capsys.readouterr().err == f"error: {folder} holds a broken summary.json or metrics.csv: delete it\n"
    )


@pytest.mark.parametrize("text", ["[]", "null", "{"])
def test_a_damaged_claim_is_named(
    text: str, made_up: tuple[list[str], Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sweep = made_up
    (sweep.out / "sweep.json").write_text(text)
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {sweep.out / 'sweep.json'} is damaged: choose another out\n"


def test_two_processes_do_not_run_the_same_folder(
    made_up: tuple[list[str], Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sweep = made_up
    with (sweep.out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: another process is running the runs in {sweep.out}\n"
    assert not (sweep.out / "sweep.json").exists() and main(arguments) == 0


# The chart


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({"min": 1, "max": 4}, 1, 4),
        ({"min": 1.0, "max": 4}, 1, 4),
        ({"distribution": "q_uniform", "min": 1, "max": 5}, 1, 5),
        ({"distribution": "log_uniform", "min": 0, "max": 2}, 1, math.e**2),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 2}, math.e**-2, 1),
        ({"distribution": "q_log_uniform", "min": 0, "max": 4}, 1, math.e**4),
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}, 1e-4, 1e-2),
        ({"distribution": "inv_log_uniform_values", "min": 0.01, "max": 1}, 0.01, 1),
        ({"distribution": "q_log_uniform_values", "min": 1, "max": 100}, 1, 100),
        # without bounds: the range of the values, of which the shares 0.2 and 0.8 are the outer ones
        ({"distribution": "normal", "mu": 2, "sigma": 3}, 2 - 3 * 0.841621, 2 + 3 * 0.841621),
        ({"distribution": "q_normal", "sigma": 10}, -8, 8),
        ({"distribution": "log_normal"}, math.exp(-0.841621), math.exp(0.841621)),
        ({"distribution": "q_log_normal", "sigma": 2}, round(math.exp(-1.683)) , 5),
    ],
    ids=lambda value: value.get("distribution") if isinstance(value, dict) else None,
)  # fmt: skip
def test_an_axis_goes_over_the_range_of_its_distribution(
    options: dict[str, Any], low: float, high: float
) -> None:
    (parameter,) = read_parameters({"x": options})
    values = [parameter.draw(Fixed(share)) for share in (0.5, 0.2, 0.8)]
    axis = axis_of(parameter, values)
    assert isinstance(axis, Scale)
    assert (axis.low, axis.high) == (pytest.approx(low, rel=1e-5), pytest.approx(high, rel=1e-5))
    assert (axis.place(axis.low), axis.place(axis.high)) == (0, 1)
    places = [axis.place(value) for value in values]
    assert 0 <= places[1] < places[0] < places[2] <= 1
    if parameter.log and low > 0 and not parameter.distribution.startswith("q_"):
        assert places[0] == pytest.approx(0.5) and axis.place(math.sqrt(low * high)) == pytest.approx(0.5)


def test_axes_of_lists_and_of_values_out_of_the_range() -> None:
    listed, weighted, beta, rounded = read_parameters(
        {
            "a": {"values": ["x", None, 3]},
            "b": {"values": [1, 2], "probabilities": [0.5, 0.5]},
            "c": {"distribution": "beta"},
            "d": {"distribution": "q_log_uniform", "min": -2, "max": 2},
        }
    )
    assert [axis_of(listed, []).place(value) for value in ("x", None, 3)] == [0, 0.5, 1]
    assert [axis_of(weighted, []).place(value) for value in (1, 2)] == [0, 1]
    assert [axis_of(beta, [0.2, 0.7]).place(value) for value in (0.2, 0.7)] == [0, 1]
    assert [axis_of(rounded, [0, 7, 1]).place(value) for value in (0, 7)] == [0, 1]  # 0 has no logarithm


def test_names_with_dollars_are_no_formulas(tmp_path: Path) -> None:
    text = """\
method: grid
metric: {name: $x^$/accuracy}
parameters:
  evaluation.tasks: {value: [$x^$]}
  instructions.wrong: {values: [cost $a^$ now, half $]}
"""
    path = Path(write(tmp_path, text)).rename(tmp_path / "$a^$.yaml")
    sweep = parse_arguments([str(path)])
    assert chart(sweep, [(run, run.number) for run in sweep.runs]).startswith(b"\x89PNG")


# Real runs


@pytest.mark.slow
def test_a_broken_run_is_reported_and_alone_tried_again(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("HIR_CACHE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, environment[name])
    out = tmp_path / "out"
    arguments = [str(QUICKSTART), "count=2", f"out={out}", "jobs=1", *SMALL, "trainer.max_epochs=1"]
    blocked, good = (run.cell for run in parse_arguments(arguments).runs)
    blocked.folder.mkdir(parents=True)
    (blocked.folder / "notes.txt").write_text("no run")  # which train.py will not write beside
    assert main(arguments) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("note: logger: wandb of the file is left out")
    assert lines[1].startswith("[1/2] run 1 failed: error: run_dir=")
    assert lines[2].startswith("[2/2] run 2: val/accuracy 0.") and "method.alpha=" in lines[2]
    assert printed.err == "error: 1 of 2 runs failed; the same command tries them again\n"
    assert "**Failed**: run 1: `error: run_dir=" in (out / "results.md").read_text()
    assert load_config([f"config={out / 'best.yaml'}"]) == good.config

    def run_none(cells: list[Cell], jobs: int, started: Any, ended: Any) -> None:
        assert cells == [blocked] and jobs == 1

    monkeypatch.setattr("hir.tools.runs.run_cells", run_none)
    assert main(arguments) == 0
    results = json.loads((out / "results.json").read_text())
    assert [run["run"] for run in results["runs"]] == [2] and results["failed"] == []
