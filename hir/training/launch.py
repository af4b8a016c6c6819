"""Who started a run's processes, as Lightning sees it, and whether that goes with trainer.*."""

from __future__ import annotations

import os

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from hir.errors import UserError


def _launcher() -> type[TorchElasticEnvironment] | type[SLURMEnvironment] | None:
    """Lightning's name for torchrun or srun; None where Lightning is to start the processes."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment
    return SLURMEnvironment if SLURMEnvironment.detect() else None


def check_launch(num_nodes: object) -> None:
    """Refuse what Lightning would trip over or wait for because no launcher has started this process.

    Raises:
        UserError: SLURM's tasks without srun, or several machines of which Lightning knows this one alone.
    """
    if _launcher():
        if not {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"} & os.environ.keys():
            raise UserError(
                "this is a SLURM job, and srun has not started this process: put srun before the command, or "
                "set SLURM_JOB_NAME=interactive to have Lightning start the processes of this machine"
            )
    elif num_nodes != 1 and not {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys():  # started by hand
        raise UserError(
            f"trainer.num_nodes={num_nodes}, and nothing starts the processes of the other machines: start "
            "the run with torchrun or srun, as docs/hardware.md shows"
        )


def check_num_processes(devices: int, num_nodes: int) -> None:
    """Lightning takes its own word for the number of processes, and would let each train a run of its own.

    Raises:
        UserError: the launcher has started another number of them.
    """
    launcher = _launcher()
    if launcher and (number := launcher().world_size()) != devices * num_nodes:
        raise UserError(
            f"{number} processes were started, but trainer.devices={devices} x "
            f"trainer.num_nodes={num_nodes} is {devices * num_nodes}: make both alike, or in a SLURM job set "
            "SLURM_JOB_NAME=interactive to have Lightning start the processes of one machine"
        )
