"""The processes of a run: which one this is, and what each has of rows that all share."""

from collections.abc import Sequence
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


def rank() -> int:
    """Number of this process, 0 where there is one alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def shard(rows: Sequence[T]) -> list[T]:
    """This rank's rows: every world_size-th."""
    return list(rows[rank() :: world_size()])


def gather(rows: list[T]) -> list[T]:
    """The rows of all ranks, in the order that ``shard`` dealt them out."""
    if world_size() == 1:
        return rows
    shares: list[list[T]] = [[] for _ in range(world_size())]
    dist.all_gather_object(shares, rows)
    return [share[i] for i in range(len(shares[0])) for share in shares if i < len(share)]
