"""Launchers and strategies: a run is the same however its processes were started, and whatever they share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train
from hir.config.load import load_config, save_config, to_dict
from hir.config.schema import Config, EvaluationConfig
from hir.errors import UserError
from hir.training.checkpoints import check_rows, read_checkpoint
from hir.training.launch import (
    Launcher,
    check_launch,
    check_num_processes,
    check_run_dir,
    find_launcher,
    process_rank,
)
from hir.training.strategies import choose_strategy
from tests.command_line import ROOT, SMALL, run

SETTINGS = [
    *SMALL, "trainer.max_epochs=1", "trainer.accelerator=cpu", "training.final_lr=null",
    "sampling.retry_temperature=2.0", "task.num_test=31", "buffer.window=1",
]  # fmt: skip
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
SRUN = {"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_JOB_NAME": "train"}
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("environment", "launcher", "rank"),
    [
        ({}, None, 0),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, None, 1),  # Lightning's own
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, None, 1),  # started by hand on a second machine
        (TORCHRUN, Launcher("torchrun", 3, 4), 3),
        (SRUN, Launcher("srun", 2, 4), 2),
        (TORCHRUN | SRUN, Launcher("torchrun", 3, 4), 3),  # srun torchrun
        # A shell of srun's, in which Lightning starts its own.
        (SRUN | {"SLURM_JOB_NAME": "bash", "SLURM_PROCID": "0", "LOCAL_RANK": "1"}, None, 1),
    ],
)
def test_who_started_this_process(environment: dict[str, str], launcher: Launcher | None, rank: int) -> None:
    assert find_launcher(environment) == launcher and process_rank(environment) == rank


def test_processes_started_by_others_name_one_folder_and_are_as_many_as_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_run_dir(None)
    check_num_processes(2, 1)
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    check_run_dir("outputs/x")
    check_num_processes(2, 2)
    with pytest.raises(UserError, match="torchrun has started 4 processes that must name one folder"):
        check_run_dir(None)
    with pytest.raises(UserError, match=r"4 processes, but trainer.devices=2 x trainer.num_nodes=1 is 2"):
        check_num_processes(2, 1)


def test_slurms_tasks_are_counted_whether_srun_started_them_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SRUN | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}).items():
        monkeypatch.setenv(name, value)  # as in an sbatch file's own process
    check_num_processes(1, 1)
    with pytest.raises(UserError, match="^srun has started 1 processes, but .* is 4: make both alike"):
        check_num_processes(4, 1)


SALLOC = {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "foo"}


@pytest.mark.parametrize(
    ("environment", "num_nodes", "told"),
    [
        ({}, 2, "trainer.num_nodes=2, .* torchrun or srun, as docs/hardware.md shows"),
        ({"MASTER_ADDR": "first"}, 2, "trainer.num_nodes=2"),
        (SALLOC, 1, "srun has not started this process: put srun before .* SLURM_JOB_NAME=interactive"),
        (SALLOC | {"SLURM_JOB_NAME": "interactive"}, 2, "trainer.num_nodes=2"),
        (SALLOC | {"SLURM_JOB_NAME": "interactive"}, 1, ""),
        (SALLOC | TORCHRUN, 2, ""),
        (SRUN, 2, ""),
        ({"MASTER_ADDR": "first", "NODE_RANK": "1"}, 2, ""),
        ({}, "two", ""),  # which Lightning refuses
    ],
)
def test_processes_that_nobody_starts_are_not_waited_for(
    environment: dict[str, str], num_nodes: object, told: str
) -> None:
    if not told:
        return check_launch(num_nodes, environment)
    with pytest.raises(UserError, match=told) as caught:
        check_launch(num_nodes, environment)
    assert "\n" not in str(caught.value)


def test_several_machines_are_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("MASTER_ADDR", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("hir.trainer.build_trainer", None)
    assert train.main(["experiment=paper", "trainer.num_nodes=2", f"run_dir={tmp_path}/run"]) == 2
    assert "error: trainer.num_nodes=2" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_runs_started_in_one_second_and_in_one_process_have_folders_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HIR_RUN_DIR", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    folders = []

    def fail(config: Config, folder: Path, *rest: object) -> None:
        assert (
            os.environ["HIR_RUN_DIR"] == str(folder) == str(train.run_folder(config))
        )  # of Lightning's processes
        folders.append(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "_train", fail)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train.train(Config(), 0.0)
    assert len(set(folders)) == 3 and "HIR_RUN_DIR" not in os.environ
    monkeypatch.setenv("HIR_RUN_DIR", "outputs/mine")
    with pytest.raises(KeyboardInterrupt):
        train.train(Config(), 0.0)
    assert folders[3] == Path("outputs/mine") and os.environ["HIR_RUN_DIR"] == "outputs/mine"


@pytest.mark.parametrize(
    ("left", "taken"), [("metrics.csv", False), ("wandb", False), ("summary.json", True)]
)
def test_a_folder_is_taken_once_its_run_has_finished_an_iteration(
    left: str, taken: bool, tmp_path: Path
) -> None:
    (tmp_path / left).touch()
    config = Config(run_dir=str(tmp_path))
    if not taken:
        assert train.run_folder(config) == tmp_path
        return
    with pytest.raises(UserError, match="holds another run"):
        train.run_folder(config)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a run of three iterations leaves that is killed in its last test."""
    config = load_config(["trainer.max_epochs=3"])
    save_config(config, tmp_path / "config.yaml")
    (tmp_path / "checkpoints").mkdir()
    state = {"hir": {"config": to_dict(config)}, "optimizer_states": [{}], "epoch": 2}
    torch.save({**state, "state_dict": {"weight": torch.ones(3)}}, tmp_path / "checkpoints/last.ckpt")
    return tmp_path


