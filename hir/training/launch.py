"""Who started a run's processes, as the environment says, and whether that goes with trainer.*."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hir.errors import UserError


def find_launcher(environment: Mapping[str, str] = os.environ) -> tuple[str, int] | None:
    """The program that started all processes of a run, and their number; None where Lightning starts them.

    By signs and in an order that are Lightning's own.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return "torchrun", int(environment["WORLD_SIZE"])
    if _in_slurm(environment) and "SLURM_PROCID" in environment:
        return "srun", int(environment["SLURM_NTASKS"])
    return None


def _in_slurm(environment: Mapping[str, str]) -> bool:
    interactive = environment.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "SLURM_NTASKS" in environment and not interactive  # else Lightning starts its own processes


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
    name, number = find_launcher() or ("", devices * num_nodes)
    if number != devices * num_nodes:
        raise UserError(
            f"{name} has started {number} processes, but trainer.devices={devices} x trainer.num_nodes="
            f"{num_nodes} is {devices * num_nodes}: make both alike, or in a SLURM job set "
            "SLURM_JOB_NAME=interactive to have Lightning start the processes of one machine"
        )
