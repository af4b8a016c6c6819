"""Trees of a decoder-only model by FlexAttention, on a GPU: train.py model.policy=examples.flex_attention

The dense mask of hir/policies/causal.py has a place for each pair of a tree's tokens; FlexAttention leaves
out blocks that no token reads. It has no gradients on a CPU. What it gains on a GPU stands in docs/causal.md.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from hir.policies.base import register
from hir.policies.causal import CausalPolicy


@register("flex_attention")
class FlexCausalPolicy(CausalPolicy):
    """A CausalPolicy, the same numbers; a family of models without FlexAttention is refused at loading."""

    attention = "flex_attention"

    def tree_mask(self, ends: Tensor) -> Any:
        return block_mask(ends) if ends.is_cuda else super().tree_mask(ends)

    def states(self, input_ids: Tensor, positions: Tensor, read: Any = None, **cache: Any) -> Tensor:
        # Sampling reads by dense masks: answers side by side are no tree.
        self.model.set_attn_implementation("flex_attention" if isinstance(read, BlockMask) else "sdpa")
        return super().states(input_ids, positions, read, **cache)


def block_mask(ends: Tensor) -> BlockMask:
    """The mask of ``CausalPolicy.tree_mask``, by blocks of 128 tokens, for trees with these ends (R, T)."""
    rows, size = ends.shape

    def reads(row: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (j <= i) & (i < ends[row, j])

    return create_block_mask(reads, rows, None, size, size, ends.device)
