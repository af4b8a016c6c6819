"""hir/config, by loading real files and arguments."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from omegaconf import OmegaConf

from hir.config.keys import KEYS
from hir.config.load import (
    CONF,
    GROUPS,
    RESERVED_TRAINER_KEYS,
    load_config,
    merge_layers,
    save_config,
    to_dict,
)
from hir.config.schema import Config, ConfigError, MethodConfig, TaskConfig
from hir.errors import UserError
from hir.training.checks import check_on_policy
from hir.training.datamodule import rows_per_device
from hir.training.strategies import BlockFSDP, check_strategy

GROUP_FILES = sorted(
    p.relative_to(CONF) for p in CONF.glob("*/*.yaml") if p.parent.name in (*GROUPS, "experiment", "hardware")
)


def message(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(list(argv))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(folder: Path, text: str) -> str:
    """Write a file for config=FILE; every one needs a number of iterations."""
    path = folder / "mine.yaml"
    path.write_text(text + "\ntrainer: {max_epochs: 3}\n")
    return f"config={path}"


# Files of conf/


def test_defaults_are_the_embedded_run():
    config = load_config([])
    assert (config.task.name, config.model.name, config.method.name) == ("object_counting", "tiny", "hir")
    assert config.trainer["accelerator"] == "cpu"
    assert config.run_dir is None and config.resume is None


@pytest.mark.parametrize("path", GROUP_FILES, ids=str)
def test_every_file_of_conf_gives_a_valid_config(path):
    group, name = path.parent.name, path.stem
    path = ["model.path=some/model"] if name == "seq2seq" else []  # which has none of its own
    config = load_config([f"{group}={name}", *path])
    assert type(config) is Config
    if group in GROUPS:
        assert getattr(config, group).name == name


def test_paper_experiment_sets_the_papers_hyperparameters():
    config = load_config(["experiment=paper"])
    assert config.model.path == "google/flan-t5-large"
    assert (config.method.alpha, config.method.beta, config.method.epsilon) == (1.0, 0.001, 0.2)
    assert (config.sampling.num_samples, config.sampling.temperature, config.sampling.top_k) == (4, 1.0, 50)
    assert (config.training.batch_size, config.training.passes, config.training.lr) == (64, 10, 5e-4)
    assert (config.training.num_updates, config.sampling.max_queries) == (None, None)
    assert (config.buffer.window, config.buffer.max_wrong_fraction) == (0, None)
    assert (config.task.split, config.task.test_fraction) == ("random", 0.2)
    assert (config.trainer["max_epochs"], config.trainer["precision"]) == (31, "bf16-mixed")


def test_paper_experiment_leaves_nothing_to_the_tiny_models_defaults():
    tuned = OmegaConf.to_container(OmegaConf.load(CONF / "model/tiny.yaml"))["with"]
    paper = load_config(["experiment=paper"])
    default = Config()
    assert paper.training == default.training and paper.buffer == replace(default.buffer, window=0)
    assert (paper.method.alpha, paper.method.beta, paper.method.epsilon) == (1.0, 0.001, 0.2)
    assert paper.method.wrong_weight == 1.0 and paper.sampling.max_queries is None
    assert tuned["trainer"]["gradient_clip_val"] and paper.trainer["gradient_clip_val"] is None
    beside_tiny = load_config(["experiment=paper", "model=tiny"])
    assert beside_tiny.method == paper.method and beside_tiny.training == paper.training


@pytest.mark.parametrize("path", sorted((CONF / "compare").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_variant_of_a_comparison_has_a_configuration(path):
    variants = OmegaConf.to_container(OmegaConf.load(path))
    configs = [
        load_config([f"{key}={value}" for key, value in (settings or {}).items()])
        for settings in variants.values()
    ]
    assert len({str(to_dict(config)) for config in configs}) == len(variants)


@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_an_on_policy_method_keeps_its_settings_beside_the_paper_experiment(method):
    config, paper = load_config(["experiment=paper", f"method={method}"]), load_config(["experiment=paper"])
    check_on_policy(config)
    assert (config.buffer.window, config.buffer.deduplicate, config.sampling.top_k) == (1, False, 0)
    assert config.training == paper.training and config.model.dropout == 0.0
    assert load_config(["experiment=paper", f"method={method}", "buffer.window=4"]).buffer.window == 4
    beside_farl = load_config(["experiment=paper", "method=farl"])
    assert beside_farl.buffer == paper.buffer and beside_farl.sampling == paper.sampling


MODELS = [f"flan_t5_{size}" for size in ("small", "base", "large", "xl", "xxl")]
HARDWARE = sorted(path.stem for path in (CONF / "hardware").glob("*.yaml"))
ROWS = {
    (cells[1].strip(), f"flan_t5_{cells[2].strip()}"): int(cells[4])
    for line in (CONF.parent / "docs/hardware.md").read_text().splitlines()
    if line.endswith(" GB |") and (cells := line.split("|"))
}
"""Rows of a forward pass by the page's table."""


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
@pytest.mark.parametrize("hardware", HARDWARE)
def test_lightning_takes_every_model_on_all_hardware(experiment, hardware):
    """As far as a CPU can: its devices are as many as one asks for, and sharding is asked for by class."""
    for model in MODELS:
        config = load_config([f"experiment={experiment}", f"hardware={hardware}", f"model={model}"])
        check_strategy(config)
        arguments = {**config.trainer, "accelerator": "cpu", "logger": False}
        sharded = arguments["strategy"] == "fsdp"
        if sharded:
            arguments["strategy"] = BlockFSDP()
        trainer = Trainer(**arguments)
        devices, nodes = config.trainer["devices"], config.trainer["num_nodes"]
        assert (trainer.num_devices, trainer.num_nodes) == (devices, nodes)
        assert trainer.precision == "bf16-mixed"
        assert rows_per_device(config, devices * nodes) == ROWS[hardware, model]
        assert sharded == (devices > 1 and model in ("flan_t5_xl", "flan_t5_xxl"))
        assert type(trainer.strategy) is (
            BlockFSDP if sharded else DDPStrategy if devices > 1 else SingleDeviceStrategy
        )


