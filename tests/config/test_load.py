"""hir/config, by loading real files and arguments."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from hir.config.keys import KEYS
from hir.config.load import CONF, GROUPS, group_files, load_config, save_config
from hir.config.schema import Config, ConfigError
from hir.errors import UserError
from hir.training.devices import rows_per_device
from hir.training.settings import check_on_policy


def message(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(list(argv))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def value_of(config: Config, key: str) -> Any:
    value: Any = asdict(config)
    for part in key.split("."):
        value = value[part]
    return value


# Files of conf/


def test_every_file_of_conf_gives_a_valid_config() -> None:
    for group in (*GROUPS, "experiment"):
        for name in group_files(group):
            path = ["model.path=some/model"] if name == "hub" else []  # which has none of its own
            config = load_config([f"{group}={name}", *path])
            check_on_policy(config)
            assert group == "experiment" or value_of(config, f"{group}.name") == name


def test_paper_experiment_sets_the_papers_hyperparameters() -> None:
    config = load_config(["experiment=paper"])
    assert config.model.path == "google/flan-t5-large"
    assert [config.method[key] for key in ("alpha", "beta", "epsilon", "wrong_weight")] == [1, 0.001, 0.2, 1]
    assert (config.sampling.num_samples, config.sampling.temperature, config.sampling.top_k) == (4, 1.0, 50)
    assert (config.training.batch_size, config.training.passes, config.training.lr) == (64, 10, 5e-4)
    assert (config.training.num_updates, config.sampling.max_queries) == (None, None)
    assert (config.buffer.window, config.buffer.max_wrong_fraction) == (0, None)
    assert (config.task.split, config.task.test_fraction) == ("random", 0.2)
    assert (config.trainer["max_epochs"], config.trainer["precision"]) == (31, "bf16-mixed")
    assert config.trainer["gradient_clip_val"] is None  # the tiny model's is 1


def test_every_variant_of_a_comparison_has_a_configuration() -> None:
    for path in (CONF / "compare").glob("*.yaml"):
        variants = yaml.safe_load(path.read_text())
        arguments = [[f"{key}={value}" for key, value in (keys or {}).items()] for keys in variants.values()]
        assert len({str(load_config(argv)) for argv in arguments}) == len(variants)


def test_accumulation_follows_from_the_models_rows_and_the_devices() -> None:
    """The rows of docs/hardware.md, which halves xxl's on 8 devices: min(rows_per_device, 64 / devices)."""
    for size, expected in {
        "small": [32, 16, 8, 4], "base": [16, 16, 8, 4], "large": [8, 8, 8, 4],
        "xl": [4, 4, 4, 4], "xxl": [4, 4, 4, 4],
    }.items():  # fmt: skip
        config = load_config(["experiment=paper", f"model=flan_t5_{size}"])
        assert [rows_per_device(config, devices) for devices in (1, 4, 8, 16)] == expected
        assert config.model.shard == (size in ("xl", "xxl"))
    # Of 60 rows, 12 to a device, 5 at most: 4 is the most that goes into 12.
    odd = load_config(["training.batch_size=60", "training.rows_per_device=5"])
    assert rows_per_device(odd, 5) == 4
    with pytest.raises(UserError, match="batch_size=60 must be a multiple of the 8 devices"):
        rows_per_device(odd, 8)


def test_the_sbatch_file_starts_as_many_processes_as_its_configuration_asks_for() -> None:
    text = (CONF / "slurm/two_nodes.sbatch").read_text()
    numbers = [int(found) for found in re.findall(r"--(?:nodes|ntasks-per-node)=(\d+)", text)]
    arguments = re.findall(r"arguments=\((experiment=.*) run_dir=", text)[0].split()
    trainer = load_config(arguments).trainer
    assert [trainer["num_nodes"], trainer["devices"]] == numbers == [2, 8]


# What beats what


