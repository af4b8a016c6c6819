"""`trainer.strategy=fsdp` as a T5 needs it, when it is taken, and what cannot run under it."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.strategies import FSDPStrategy, StrategyRegistry
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision
from transformers.modeling_layers import GradientCheckpointingLayer

from hir.config.schema import Config
from hir.errors import UserError
from hir.methods.base import METHODS


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

    Raises:
        UserError: what a run under fsdp cannot have is set.
    """
    trainer = config.trainer
    name = str(trainer.get("strategy") or "auto")
    if name == "auto" and config.model.shard and _several(trainer.get("devices"), trainer.get("num_nodes")):
        name = "fsdp"
    if not name.startswith("fsdp"):
        return name
    asks = METHODS[config.method["name"]].asks_policy
    if name not in ("fsdp", "fsdp_cpu") or asks or config.sampling.name != "t5" or config.training.compile:
        raise UserError(
            f"trainer.strategy={name} shares the model out: it must be fsdp, with sampling=t5 and without "
            "method=ppo and training.compile; or set trainer.strategy=ddp"
        )
    return name


def _several(devices: Any, num_nodes: Any) -> bool:
    """Whether these arguments of Lightning's Trainer mean more devices than one."""
    if devices in (None, "auto", -1):
        devices = torch.cuda.device_count()
    return num_nodes not in (None, 1) or (devices if isinstance(devices, int) else len(devices)) > 1
