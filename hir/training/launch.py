"""Which of a run's processes this is, as its launcher says in the environment; torch need not be imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hir.errors import UserError


@dataclass(frozen=True)
class Launcher:
    """A program that started all processes of a run, where Lightning does not start them itself."""

    name: str
    rank: int
    num_processes: int


def find_launcher(environment: Mapping[str, str] = os.environ) -> Launcher | None:
    """The launcher of this process, None for Lightning; by signs and in an order that are Lightning's own."""
    if "TORCHELASTIC_RUN_ID" in environment:
        return Launcher("torchrun", int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    if _in_slurm(environment) and "SLURM_PROCID" in environment:
        return Launcher("srun", int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"]))
    return None


def _in_slurm(environment: Mapping[str, str]) -> bool:
    interactive = environment.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "SLURM_NTASKS" in environment and not interactive  # else Lightning starts its own processes


def process_rank(environment: Mapping[str, str] = os.environ) -> int:
    """0 in the process that writes and prints, another number in all others of the run."""
    if launcher := find_launcher(environment):
        return launcher.rank
    return max(int(environment.get(name, 0)) for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def check_launch(num_nodes: object, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse what Lightning would trip over or wait for because no launcher has started this process.

    Raises:
        UserError: SLURM's tasks without srun, or several machines of which Lightning knows this one alone.
    """
    if find_launcher(environment):
        return
    if _in_slurm(environment):
        raise UserError(
            "this is a SLURM job, and srun has not started this process: put srun before the command, or set "
            "SLURM_JOB_NAME=interactive to have Lightning start the processes of this machine"
        )
    if num_nodes != 1 and not {"MASTER_ADDR", "NODE_RANK"} <= environment.keys():  # started by hand
        raise UserError(
            f"trainer.num_nodes={num_nodes}, and nothing starts the processes of the other machines: start "
            "the run with torchrun or srun, as docs/hardware.md shows"
        )


def check_num_processes(devices: int, num_nodes: int) -> None:
    """Lightning takes its own word for the number of processes, and would let each train a run of its own.

    Raises:
        UserError: the launcher has started another number of them.
    """
    launcher = find_launcher()
    if launcher and launcher.num_processes != devices * num_nodes:
        raise UserError(
            f"{launcher.name} has started {launcher.num_processes} processes, but trainer.devices={devices} "
            f"x trainer.num_nodes={num_nodes} is {devices * num_nodes}: make both alike, or in a SLURM job "
            "set SLURM_JOB_NAME=interactive to have Lightning start the processes of one machine"
        )
