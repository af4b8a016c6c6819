"""Run by test_t5.py in two processes, which hold a share of the weights each."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from transformers.models.t5.modeling_t5 import T5Block

from hir.config.schema import SamplingConfig
from hir.t5.sampling import T5Sampler
from tests.sampling.models import make_policy, make_prompts


def compare(rank: int, rendezvous: str) -> None:
    """Greedy answers with and without sharding; block by block as by Lightning, all else with the root."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    policy, other = make_policy("flan"), make_policy("flan", seed=1)
    prompts = make_prompts(policy, [3, 10, 30])
    expected = [T5Sampler(either, SamplingConfig(), 4).greedy(prompts) for either in (policy, other)]
    assert expected[0] != expected[1]
    sampler = T5Sampler(policy, SamplingConfig(), 4)
    root = FullyShardedDataParallel(
        nn.ModuleDict({"policy": policy}),  # where a LightningModule is in a run
        auto_wrap_policy=ModuleWrapPolicy({T5Block}),
        use_orig_params=True,
        device_id=torch.device("cpu"),
    )
    policy.set_root(root)
    assert policy.sharded and not other.sharded
    assert sum(weight.numel() for weight in root.parameters()) < sum(w.numel() for w in other.parameters())
    assert sampler.greedy(prompts) == expected[0]
    with FullyShardedDataParallel.summon_full_params(root), torch.no_grad():
        for weight, new in zip(policy.parameters(), other.parameters(), strict=True):
            weight.copy_(new)
    assert sampler.greedy(prompts) == expected[1]
    dist.destroy_process_group()
