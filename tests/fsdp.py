"""Run by test_launch.py: train.py with FSDP on a CPU, which Lightning refuses under its own name of it."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lightning.pytorch.strategies import StrategyRegistry, fsdp  # noqa: E402
from torch.distributed.fsdp import (  # noqa: E402
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    StateDictType,
)

from hir.training.devices import BlockFSDP  # noqa: E402
from train import main  # noqa: E402


def full_state_dict(model: Any, world_size: int, rank0_only: bool = True) -> AbstractContextManager[Any]:
    """Lightning's context but for the move to the CPU, which spoils weights and moments that are there."""
    return FullyShardedDataParallel.state_dict_type(
        model,
        StateDictType.FULL_STATE_DICT,
        FullStateDictConfig(offload_to_cpu=False, rank0_only=rank0_only),
        FullOptimStateDictConfig(offload_to_cpu=False, rank0_only=rank0_only),
    )


class OnCPU(BlockFSDP):
    def _setup_model(self, model: Any) -> FullyShardedDataParallel:
        """Lightning's, but that FSDP takes a CPU only where it is told to."""
        precision = self.mixed_precision_config
        return FullyShardedDataParallel(
            model, None, mixed_precision=precision, device_id=self.root_device, **self.kwargs
        )


fsdp._get_full_state_dict_context = full_state_dict
StrategyRegistry.register("fsdp_cpu", OnCPU)
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