def test_rows_of_before_go_on_and_others_are_refused_by_the_name_of_their_task(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints/last.ckpt"
    path.parent.mkdir()
    (tmp_path / "config.yaml").touch()
    config = Config(resume=str(tmp_path), evaluation=EvaluationConfig(tasks=["more"]))
    torch.save({"hir": {}}, path)  # of a run from before there were fingerprints
    check_rows(config, ["a", "b"])
    torch.save({"hir": {"rows": ["a", "b"]}}, path)
    check_rows(config, ["a", "b"])
    for rows, name in ((["c", "b"], "object_counting"), (["a", "c"], "more")):
        with pytest.raises(
            UserError, match=f"^resume={tmp_path}: the rows of task {name}, or their split, "
        ) as e:
            check_rows(config, rows)
        assert "\n" not in str(e.value)


def test_a_checkpoint_is_looked_at_without_reading_its_tensors(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, given = torch.load, []

    def noted(*arguments: object, **options: object) -> object:
        given.append(options)
        return load(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "load", noted)
    checkpoint = read_checkpoint(killed / "checkpoints/last.ckpt")
    assert given == [{"map_location": "cpu", "weights_only": True, "mmap": True}]
    weight = torch.nn.Parameter(torch.zeros(3))
    with torch.no_grad():
        weight.copy_(checkpoint["state_dict"]["weight"])
    assert weight.tolist() == [1, 1, 1]
    path = killed / "checkpoints/last.ckpt"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="no readable checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trainer.strategy=fsdp", "method=ppo"], "method=ppo asks the policy between updates"),
        (["trainer.strategy=fsdp", "sampling=generate"], "sampling=generate needs the whole model"),
        (["trainer.strategy=fsdp", "training.compile=true"], "set it to false"),
        (["trainer.strategy=fsdp_cpu_offload"], "set fsdp"),
        (["model=flan_t5_xl", "trainer.devices=2", "method=ppo"], "set trainer.strategy=ddp"),
    ],
)
def test_what_a_strategy_cannot_do_is_refused_in_one_line(arguments: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        choose_strategy(load_config(arguments))
    assert "\n" not in str(caught.value)


def test_a_model_that_is_to_be_sharded_is_where_there_are_several_devices() -> None:
    def chosen(*arguments: str) -> str:
        return choose_strategy(load_config(["model=flan_t5_xl", *arguments]))

    assert chosen("trainer.devices=4") == chosen("trainer.devices=[0,1]") == "fsdp"
    assert chosen("trainer.devices=1", "trainer.num_nodes=2") == "fsdp"
    assert chosen("trainer.devices=1") == chosen("trainer.devices=[3]") == "auto"
    assert chosen("trainer.devices=4", "trainer.strategy=ddp", "method=ppo") == "ddp"
    assert chosen("trainer.devices=4", "model.shard=false") == "auto"
    assert chosen("trainer.devices=4", "method=grpo", "method.kl=0.04") == "fsdp"


# Runs of two processes


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def start_two(environment: dict[str, str], commands: list[list[str]], changes: list[dict[str, str]]) -> list:
    """Run two programs side by side; their outputs."""
    running = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**environment, **change},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, change in zip(commands, changes, strict=True)
    ]
    outputs = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    return [stdout for stdout, _ in outputs]


