"""Launchers and strategies: a run is the same however its processes were started, and whatever they share."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch.callbacks import Timer

import train
from hir.config.load import load_config
from hir.config.schema import Config
from hir.errors import UserError
from hir.trainer import build_trainer, run_folder
from hir.training.checkpoints import read_checkpoint
from hir.training.devices import check_launch, choose_strategy
from hir.training.module import HIRModule
from tests.command_line import ROOT, assert_same_run, run

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
SRUN = {
    "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2", "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0", "SLURM_NODEID": "1", "SLURM_JOB_NAME": "train",
}  # fmt: skip
SALLOC = {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "foo"}
BY_HAND = {"MASTER_ADDR": "first", "NODE_RANK": "1"}


@pytest.fixture(autouse=True)
def environment_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's launcher puts into the environment, in place of what there is of it."""
    for name in TORCHRUN | SRUN | BY_HAND:
        monkeypatch.delenv(name, raising=False)
    for name, value in getattr(request, "param", {}).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "environment_of", [TORCHRUN, SRUN, TORCHRUN | SRUN | {"SLURM_NTASKS": "2"}], indirect=True
)
def test_processes_that_a_launcher_has_started_are_counted(tmp_path: Path) -> None:
    settings = ["trainer.accelerator=cpu", "trainer.devices=2"]
    build_trainer(load_config([*settings, "trainer.num_nodes=2"]), tmp_path)
    for other in (settings, ["trainer.devices=1"]):
        with pytest.raises(UserError, match="^trainer.*: Lightning refuses these arguments: You set `.*=1` "):
            build_trainer(load_config(other), tmp_path)


def test_a_time_limit_ends_no_iteration_in_its_middle(tmp_path: Path) -> None:
    trainer = build_trainer(load_config(["trainer.max_time=00:00:00:09"]), tmp_path)
    timers = [each for each in vars(trainer)["callbacks"] if isinstance(each, Timer)]
    assert [timer._interval for timer in timers] == ["epoch"]


@pytest.mark.parametrize(
    ("environment_of", "num_nodes", "told"),
    [
        ({}, 1, ""),  # by Lightning
        ({"MASTER_ADDR": "first"}, 2, "trainer.num_nodes=2, .* torchrun or srun, as docs/hardware.md shows"),
        (SALLOC, 1, "srun has not started this process: put srun before .* SLURM_JOB_NAME=interactive"),
        (SALLOC | {"SLURM_JOB_NAME": "interactive"}, 2, "trainer.num_nodes=2"),
        (SALLOC | {"SLURM_JOB_NAME": "interactive"}, 1, ""),
        (SALLOC | TORCHRUN, 2, ""),
        (SRUN, 2, ""),
        (BY_HAND, 2, ""),
    ],
    indirect=["environment_of"],
)
def test_processes_that_nobody_starts_are_not_waited_for(num_nodes: int, told: str) -> None:
    with pytest.raises(UserError, match=told) if told else nullcontext():
        check_launch(num_nodes)


def test_several_machines_are_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("hir.trainer.Trainer", None)
    assert train.main(["experiment=paper", "trainer.num_nodes=2", f"run_dir={tmp_path}/run"]) == 2
    assert "error: trainer.num_nodes=2" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_runs_started_in_one_second_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    assert len({run_folder(Config()) for _ in range(3)}) == 3


def test_a_folder_that_holds_what_is_not_a_killed_runs_is_refused(tmp_path: Path) -> None:
    config = Config(run_dir=str(tmp_path))
    (tmp_path / "wandb").touch()
    assert run_folder(config) == tmp_path
    for name in ("config.yaml", "summary.json", "notes.txt"):
        (tmp_path / name).touch()
        with pytest.raises(UserError, match="holds another run"):
            run_folder(config)
        (tmp_path / name).unlink()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "metrics.csv").write_text("iteration\n0\n1\n")  # no more than an iteration to lose
    assert run_folder(config) == tmp_path
    (tmp_path / "metrics.csv").write_text("iteration\n0\n1\n2\n")
    with pytest.raises(UserError, match="holds another run"):
        run_folder(config)


