"""How a run is spread over devices: who started its processes, its strategy, and the rows that each takes."""

import os
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import FSDPStrategy, StrategyRegistry
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision
from transformers.modeling_layers import GradientCheckpointingLayer

from hir.config.schema import Config
from hir.errors import UserError
from hir.methods.base import METHODS


def check_launch(num_nodes: object) -> None:
    """Refuse what Lightning would trip over or wait for because no launcher has started this process: SLURM's
    tasks without srun, and several machines of which Lightning knows this one alone; UserError.
    """
    if TorchElasticEnvironment.detect() or SLURMEnvironment.detect():
        if not {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"} & os.environ.keys():
            how = "put srun before the command, or set SLURM_JOB_NAME=interactive for this machine alone"
            raise UserError(f"in this SLURM job srun has not started this process: {how}")
    elif num_nodes != 1 and not {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys():  # started by hand
        how = "start the run with torchrun or srun, as docs/hardware.md shows"
        raise UserError(f"trainer.num_nodes={num_nodes}, but nothing starts the other machines: {how}")


def rows_per_device(config: Config, world_size: int) -> int:
    """Rows of a forward pass on one device: the most that it takes and that share out batch_size evenly.

    UserError where the devices cannot share it.
    """
    size = config.training.batch_size
    share, left = divmod(size, world_size)
    if left:
        raise UserError(f"training.batch_size={size} must be a multiple of the {world_size} devices")
    most = min(config.training.rows_per_device or share, share)
    return next(rows for rows in range(most, 0, -1) if share % rows == 0)


class BlockFSDP(FSDPStrategy):
    """Lightning's FSDP, each block of the transformer sharded by itself: one at a time is whole.

    Weights are gathered and gradients summed in float32, so that numbers are those of ddp; what is computed
    in bf16 is left to autocast. FSDP's own bf16 would round T5's residual stream, and the log-probabilities
    in a batch. Checkpoints are single files, as without sharding.
    """

    def __init__(self, **arguments: Any) -> None:
        # The class that transformers makes each block of a model from.
        blocks: set[type[nn.Module]] = {GradientCheckpointingLayer}
        super().__init__(auto_wrap_policy=blocks, mixed_precision=MixedPrecision(), **arguments)

    def setup_precision_plugin(self) -> None:
        super().setup_precision_plugin()
        # Lightning's own refuses, since it does not know the module whose shards make up the norm.
        self.precision_plugin.clip_grad_by_norm = self._clip_grad_by_norm  # type: ignore[method-assign]

    def _clip_grad_by_norm(self, optimizer: Any, clip_val: float) -> None:
        assert isinstance(self.model, FullyShardedDataParallel)
        self.model.clip_grad_norm_(clip_val)


StrategyRegistry.register("fsdp", BlockFSDP, override=True)


def choose_strategy(config: Config) -> str:
    """trainer.strategy; where it is not set, fsdp for a model that several devices are to share out.

    UserError where the run has what fsdp cannot.
    """
    name, devices = str(config.trainer.get("strategy") or "auto"), config.trainer.get("devices")
    if devices in (None, "auto", -1):
        devices = torch.cuda.device_count()
    alone = devices in (0, 1) or (isinstance(devices, list) and len(devices) == 1)
    if name == "auto" and config.model.shard and not (alone and config.trainer.get("num_nodes") in (None, 1)):
        name = "fsdp"
    if name.startswith(("ddp_spawn", "ddp_fork", "ddp_notebook")):
        raise UserError(f"trainer.strategy={name} starts processes that cannot take the run over: set ddp")
    if not name.startswith("fsdp"):
        return name
    asks = METHODS[config.method["name"]].asks_policy or (config.model.lora.r and config.method.get("kl"))
    if name not in ("fsdp", "fsdp_cpu") or asks or config.sampling.name not in ("t5", "causal"):
        needs = "needs trainer.strategy=fsdp, sampling=t5 or causal, no ppo, no adapters with method.kl"
        raise UserError(f"trainer.strategy={name} {needs}; or set trainer.strategy=ddp")
    return name