def test_the_sbatch_file_starts_as_many_processes_as_its_configuration_asks_for():
    text = (CONF / "slurm/two_nodes.sbatch").read_text()
    nodes, tasks = (int(re.search(rf"--{name}=(\d+)", text)[1]) for name in ("nodes", "ntasks-per-node"))
    arguments = re.search(r"arguments=\((experiment=.*) run_dir=", text)[1].split()
    trainer = load_config(arguments).trainer
    assert (trainer["num_nodes"], trainer["devices"]) == (nodes, tasks) == (2, 8)


def test_the_sbatch_file_starts_its_run_and_goes_on_with_it_when_requeued(tmp_path):
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text('#!/bin/bash\nprintf "%s\\n" "$SRUN_CPUS_PER_TASK" "$OMP_NUM_THREADS" "$@"\n')
    srun.chmod(0o755)
    job = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "5"}

    def started():
        done = subprocess.run(
            ["bash", str(CONF / "slurm/two_nodes.sbatch"), "task=word_sorting", "wandb.notes=two words"],
            env={"PATH": f"{srun.parent}:{os.environ['PATH']}", **job},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[:5] == ["5", "5", "--kill-on-bad-exit=1", ".venv/bin/python", "train.py"]
        return lines[5:]

    own = ["experiment=paper", "model=flan_t5_xxl", "hardware=2x8gpus", "run_dir=outputs/job-7"]
    assert started() == [*own, "task=word_sorting", "wandb.notes=two words"]
    checkpoint = tmp_path / "outputs/job-7/checkpoints/last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert started() == ["resume=outputs/job-7"]


def test_a_saved_run_on_other_hardware_trains_as_that_hardwares_file_says(tmp_path):
    """Whatever the file that the run was saved under had set: xl has another number of passes under each."""
    alone = {name: merge_layers(["model=flan_t5_xl", f"hardware={name}"]) for name in HARDWARE}
    assert len({config.trainer["accumulate_grad_batches"] for config in alone.values()}) == len(HARDWARE)
    for config in alone.values():
        save_config(config, tmp_path / "run.yaml")
        for now in HARDWARE:
            assert merge_layers([f"config={tmp_path}/run.yaml", f"hardware={now}"]) == alone[now]


def test_hardware_beats_the_experiment_the_models_file_and_a_saved_configuration(conf, tmp_path):
    (conf / "hardware/mine.yaml").write_text(
        "trainer: {devices: 3}\nwhen: {model=flan_t5_base: {sampling: {batch_size: 5}}}\n"
    )

    def chosen(*arguments):
        config = load_config([*arguments, "hardware=mine"])
        return config.trainer["devices"], config.sampling.batch_size

    assert chosen("experiment=paper") == (3, 16)
    assert chosen("experiment=paper", "model=flan_t5_base") == (3, 5)
    assert chosen("experiment=paper", "trainer.devices=2") == (2, 16)
    save_config(load_config(["model=flan_t5_base", "trainer.devices=7"]), tmp_path / "run.yaml")
    assert chosen(f"config={tmp_path}/run.yaml") == (3, 5)
    assert load_config(["hardware=None"]) == load_config([])


def test_a_path_alone_takes_no_setting_of_the_tiny_model():
    config = load_config(["model.path=some/model"])
    assert (config.model.name, config.model.path) == ("seq2seq", "some/model")
    assert (config.method, config.training, config.buffer) == (
        Config().method,
        Config().training,
        Config().buffer,
    )
    assert config.trainer["precision"] == "bf16-mixed"
    assert load_config(["model=flan_t5_small", "model.path=some/model"]).model.name == "flan_t5_small"


def test_conf_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(["model=flan_t5_small"]).model.path == "google/flan-t5-small"


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_unlikelihood_and_parts_of_wrong_answers_do_not_go_together(part):
    with pytest.raises(ConfigError, match="method.unlikelihood must be 0 with sub-output relabeling"):
        load_config(["method.unlikelihood=0.5", f"method.sub_output={part}"])
    assert load_config(["method.unlikelihood=0", f"method.sub_output={part}"]).method.sub_output == part


# Precedence


def test_a_group_choice_beats_the_default_group():
    assert load_config(["task=word_sorting"]).task.name == "word_sorting"


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A copy of conf/ that a test may write to."""
    folder = shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.setattr("hir.config.load.CONF", folder)
    return folder


@pytest.fixture
def beside(conf):
    """Of two methods, one has a learning rate of its own with the model, and one on that task with it."""
    (conf / "model/one.yaml").write_text(
        "path: some/model\nwith: {training: {lr: 0.1}}\n"
        "when: {method=two: {training: {lr: 0.2, batch_size: 8}}}\n"
    )
    (conf / "method/two.yaml").write_text("name: two\nwith: {training: {lr: 0.3, passes: 3}}\n")
    (conf / "task/three.yaml").write_text("name: three\nwhen: {model=one: {training: {passes: 4}}}\n")


def test_what_a_file_brings_beside_another_beats_what_either_brings(beside):
    def rates(*arguments):
        config = load_config([*arguments])
        return config.training.lr, config.training.batch_size, config.training.passes

    assert rates("model=one") == (0.1, 64, 10)
    assert rates("model=one", "method=two") == (0.2, 8, 3)
    assert rates("method=two", "model=one") == (0.2, 8, 3)
    assert rates("model=one", "method=two", "task=three") == (0.2, 8, 4)
    assert rates("model=one", "task=three") == (0.1, 64, 4)
    assert rates("model=flan_t5_small", "method=two") == (0.3, 64, 3)
    assert rates("model=one", "method=two", "training.lr=0.5") == (0.5, 8, 3)


@pytest.mark.parametrize("method", ["ppo", "grpo", "none"])
def test_groups_chosen_in_any_order_give_one_configuration(method):
    first = load_config(["model=tiny", f"method={method}"])
    assert first == load_config([f"method={method}", "model=tiny"]) == load_config([f"method={method}"])
    assert first.buffer.max_wrong_fraction is None


@pytest.mark.parametrize("before", ["hir", "farl", "sft", "ppo", "grpo", "none"])
@pytest.mark.parametrize("now", ["hir", "farl", "sft", "ppo", "grpo", "none"])
def test_a_saved_run_with_another_method_is_that_methods_run(before, now, tmp_path):
    save_config(merge_layers([f"method={before}"]), tmp_path / "run.yaml")
    assert merge_layers([f"config={tmp_path}/run.yaml", f"method={now}"]) == merge_layers([f"method={now}"])


def test_what_was_set_by_hand_stays_beside_another_method(tmp_path):
    by_hand = ["training.lr=3e-3", "seed=4"]
    save_config(merge_layers(["method=ppo", *by_hand]), tmp_path / "run.yaml")
    loaded = merge_layers([f"config={tmp_path}/run.yaml", "method=hir"])
    assert (loaded.training.lr, loaded.seed) == (3e-3, 4)
    # What ppo.yaml brought gave way: the window is the tiny model's.
    assert (loaded.buffer.window, loaded.buffer.deduplicate, loaded.sampling.top_k) == (4, True, 50)


def test_what_stands_beside_beats_a_saved_configuration_where_a_side_is_new(beside, tmp_path):
    save_config(load_config(["model=one", "training.lr=0.7", "training.passes=5"]), tmp_path / "run.yaml")
    saved = f"config={tmp_path}/run.yaml"
    assert load_config([saved]).training.lr == 0.7
    changed = load_config([saved, "method=two"]).training
    assert (changed.lr, changed.batch_size, changed.passes) == (0.2, 8, 3)
    again = load_config([saved, "task=three"]).training
    assert (again.lr, again.passes) == (0.7, 4)


@pytest.mark.parametrize("when", ["lr=1: {}", "method=none_such: {}", "method: {}", "- a"])
def test_a_wrong_condition(conf, when):
    (conf / "model/one.yaml").write_text(f"path: some/model\nwhen:\n  {when}\n")
    with pytest.raises(ConfigError, match=r"one\.yaml: keys of when: must be like method=ppo, not "):
        load_config(["model=one"])


def test_a_task_needs_no_file():
    assert load_config(["task=penguins_in_a_table"]).task.name == "penguins_in_a_table"


def test_a_group_on_the_command_line_beats_an_experiments_choice():
    config = load_config(["experiment=paper", "model=flan_t5_small"])
    assert config.model.path == "google/flan-t5-small"
    assert config.training.passes == 10


def test_a_key_on_the_command_line_beats_the_experiment_wherever_it_stands():
    assert load_config(["sampling.top_k=7", "experiment=paper"]).sampling.top_k == 7


def test_a_config_file_stands_in_for_conf_config(tmp_path):
    config = load_config([write(tmp_path, "training.lr: 0.25\nsampling: {top_k: 3}")])
    assert (config.training.lr, config.sampling.top_k) == (0.25, 3)
    assert config.training.num_updates is None  # the dataclass default, not the value of conf/config.yaml
    assert config.trainer == {"max_epochs": 3}


def test_a_config_file_beats_the_groups_it_chooses_and_the_experiment(tmp_path):
    file = write(tmp_path, "groups: {model: flan_t5_base}\nmodel: {path: here}\nsampling: {top_k: 3}")
    config = load_config([file, "experiment=paper"])
    assert (config.model.name, config.model.path) == ("flan_t5_base", "here")
    assert (config.sampling.top_k, config.training.passes) == (3, 10)


def test_groups_on_the_command_line_beat_a_config_file(tmp_path):
    file = write(tmp_path, "task: {name: word_sorting, settings: {length: 3}}\nmodel: {name: x, path: here}")
    config = load_config([file, "task=date_understanding", "model=tiny", "training.lr=0.5"])
    assert config.task.name == "date_understanding"
    assert config.task.settings == {}
    assert (config.model.name, config.model.path) == ("tiny", None)
    assert config.training.lr == 0.5


def test_mappings_merge_and_lists_are_replaced(tmp_path):
    file = write(tmp_path, "task: {settings: {a: 1, b: 2}}\nevaluation: {tasks: [x, y]}")
    config = load_config([file, "task.settings.b=3", "evaluation.tasks=z", "trainer={devices: 2}"])
    assert config.task.settings == {"a": 1, "b": 3}
    assert config.evaluation.tasks == ["z"]
    assert config.trainer == {"max_epochs": 3, "devices": 2}


def test_an_empty_section_of_a_file_sets_nothing(tmp_path):
    assert load_config([write(tmp_path, "training:\ntask: {settings: }")]).training == Config().training


def test_a_file_may_give_one_text_for_a_list_and_a_whole_number_with_a_point(tmp_path):
    text = "model: {lora: {target_modules: all-linear}}\ntraining: {batch_size: 64.0}\nwandb: {tags: [2024]}"
    config = load_config([write(tmp_path, text)])
    assert config.model.lora.target_modules == ["all-linear"] and config.wandb.tags == ["2024"]
    assert config.training.batch_size == 64 and type(config.training.batch_size) is int


# Syntax of the command line


@pytest.mark.parametrize(
    ("argument", "section", "name", "expected"),
    [
        ("method.alpha=0.1", "method", "alpha", 0.1),
        ("--method.alpha=0.1", "method", "alpha", 0.1),
        ("method.alpha=2", "method", "alpha", 2.0),
        ("training.lr=1e-4", "training", "lr", 0.0001),
        ("training.num_updates=None", "training", "num_updates", None),
        ("training.num_updates=null", "training", "num_updates", None),
        ("training.num_updates=12", "training", "num_updates", 12),
        ("method.sub_output=none", "method", "sub_output", "none"),
        ("buffer.deduplicate=False", "buffer", "deduplicate", False),
        ("buffer.deduplicate=true", "buffer", "deduplicate", True),
        ("evaluation.tasks=[a,b]", "evaluation", "tasks", ["a", "b"]),
        ("evaluation.tasks=a, b", "evaluation", "tasks", ["a", "b"]),
        ("evaluation.tasks=a", "evaluation", "tasks", ["a"]),
        ("evaluation.tasks=[yes, 010, None, 2.0]", "evaluation", "tasks", ["yes", "010", "None", "2.0"]),
        ("evaluation.tasks=", "evaluation", "tasks", []),
        ("instructions.others=['Yes, please', \"${x}\"]", "instructions", "others", ["Yes, please", "${x}"]),
        (
            "instructions.others=[Answer: shortly, {x} is: a, 'a, b', it's]",
            "instructions",
            "others",
            ["Answer: shortly", "{x} is: a", "a, b", "it's"],
        ),
        ("instructions.others=Answer: shortly", "instructions", "others", ["Answer: shortly"]),
        ("instructions.others=[1e3, true]", "instructions", "others", ["1e3", "true"]),
        ("instructions.others=[1e3] ", "instructions", "others", ["1e3"]),
        ("instructions.correct=", "instructions", "correct", ""),
        ("training.batch_size=64.0", "training", "batch_size", 64),
        ("task.num_train=1e2", "task", "num_train", 100),
        ("task.data_dir=", "task", "data_dir", None),
        ("task.name=123", "task", "name", "123"),
        ("instructions.correct=a: b, 'c' = \"d\" #e", "instructions", "correct", "a: b, 'c' = \"d\" #e"),
        ("instructions.correct=[1]", "instructions", "correct", "[1]"),
        ("instructions.correct=1e-4", "instructions", "correct", "1e-4"),
        ("instructions.correct=Pay ${seed} or ${", "instructions", "correct", "Pay ${seed} or ${"),
        (r"instructions.correct=\${a} \\${b} \c", "instructions", "correct", r"\${a} \\${b} \c"),
    ],
)
def test_values_are_read_by_the_type_of_their_key(argument, section, name, expected):
    value = getattr(getattr(load_config([argument]), section), name)
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("trainer.devices=2", 2),
        ("trainer.devices=[0,1]", [0, 1]),
        ("trainer.accelerator=gpu", "gpu"),
        ("trainer.precision=bf16-mixed", "bf16-mixed"),
        ("trainer.gradient_clip_val=1e-1", 0.1),
        ("trainer.fast_dev_run=True", True),
        ("trainer.limit_val_batches=None", None),
        ("trainer.max_time=12:00:00:00", "12:00:00:00"),
        ("trainer.max_epochs=3.0", 3),
        ("trainer.limit_val_batches=1.0", 1.0),  # all of them; 1 would be one
        ("trainer.precision=bf16", "bf16"),
        ("trainer.precision=32", 32),
    ],
)
def test_trainer_values_are_read_as_yaml(argument, expected):
    name = argument.removeprefix("trainer.").partition("=")[0]
    value = load_config([argument]).trainer[name]
    assert value == expected and type(value) is type(expected)


def test_the_last_of_a_repeated_key_wins():
    config = load_config(["seed=2", "task=a", "seed=3", "task=b"])
    assert (config.seed, config.task.name) == (3, "b")


def test_no_experiment_may_be_spelled_out():
    assert load_config(["experiment=None"]) == load_config([])


# Errors


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--verbose", "'--verbose' is not key=value: write for example training.lr=1e-4"),
        ("=3", "'=3' is not key=value: write for example training.lr=1e-4"),
        ("training.batchsize=3", "unknown key training.batchsize: did you mean training.batch_size?"),
        ("model.lora.rr=3", "unknown key model.lora.rr: did you mean model.lora.r?"),
        ("lr=3", "unknown key lr: did you mean model.base.lr or training.lr?"),
        ("taks=x", "unknown key taks: did you mean task?"),
        ("xyzzy=3", "unknown key xyzzy (--help lists the keys)"),
        ("model.lora=8", "model.lora is a section: set one of its keys, such as model.lora.r"),
        ("model=flan_t5_lrge", "unknown model 'flan_t5_lrge': did you mean flan_t5_large?"),
        ("sampling=xyzzy", None),
        ("experiment=papr", "unknown experiment 'papr': did you mean paper?"),
        ("config=no.yaml", "no.yaml does not exist or is no file: give the path of a YAML file"),
        ("training.batch_size=abc", "training.batch_size must be an integer, not 'abc'"),
        ("training.batch_size=1.5", "training.batch_size must be an integer, not 1.5"),
        ("training.batch_size=None", "training.batch_size must be an integer, not None"),
        ("training.lr=fast", "training.lr must be a number, not 'fast'"),
        ("training.num_updates=x", "training.num_updates must be an integer or null, not 'x'"),
        ("buffer.deduplicate=maybe", "buffer.deduplicate must be true or false, not 'maybe'"),
        ("instructions.correct=None", "instructions.correct must be text, not None"),
        (
            "instructions.others=[{'Answer': 'shortly'}]",
            "instructions.others must be a list of texts, not {'Answer': 'shortly'}: put it in quotes",
        ),
        ("evaluation.tasks=[a", "evaluation.tasks must be a list of texts, not '[a'"),
        ("trainer=3", "trainer must be a mapping, not 3"),
        (
            "trainer.device=2",
            "trainer.device is no argument of Lightning's Trainer: did you mean trainer.devices?",
        ),
        ("trainer.self=2", None),
        ("trainer.logger=False", "trainer.logger is set by the project: use logger"),
        ("trainer.default_root_dir=x", "trainer.default_root_dir is set by the project: use run_dir"),
        ("trainer.callbacks=x", "trainer.callbacks is set by the project: remove it"),
        (
            "trainer.max_epochs=0",
            "trainer.max_epochs, the number of HIR iterations, must be an integer of at least 1, not 0",
        ),
        (
            "trainer.precision=16-mixed",
            "trainer.precision=16-mixed overflows in T5: use bf16-mixed or 32-true",
        ),
        ("trainer.precision=16", "trainer.precision=16 overflows in T5: use bf16-mixed or 32-true"),
        (
            "trainer.precision=bf16-true",
            "trainer.precision=bf16-true rounds most of AdamW's updates away: use bf16-mixed or 32-true",
        ),
        (
            "trainer.precision=64-true",
            "trainer.precision=64-true is not supported: use bf16-mixed or 32-true",
        ),
        ("trainer.precision=64", "trainer.precision=64 is not supported: use bf16-mixed or 32-true"),
        (
            "trainer.precision=transformer-engine",
            "trainer.precision=transformer-engine is not supported: use bf16-mixed or 32-true",
        ),
        (
            "model.lora.target=all-linear",
            "unknown key model.lora.target: did you mean model.lora.target_modules?",
        ),
        ("sampling.temperature=-1", "sampling.temperature must be above 0, not -1.0"),
        ("method.alpha=-0.5", "method.alpha must be at least 0, not -0.5"),
    ],
)
def test_mistakes_are_told_in_one_line(argument, expected):
    told = message(argument)
    assert told == expected or expected is None


@pytest.mark.parametrize(
    "argument",
    """seed=-1 logger=tensorboard task.name= task.source=web task.split=odd task.test_fraction=0
    task.test_fraction=1 task.validation_fraction=0.8 task.num_train=0 task.num_validation=0 task.num_test=0
    task.seed=-1 model.max_input_tokens=0 model.overlong=drop model.dropout=1 model.lora.r=-1
    model.lora.alpha=0 model.lora.dropout=1 model.base.accuracy=0 model.base.accuracy=1.1 model.base.seed=-1
    model.base.d_model=0 model.base.num_layers=0 model.name=mine method.beta=-1 method.epsilon=1
    method.epsilon=-0.1 method.contrast=all method.sub_output=None method.sub_output=half
    method.wrong_weight=-1 method.unlikelihood=-1 method.clip=0 method.clip=1 method.kl=-1 method.discount=2
    method.gae_lambda=-1 method.value_weight=-1
    sampling.max_queries=0 sampling.num_samples=0 sampling.temperature=0
    sampling.temperature=inf sampling.top_k=-1 sampling.top_p=0 sampling.top_p=1.1 sampling.max_new_tokens=0
    sampling.batch_size=0 buffer.window=-1 buffer.max_wrong_fraction=1.1 buffer.max_wrong_fraction=-0.1
    training.batch_size=0 training.passes=0 training.num_updates=0 training.lr=0 training.lr=nan
    training.final_lr=-1 training.weight_decay=-1 evaluation.every=0 evaluation.batch_size=0
    evaluation.samples_every=-1 trainer.max_epochs=None trainer.max_epochs=1.5 trainer.max_epochs=True
    trainer.precision=16-true""".split(),
)
def test_values_out_of_range_are_refused_by_name(argument):
    key = argument.partition("=")[0]
    told = message(argument)
    assert key.rpartition(".")[0] in told and ("must be" in told or "overflows" in told)


@pytest.mark.parametrize(
    "argument",
    """method.epsilon=0 method.alpha=0 sampling.top_k=0 sampling.top_p=1 buffer.window=0 model.lora.r=0
    buffer.max_wrong_fraction=0 buffer.max_wrong_fraction=1 model.base.accuracy=1 evaluation.samples_every=0
    training.passes=0.5 training.final_lr=0 task.source=bbh task.split=grouped method.contrast=set
    trainer.precision=32-true""".split(),
)
def test_values_at_the_edge_are_taken(argument):
    key, _, text = argument.partition("=")
    value = to_dict(load_config([argument]))
    for part in key.split("."):
        value = value[part]
    assert str(value) == text or float(value) == float(text)


def test_both_instructions_may_not_be_the_same():
    told = message("instructions.correct=Do it.", "instructions.wrong=Do it.")
    assert told == "instructions.wrong must be another text than instructions.correct, not 'Do it.'"


def test_every_reserved_trainer_argument_is_refused_and_its_key_exists():
    for name, key in RESERVED_TRAINER_KEYS.items():
        assert "set by the project" in message(f"trainer.{name}=1")
        assert key is None or key in KEYS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training: {lr: fast}", "training.lr must be a number, not 'fast'"),
        ("trainng: {lr: 1}", "unknown key trainng"),
        ("training: {batch_size: 64.5}", "training.batch_size must be an integer, not 64.5"),
        (
            "instructions: {others: [Answer: shortly]}",
            "must be a list of texts, not {'Answer': 'shortly'}: put it in",
        ),
        ("wandb: {tags: [a, [b]]}", "wandb.tags must be a list of texts, not ['b']: put it in quotes"),
        (
            "evaluation: {tasks: [yes]}",
            "evaluation.tasks must be a list of texts, not True: put it in quotes",
        ),
        ("evaluation: {tasks: [null]}", "evaluation.tasks must be a list of texts, not [None]"),
        ("instructions: {correct: yes}", "instructions.correct must be text, not True: put it in quotes"),
        ("training: {lrr: 1}", "unknown key training.lrr: did you mean training.lr?"),
        ("training: 3", "training is a section: set one of its keys, such as training.batch_size"),
        ("task: word_sorting", "task is a section: choose its file by groups: {task: word_sorting}"),
        ("groups: {modle: tiny}", "groups must choose files for task, model, method, sampling"),
        ("groups: {model: tiney}", "unknown model 'tiney': did you mean tiny?"),
        ("groups: {model: null}", "unknown model 'None'"),
        ("seed: [1", "is not valid YAML"),
        ("seed: 1\nseed: 2", "is not valid YAML"),
        ("instructions: {correct: 'Pay ${'}", "is not valid YAML"),
        ("instructions: {correct: 'Pay ${amount}'}", r"in a file, \${ stands for plain ${"),
    ],
)
def test_mistakes_in_a_file_are_told_in_one_line(tmp_path, text, expected):
    assert expected in message(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "expected"), [("- a", "keys with values"), ("", "max_epochs"), ("a", "unknown key a")]
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, expected):
    (tmp_path / "odd.yaml").write_text(text)
    assert expected in message(f"config={tmp_path / 'odd.yaml'}")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "odd.yaml").write_bytes(b"\xff\xfe\x00\x01\x80")
    assert "is not valid YAML" in message(f"config={tmp_path / 'odd.yaml'}")
    assert "is no file" in message(f"config={tmp_path}")


def test_config_errors_are_user_errors():
    assert issubclass(ConfigError, UserError)
    with pytest.raises(UserError, match=r"^method\.alpha must be at least 0, not -1$"):
        MethodConfig(alpha=-1)
    with pytest.raises(UserError, match="task.test_fraction [+] task.validation_fraction must be below 1"):
        TaskConfig(test_fraction=0.5, validation_fraction=0.5)


# Interpolation, saving, help


def test_files_may_interpolate_and_escape(tmp_path, monkeypatch):
    monkeypatch.setenv("HIR_TEST_DATA", "/data")
    text = (
        r"task: {data_dir: '${oc.env:HIR_TEST_DATA}/x'}" + "\n" + r"instructions: {correct: 'Pay \${amount}'}"
    )
    config = load_config([write(tmp_path, text)])
    assert config.task.data_dir == "/data/x"
    assert config.instructions.correct == "Pay ${amount}"


def test_a_saved_config_repeats_the_run_in_a_new_folder(tmp_path):
    arguments = [
        "experiment=paper",
        "task=penguins_in_a_table",
        "task.settings.text=${a",
        "task.settings.list=[1, null, 1e-3]",
        r"instructions.correct=null: \${x} ${ '1e-4' é",
        "instructions.wrong=1e-4",
        "instructions.others=['None', \"${seed}\", 'a, b']",
        "task.name=true",
        "trainer.strategy=ddp",
        "training.lr=3e-5",
    ]
    config = load_config(arguments)
    assert config.task.settings == {"text": "${a", "list": [1, None, 0.001]}
    config.run_dir, config.resume = "outputs/old", "outputs/older"
    path = tmp_path / "config.yaml"
    save_config(config, path)
    assert load_config([f"config={path}"]) == load_config(arguments)
    assert load_config([f"config={path}", "run_dir=new"]).run_dir == "new"
    assert config.run_dir == "outputs/old"


def test_to_dict_holds_plain_containers_only():
    def types(value):
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        return {type(value)}.union(*map(types, parts))

    config = load_config(["trainer.devices=[0,1]", "task.settings={a: {b: 1}}"])
    tree = to_dict(config)
    assert types(tree) <= {dict, list, str, int, float, bool, type(None)}
    assert type(config.trainer) is dict and type(config.task.settings["a"]) is dict
    assert tree["trainer"]["devices"] == [0, 1] and tree["model"]["lora"]["target_modules"] == ["q", "v"]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_key(flag):
    code = f"from hir.config.load import load_config\nload_config(['seed=3', '{flag}'])"
    code += "\nraise AssertionError('help must exit')"
    done = subprocess.run([sys.executable, "-c", code], cwd=CONF.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    for key in KEYS.values():
        assert key.meaning, f"{key.name} has no text under it"
        assert any(line.startswith(f"  {key.name}  ({key.type_name}; default: ") for line in lines), key.name
    for path in GROUP_FILES:
        assert path.stem in done.stdout
    assert "  training.lr  (a number; default: " in done.stdout


@pytest.mark.parametrize("program", ["train.py", "hir/__main__.py compare", "hir/__main__.py sweep"])
def test_help_imports_nothing_heavy(program):
    argv = [*program.split(), "--help"]
    code = f"import sys, runpy; sys.argv = {argv!r}; sys.path[0] = '.'\n"
    code += f"try: runpy.run_path({argv[0]!r}, run_name='__main__')\n"
    code += "except SystemExit as end: assert not end.code\n"
    code += "print({'torch', 'lightning', 'transformers', 'wandb', 'matplotlib'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CONF.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("set()\n") and len(done.stdout) > 1000 and done.stderr == ""