def test_rows_of_a_further_task_that_have_changed_are_refused() -> None:
    module = Mock(config=Config(resume="run"), rows=["a", "c"])
    with pytest.raises(UserError, match="^resume=run: a task's rows, or their split, are others"):
        HIRModule.on_load_checkpoint(module, {"hir": {"rows": ["a", "b"]}})


def test_a_truncated_checkpoint_and_pickled_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    saved = {"hir": {}, "epoch": 0, "state_dict": {"weight": torch.ones(3)}}
    torch.save({**saved, "code": Path("x")}, path)
    pickled = path.read_bytes()
    torch.save(saved, path)
    assert read_checkpoint(path)["state_dict"]["weight"].tolist() == [1, 1, 1]
    whole = path.read_bytes()
    flipped = whole.replace(b"\x00\x80?", b"\x01\x80?")  # a bit of a weight of 1.0
    for content in (pickled, flipped, whole[:-200], b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match="no readable checkpoint"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    "arguments",
    [
        "trainer.strategy=fsdp sampling=generate",
        "trainer.strategy=fsdp_cpu_offload",
        "trainer.devices=2 method=ppo",
        "trainer.devices=2 method=grpo method.kl=0.04 model.lora.r=8",
    ],
)
def test_what_a_strategy_cannot_do_is_refused_in_one_line(arguments: str) -> None:
    with pytest.raises(UserError, match="^trainer.strategy=fsdp.* or set trainer.strategy=ddp$"):
        choose_strategy(load_config(["model=flan_t5_xl", *arguments.split()]))


def test_a_model_that_is_to_be_sharded_is_where_there_are_several_devices() -> None:
    for arguments, strategy in (
        ("trainer.devices=4", "fsdp"),
        ("trainer.devices=[0,1] method=grpo method.kl=0.04", "fsdp"),
        ("trainer.devices=1 trainer.num_nodes=2", "fsdp"),
        ("trainer.devices=1", "auto"),
        ("trainer.devices=[3]", "auto"),
        ("trainer.devices=4 trainer.strategy=ddp method=ppo", "ddp"),
        ("trainer.devices=4 model.shard=false", "auto"),
    ):
        assert choose_strategy(load_config(["model=flan_t5_xl", *arguments.split()])) == strategy, arguments


# Runs of two processes


@pytest.mark.slow
def test_a_run_goes_on_to_the_same_weights_and_files_on_two_machines_with_slurm(
    on_two_devices: Path, two_iterations: tuple[Path, Path], environment: dict[str, str], tmp_path: Path
) -> None:
    """What srun puts into the environment of two tasks on two machines; there is no SLURM here."""
    folder = shutil.copytree(on_two_devices, tmp_path / "run")
    command = [sys.executable, "train.py", f"resume={folder}", "trainer.max_epochs=2"]
    command += ["trainer.devices=1", "trainer.num_nodes=2"]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    shared = {
        "SLURM_JOB_NAME": "hir", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2", "SLURM_LOCALID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip
    running = []
    for rank in "01":
        own = {**environment, **shared, "SLURM_PROCID": rank, "SLURM_NODEID": rank}
        running.append(subprocess.Popen(command, cwd=ROOT, env=own, stdout=-1, stderr=-1, text=True))
    (first, *_), (second, *_) = outputs = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert "saved in" in first and second == ""
    assert_same_run(folder, two_iterations[0])


@pytest.mark.slow
def test_a_run_goes_on_with_sharded_weights_as_with_whole_ones(
    on_two_devices: Path, two_iterations: tuple[Path, Path], environment: dict[str, str], tmp_path: Path
) -> None:
    """FSDP block by block: sampling, clipping, checkpoint; sums of gradients are rounded in another order."""
    folder = shutil.copytree(on_two_devices, tmp_path / "run")
    arguments = [f"resume={folder}", "trainer.max_epochs=2", "trainer.strategy=fsdp_cpu"]
    done = run(environment, *arguments, program="tests/fsdp.py")
    assert done.returncode == 0, done.stderr
    assert_same_run(folder, two_iterations[0], tolerance=1e-4)
