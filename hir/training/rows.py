"""How many rows of an update each device takes at a time."""

from __future__ import annotations

from hir.config.schema import Config
from hir.errors import UserError


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