def states(folder: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Weights and optimizer state of a run's checkpoint."""
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint["state_dict"], checkpoint["optimizer_states"][0]["state"]


def assert_same_run(folder: Path, other: Path, tolerance: float = 0.0) -> None:
    (weights, moments), (other_weights, other_moments) = states(folder), states(other)
    assert weights.keys() == other_weights.keys() and moments.keys() == other_moments.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, other_weights[name], atol=tolerance, rtol=0)
    for name, of_weight in moments.items():
        for part in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(of_weight[part], other_moments[name][part], atol=tolerance, rtol=0)
    names = [{path.name for path in run.iterdir()} for run in (folder, other)]
    assert names[0] == names[1]
    # The base was sampled; the trained model's answers may differ where its weights do.
    for name in ("samples.jsonl",) if tolerance else ("samples.jsonl", "answers.jsonl"):
        assert (folder / name).read_text() == (other / name).read_text()


@slow
def test_two_machines_with_torchrun(
    on_two_devices: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder, port = tmp_path / "run", free_port()
    commands = [
        ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", f"--node_rank={rank}",
         "--master_addr=127.0.0.1", f"--master_port={port}", "train.py", *SETTINGS, "trainer.devices=1",
         "trainer.num_nodes=2", f"run_dir={folder}"]
        for rank in range(2)
    ]  # fmt: skip
    first, second = start_two(environment, commands, [{}, {}])
    assert "saved in" in first and second == ""
    assert_same_run(folder, on_two_devices)


@slow
def test_two_machines_with_slurm(on_two_devices: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """What srun puts into the environment of two tasks on two machines; there is no SLURM here."""
    folder, port = tmp_path / "run", free_port()
    command = ["train.py", *SETTINGS, "trainer.devices=1", "trainer.num_nodes=2", f"run_dir={folder}"]
    changes = [
        {
            "SLURM_JOB_NAME": "hir", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1",
            "SLURM_NNODES": "2", "SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank), "SLURM_LOCALID": "0",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }
        for rank in range(2)
    ]  # fmt: skip
    first, second = start_two(environment, [command, command], changes)
    assert "saved in" in first and second == ""
    assert_same_run(folder, on_two_devices)


@slow
def test_a_run_goes_on_with_sharded_weights_as_with_whole_ones(
    on_two_devices: Path, two_iterations: tuple[Path, Path], environment: dict[str, str], tmp_path: Path
) -> None:
    """FSDP block by block: sampling, clipping, checkpoint; sums of gradients are rounded in another order."""
    folder = shutil.copytree(on_two_devices, tmp_path / "run")
    arguments = [f"resume={folder}", "trainer.max_epochs=2", "trainer.strategy=fsdp_cpu"]
    done = run(environment, *arguments, program="tests/fsdp.py")
    assert done.returncode == 0, done.stderr
    assert_same_run(folder, two_iterations[0], tolerance=1e-4)
    _, moments = states(folder)
    assert {int(of_weight["step"]) for of_weight in moments.values()} == {6}