@pytest.fixture
def layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that all set training.lr, each to another value, and a key of their own."""
    conf = shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.setattr("hir.config.load.CONF", conf)
    for name, text in {
        "config": "files: {task: a, model: a, method: a}\ntraining: {lr: 1, passes: 1}",
        "task/a": "training: {lr: 2, batch_size: 2}",
        "model/a": "model: {path: x}\ntraining: {lr: 3}\nbuffer: {window: 3}",
        "method/a": "training: {lr: 4, final_lr: 0.5}\nbuffer: {window: 4}",
        "model/b": "model: {path: y}\ntraining: {lr: 5}\nbuffer: {window: 5}",
        "method/b": "training: {lr: 6}\nbuffer: {window: 6}",
        "experiment/a": "files: {model: b}\ntraining: {lr: 7, passes: 7}",
        "experiment/b": "files: {model: b, method: b}",
    }.items():
        (conf / f"{name}.yaml").write_text(text + "\n")


LAST = {
    # config.yaml reads task, model and method, in this order, then its own lines.
    "": (1, 1, 4, 0.5),
    # A file on the command line is read after all of config.yaml; model a is read no more.
    "model=b": (5, 1, 5, 0.5),
    "model=b training.lr=9": (9, 1, 5, 0.5),
    # The experiment comes between: its file, then its lines.
    "experiment=a": (7, 7, 5, 0.5),
    "experiment=a method=b": (6, 7, 6, None),
    # Named again on the command line, model b is read there alone, after the experiment's lines.
    "experiment=a model=b": (5, 7, 5, 0.5),
    # Of one place method comes after model, whatever the order of arguments.
    "method=b model=b": (6, 1, 6, None),
    "experiment=b": (6, 1, 6, None),
    "experiment=b model=b": (5, 1, 5, None),
}
"""training.lr, training.passes, buffer.window and training.final_lr of arguments."""


@pytest.mark.parametrize("arguments", LAST)
def test_the_last_word_wins(layers: None, arguments: str) -> None:
    for order in (arguments.split(), arguments.split()[::-1]):
        config = load_config(order)
        training = config.training
        assert (training.lr, training.passes, config.buffer.window, training.final_lr) == LAST[arguments]
        assert training.batch_size == 2  # of the task's file alone


def test_a_config_file_stands_in_for_conf_config(layers: None, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("files: {model: b}\nmodel: {path: z}\nsampling.top_k: 3\n")
    mine = f"config={tmp_path / 'mine.yaml'}"
    config = load_config([mine])
    # Neither config.yaml's lines nor its other files: the dataclasses' defaults.
    assert (config.training.lr, config.training.passes, config.sampling.top_k) == (5, 10, 3)
    assert (config.model.name, config.model.path, config.method["name"]) == ("b", "z", "hir")
    assert load_config([mine, "experiment=a"]).training.lr == 7
    assert load_config([mine, "model=a"]).model.path == "x"  # read after the file's lines


@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_an_on_policy_method_keeps_what_it_needs(method: str) -> None:
    config, paper = load_config(["experiment=paper", f"method={method}"]), load_config(["experiment=paper"])
    for chosen in (config, load_config([f"method={method}"]), load_config([f"experiment=tiny_{method}"])):
        check_on_policy(chosen)
        assert (chosen.buffer.window, chosen.buffer.deduplicate, chosen.sampling.top_k) == (1, False, 0)
    assert config.training == paper.training and config.model.dropout == 0.0
    with pytest.raises(UserError, match=f"method={method} learns .* set buffer.window=1, not 4"):
        check_on_policy(load_config([f"method={method}", "buffer.window=4"]))


def test_a_model_of_ones_own_takes_no_setting_of_the_tiny_model() -> None:
    config = load_config(["model=hub", "model.path=some/model"])
    # The tiny model's file is not read: of a group only the last named one is.
    assert (config.training, config.buffer) == (Config().training, Config().buffer)
    assert config.trainer["precision"] == "bf16-mixed"


def test_mappings_merge_and_lists_and_repeated_arguments_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: {settings: {a: 1, b: 2}}\nevaluation: {tasks: [x, y]}\n")
    mine = f"config={tmp_path / 'mine.yaml'}"
    config = load_config([mine, "task.settings.b=3", "evaluation.tasks=z", "trainer={devices: 2}"])
    assert config.task.settings == {"a": 1, "b": 3} and config.evaluation.tasks == ["z"]
    assert config.trainer == {"max_epochs": 31, "devices": 2}
    assert load_config([mine, "task.settings={}"]).task.settings == {}
    assert load_config(["seed=2", "task=a", "seed=3"]).seed == 3  # the last of a repeated argument


# Values


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--training.lr=1e-4", 1e-4),
        ("training.final_lr=None", None),
        ("task.data_dir=", None),
        ("task.num_train=1e2", 100),
        ("buffer.deduplicate=False", False),
        ("task.name=123", "123"),
        ("instructions.correct=a: b, 'c' = \"d\" #e", "a: b, 'c' = \"d\" #e"),
        ("instructions.correct=", ""),
        ("evaluation.tasks=a, b", ["a", "b"]),
        ("--evaluation.tasks=['None', \"it's\", 'a, b', 'c: d', 1e3, yes]",
         ["None", "it's", "a, b", "c: d", "1e3", "yes"]),  # as W&B's agent prints it
        ('task.teams_rl={"a": true, "b": [null]}', {"a": True, "b": [None]}),
        ("trainer.devices=[0,1]", [0, 1]),
        ("trainer.max_time=12:00:00:00", "12:00:00:00"),
        ("trainer.max_epochs=3.0", 3),
        ("trainer.limit_val_batches=1.0", 1.0),  # all of them; 1 would be one
    ],
)  # fmt: skip
def test_values_are_read_by_the_type_of_their_key(argument: str, expected: Any) -> None:
    value = value_of(load_config([argument]), argument.removeprefix("--").partition("=")[0])
    assert value == expected and type(value) is type(expected)


# Mistakes


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--verbose", "'--verbose' is not key=value: write for example training.lr=1e-4"),
        ("training.batchsize=3", "unknown key training.batchsize: did you mean training.batch_size?"),
        ("taks=x", "unknown key taks: did you mean task?"),
        ("hardware=4gpus", "unknown key hardware (--help lists the keys)"),
        ("model.lora=8", "unknown key model.lora: did you mean model.lora.r or model.lora.alpha?"),
        ("model=flan_t5_lrge", "unknown model 'flan_t5_lrge': did you mean flan_t5_large?"),
        ("config=/no.yaml", "/no.yaml cannot be read: no regular file is there"),
        ("training.batch_size=abc", "training.batch_size must be an integer in [1, inf), not 'abc'"),
        ("task.source=w", "task.source must be generated or bbh or bigbench or teams_rl or null, not 'w'"),
        ("trainer=3", "trainer must be a mapping, not 3"),
        ("trainer.max_steps=3", "trainer.max_steps is set by the project: use training.num_updates"),
        ("trainer.callbacks=a", "trainer.callbacks is set by the project: use hir/trainer.py"),
        ("trainer.max_epochs=0",
         "trainer.max_epochs must be an integer of at least 1, the number of HIR iterations, not 0"),
        ("trainer.precision=16-mixed", "trainer.precision must be bf16-mixed or 32-true, since fp16 "
         "overflows in T5 and bf16-true rounds AdamW's updates away, not '16-mixed'"),
        ("trainer.detect_anomaly=maybe", "trainer.detect_anomaly must be true or false, not 'maybe'"),
        ("trainer.log_every_n_steps=.5",
         "trainer.log_every_n_steps must be an integer of at least 1, not 0.5"),
        ("model=tiny_causal model.base.d_model=12",
         "model.base.d_model must be a multiple of 8 for a Llama, "
         "whose 4 heads turn pairs of numbers, not 12"),
        ("model=hub",
         "model.path must be null with model=tiny, and with model=hub a folder or a hub name, not None"),
        ("model.path=some/model", "model.path must be null with model=tiny, and with model=hub a "
         "folder or a hub name, not 'some/model'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(argument: str, expected: str) -> None:
    assert message(*argument.split()) == expected


def test_numbers_beyond_their_limits_are_refused_and_those_at_the_edge_are_taken() -> None:
    refused = """seed=-1 sampling.top_k=-1 training.batch_size=0 training.lr=0 training.lr=nan
    sampling.temperature=inf task.test_fraction=0 task.test_fraction=1 model.dropout=1 model.dropout=-0.1
    sampling.top_p=0 sampling.top_p=1.1 buffer.max_wrong_fraction=1.1 buffer.max_wrong_fraction=-0.1"""
    taken = """seed=0 sampling.top_k=0 training.batch_size=1 training.passes=0.5 model.dropout=0
    sampling.top_p=1 buffer.max_wrong_fraction=0 buffer.max_wrong_fraction=1"""
    for argument in refused.split():
        key = argument.partition("=")[0]
        assert message(argument).startswith(f"{key} must be ") and KEYS[key].interval in message(argument)
    for argument in taken.split():
        key, _, number = argument.partition("=")
        assert value_of(load_config([argument]), key) == float(number)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trainng: {lr: 1}", "unknown key trainng.lr: did you mean training.lr?"),
        ("instructions: {correct: yes}", "instructions.correct must be text, not True"),
        ("training: 3", "unknown key training: did you mean training.batch_size"),
        (
            "files: {modle: tiny}",
            "files must name one for task, model, feedback, relabel, method, sampling, not {",
        ),
        ("files: {model: tiney}", "unknown model 'tiney': did you mean tiny?"),
        ("seed: [1", "mine.yaml cannot be read: ParserError: while parsing"),
        ("instructions: {correct: 'Pay ${amount}'}", r"text, not 'Pay ${amount}': write \${ for a plain ${"),
        ("instructions: {others: ['${amount}']}", "Interpolation key 'amount' not found"),
        ("- a", "mine.yaml cannot be read: it must be a mapping of keys to values"),
    ],
)
def test_mistakes_in_a_file_are_told_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert expected in message(f"config={tmp_path / 'mine.yaml'}")


# Interpolation, saving, help


def test_files_interpolate_and_leave_sections_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIR_TEST_DATA", "/data")
    text = "task: {data_dir: '${oc.env:HIR_TEST_DATA}/x', seed: '${seed}'}\ntraining:\n"
    (tmp_path / "mine.yaml").write_text(text + "model: {lora: {target_modules: all-linear}}\n")
    config = load_config([f"config={tmp_path / 'mine.yaml'}", "seed=7"])
    assert (config.task.data_dir, config.task.seed) == ("/data/x", 7)
    assert config.model.lora.target_modules == ["all-linear"]
    assert config.training == Config().training


def test_a_saved_config_repeats_the_run_in_a_new_folder(tmp_path: Path) -> None:
    arguments = [
        "experiment=paper", "task=penguins_in_a_table", "method=ppo", "task.settings.list=[1, null, 1e-3]",
        r"instructions.correct=null: \${x} \x '1e-4' é", "instructions.wrong=1e-4", "task.name=true",
        "instructions.others=['None', 'a, b']", "trainer.devices=[0,1]", "training.lr=3e-5",
        "buffer.window=7",
    ]  # fmt: skip
    config = load_config(arguments)
    assert config.task.settings == {"list": [1, None, 0.001]} and config.trainer["devices"] == [0, 1]
    config.run_dir, config.resume = "outputs/old", "outputs/older"
    path = tmp_path / "config.yaml"
    save_config(config, path)
    assert load_config([f"config={path}"]) == load_config(arguments)
    # A file named beside it is read after all its lines, and nothing else of it gives way.
    other = load_config([f"config={path}", "method=grpo"])
    assert (other.buffer.window, other.training.lr, other.method["kl"]) == (1, 3e-5, 0.0)


def test_help_says_the_rule_first_and_lists_every_file_and_key_and_imports_nothing_heavy() -> None:
    code = "import sys, train\nassert train.main(['seed=3', '--help']) == 0\n"
    code += "print({'torch', 'lightning', 'transformers', 'wandb', 'matplotlib'} & {*sys.modules})"
    shown = subprocess.check_output([sys.executable, "-c", code], cwd=CONF.parent, text=True)
    *lines, heavy = shown.splitlines()
    assert heavy == "set()"
    rule = "conf/config.yaml (or config=FILE), then the experiment, then the command line; each first reads"
    assert rule in " ".join(lines[:40])
    for key in KEYS.values():
        assert key.meaning, f"{key.name} has no text under it"
        assert any(line.startswith(f"  {key.name}  ({key.type_name}; default: ") for line in lines), key.name
    assert "  method.clip  (float in (0, 1); default: 0.2)" in lines
    for group in (*GROUPS, "experiment"):
        assert all(name in shown for name in group_files(group))
