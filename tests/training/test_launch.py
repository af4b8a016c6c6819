"""Launchers and strategies: a run is the same however its processes were started, and whatever they share."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

import train
from hir.config.load import load_config, save_config, to_dict
from hir.config.schema import Config, EvaluationConfig
from hir.errors import UserError
from hir.trainer import run_folder
from hir.training.checkpoints import check_resume, check_rows, read_checkpoint
from hir.training.launch import check_launch, check_num_processes, find_launcher
from hir.training.strategies import choose_strategy
from tests.command_line import ROOT, SMALL, run

SETTINGS = [
    *SMALL, "trainer.max_epochs=1", "trainer.accelerator=cpu", "training.final_lr=null",
    "sampling.retry_temperature=2.0",
]  # fmt: skip
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
SRUN = {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "2", "SLURM_JOB_NAME": "train"}
SALLOC = {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "foo"}
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("variables", "kind", "launcher"),
    [
        (TORCHRUN, TorchElasticEnvironment, "torchrun"),
        (SRUN, SLURMEnvironment, "srun"),
        (TORCHRUN | SRUN, TorchElasticEnvironment, "torchrun"),  # srun torchrun
    ],
)
def test_lightning_sees_the_same_launcher_and_its_processes_are_counted(
    variables: dict[str, str], kind: type, launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_num_processes(2, 1)  # which Lightning starts
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert kind.detect() and find_launcher() == (launcher, 4) == (launcher, kind().world_size())
    check_num_processes(2, 2)
    with pytest.raises(UserError, match="4 processes, but trainer.devices=2 x trainer.num_nodes=1 is 2"):
        check_num_processes(2, 1)


@pytest.mark.parametrize(
    ("environment", "num_nodes", "told"),
    [
        ({"MASTER_ADDR": "first"}, 2, "trainer.num_nodes=2, .* torchrun or srun, as docs/hardware.md shows"),
        (SALLOC, 1, "srun has not started this process: put srun before .* SLURM_JOB_NAME=interactive"),
        (SALLOC | {"SLURM_JOB_NAME": "interactive"}, 2, "trainer.num_nodes=2"),
        (SALLOC | {"SLURM_JOB_NAME": "interactive"}, 1, ""),
        (SALLOC | TORCHRUN, 2, ""),
        (SRUN, 2, ""),
        ({"MASTER_ADDR": "first", "NODE_RANK": "1"}, 2, ""),
    ],
)
def test_processes_that_nobody_starts_are_not_waited_for(
    environment: dict[str, str], num_nodes: int, told: str
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


def test_runs_started_in_one_second_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    assert len({run_folder(Config()) for _ in range(3)}) == 3


def test_a_folder_is_taken_once_its_run_has_finished_an_iteration(tmp_path: Path) -> None:
    for name in ("metrics.csv", "wandb"):
        (tmp_path / name).touch()
    assert run_folder(Config(run_dir=str(tmp_path))) == tmp_path
    (tmp_path / "summary.json").touch()
    for folder in (tmp_path, tmp_path / "summary.json"):
        with pytest.raises(UserError, match="is a file or holds another run"):
            run_folder(Config(run_dir=str(folder)))


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a run of three iterations leaves that is killed in its last test."""
    config = load_config(["trainer.max_epochs=3"])
    save_config(config, tmp_path / "config.yaml")
    (tmp_path / "checkpoints").mkdir()
    state = {"hir": {"config": to_dict(config)}, "optimizer_states": [{}], "epoch": 2}
    torch.save({**state, "state_dict": {"weight": torch.ones(3)}}, tmp_path / "checkpoints/last.ckpt")
    return tmp_path


def test_a_run_killed_in_its_last_test_says_what_it_lacks(killed: Path) -> None:
    def told() -> str:
        with pytest.raises(UserError) as caught:
            check_resume(load_config([f"resume={killed}"]))
        return str(caught.value)

    assert "summary.json" in told() and f"`python -m hir evaluate run={killed}`" in told()
    (killed / "summary.json").write_text('{"iterations": 3}')
    assert "summary.json" not in told() and "raise trainer.max_epochs" in told()


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
    path = killed / "checkpoints/last.ckpt"
    assert read_checkpoint(path)["state_dict"]["weight"].tolist() == [1, 1, 1]
    assert given == [{"map_location": "cpu", "weights_only": True, "mmap": True}]
    for content in (path.read_bytes()[:-200], pickle.dumps({"state_dict": Path("x")})):
        path.write_bytes(content)
        with pytest.raises(UserError, match="no readable checkpoint"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trainer.strategy=fsdp", "method=ppo"], "method=ppo asks the policy between updates"),
        (["trainer.strategy=fsdp", "sampling=generate"], "sampling=generate needs the whole model"),
        (["trainer.strategy=fsdp", "training.compile=true"], "set it to false"),
        (["trainer.strategy=fsdp_cpu_offload"], "set fsdp"),
        (["trainer.strategy=ddp_spawn"], "trainer.strategy=ddp_spawn is not supported.*: set ddp"),
        (["trainer.strategy=ddp_fork_find_unused_parameters_true"], "set ddp"),
        (["trainer.strategy=ddp_notebook"], "set ddp"),
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
def test_two_machines_with_slurm(on_two_devices: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """What srun puts into the environment of two tasks on two machines; there is no SLURM here."""
    folder = tmp_path / "run"
    command = ["train.py", *SETTINGS, "trainer.devices=1", "trainer.num_nodes=2", f"run_dir={folder}"]
    shared = {
        "SLURM_JOB_NAME": "hir", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2", "SLURM_LOCALID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(),
    }  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**environment, **shared, "SLURM_PROCID": rank, "SLURM_NODEID": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    (first, *_), (second, *_) = outputs = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert "saved in" in first and second == ""
    assert_same_run(folder, on_two_devices)


@slow
def test_sharded_weights_make_the_same_run_which_resumes_and_is_evaluated(
    on_two_devices: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """FSDP block by block: sampling, clipping, checkpoint; sums of gradients are rounded in another order."""
    folder, sharded = tmp_path / "run", ["trainer.devices=2", "trainer.strategy=fsdp_cpu"]
    done = run(environment, *SETTINGS, *sharded, f"run_dir={folder}", program="tests/fsdp.py")
    assert done.returncode == 0, done.stderr
    assert_same_run(folder, on_two_devices, tolerance=1e-4)
    done = run(environment, f"resume={folder}", "trainer.max_epochs=2", program="tests/fsdp.py")
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["iterations"] == 2 and summary["updates"] == 6
    _, moments = states(folder)
    assert {int(of_weight["step"]) for of_weight in moments.values()} == {6}
