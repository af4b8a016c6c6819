"""`trainer.strategy=fsdp` as a T5 needs it, when it is taken, and what cannot run under it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from lightning.pytorch.plugins.precision import FSDPPrecision
from lightning.pytorch.strategies import FSDPStrategy, StrategyRegistry
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision
from torch.distributed.fsdp.wrap import lambda_auto_wrap_policy

from hir.config.schema import Config
from hir.errors import UserError
from hir.methods.base import METHODS


class BlockFSDP(FSDPStrategy):
    """Lightning's FSDP, each block of the transformer sharded by itself: one at a time is whole.

    Weights are gathered and gradients summed in float32, so that numbers are those of ddp; what is computed
    in bf16 is left to autocast. FSDP's own bf16 would round T5's residual stream, and the log-probabilities
    in a batch. Checkpoints are single files, as without sharding. Gradients can be clipped by their norm,
    which Lightning's own refuses. Runs on a CPU too, for tests.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(mixed_precision=MixedPrecision(), state_dict_type="full", **arguments)

    def _setup_model(self, model: nn.Module) -> nn.Module:
        blocks = {name for part in model.modules() for name in getattr(part, "_no_split_modules", None) or ()}
        return FullyShardedDataParallel(
            model,
            auto_wrap_policy=partial(
                lambda_auto_wrap_policy, lambda_fn=lambda part: type(part).__name__ in blocks
            ),
            mixed_precision=self.mixed_precision_config,
            cpu_offload=self.cpu_offload,
            device_id=self.root_device,
            **self.kwargs,
        )

    @property
    def precision_plugin(self) -> FSDPPrecision:
        return super().precision_plugin

    @precision_plugin.setter
    def precision_plugin(self, plugin: Any) -> None:
        self._precision_plugin = plugin and BlockPrecision(plugin.precision, self)


class BlockPrecision(FSDPPrecision):
    """What ``BlockFSDP`` leaves to its precision plugin."""

    def __init__(self, precision: Any, strategy: FSDPStrategy) -> None:
        super().__init__(precision)
        self.strategy = strategy

    def forward_context(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16-mixed":
            return torch.autocast(self.strategy.root_device.type, torch.bfloat16)
        return super().forward_context()

    def clip_grad_by_norm(self, optimizer: Any, clip_val: float = 0.0) -> None:
        assert isinstance(self.strategy.model, FullyShardedDataParallel)
        self.strategy.model.clip_grad_norm_(clip_val)


StrategyRegistry.register("fsdp", BlockFSDP, override=True)


def choose_strategy(config: Config) -> str:
    """trainer.strategy; where it is not set, fsdp for a model that several devices are to share out.

    Raises:
        UserError: a run under that strategy would fail, hang or lose something.
    """
    trainer = config.trainer
    name = str(trainer.get("strategy") or "auto")
    if name == "auto" and config.model.shard and _several(trainer.get("devices"), trainer.get("num_nodes")):
        name = "fsdp"
    if any(way in name for way in ("spawn", "fork", "notebook")):
        raise UserError(
            f"trainer.strategy={name} is not supported, since a run cannot be sent to a process that has "
            "not built it: set ddp"
        )
    if not name.startswith("fsdp"):
        return name
    if name not in ("fsdp", "fsdp_cpu"):
        raise UserError(f"trainer.strategy={name} is not supported: set fsdp")
    if getattr(METHODS[config.method["name"]], "asks_policy", False):
        raise UserError(
            f"method={config.method['name']} asks the policy between updates, when no device holds it whole "
            f"with trainer.strategy={name}: set trainer.strategy=ddp"
        )
    if config.sampling.name != "t5":
        raise UserError(
            f"sampling={config.sampling.name} needs the whole model on each device, and trainer.strategy="
            f"{name} shares it out: set sampling=t5, or trainer.strategy=ddp"
        )
    if config.training.compile:
        raise UserError(f"training.compile does not go with trainer.strategy={name}: set it to false")
    return name


def _several(devices: Any, num_nodes: Any) -> bool:
    """Whether these arguments of Lightning's Trainer mean more devices than one."""
    if devices in (None, "auto", -1):
        devices = torch.cuda.device_count()
    return num_nodes not in (None, 1) or (devices if isinstance(devices, int) else len(devices)) > 1
