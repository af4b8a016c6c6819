"""How the rows of an iteration's plan are dealt out to devices and forward passes."""

from __future__ import annotations

from hir.config.schema import Config
from hir.errors import UserError


def blocks(total: int, size: int, rank: int, world_size: int) -> list[int]:
    """A rank's numbers below ``total``: every world_size-th block of ``size``; neighbours stay together.

    ``total`` is a multiple of ``size * world_size``: every number has one rank, and each rank has as many.
    """
    starts = range(rank * size, total, world_size * size)
    return [start + i for start in starts for i in range(size)]


def rows_per_device(config: Config, world_size: int) -> int:
    """Rows of a forward pass on one device: the most that it takes and that share out batch_size evenly.

    Raises:
        UserError: the devices cannot share batch_size.
    """
    share, left = divmod(config.training.batch_size, world_size)
    if left or not share:
        raise UserError(
            f"training.batch_size={config.training.batch_size} cannot be shared by {world_size} devices; "
            f"make it a multiple of {world_size}"
        )
    most = min(config.training.rows_per_device or share, share)
    return next(rows for rows in range(most, 0, -1) if share % rows == 0)
