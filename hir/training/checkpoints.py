"""Reads a run's checkpoint: plain containers and tensors only, and from the same configuration."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hir.config.load import flat
from hir.config.schema import Config
from hir.errors import UserError
from hir.files import find_checkpoint
from hir.policies.seq2seq import Seq2SeqPolicy

FIXED = "seed task. instructions. model. method. sampling. buffer. training. evaluation.tasks".split()
"""What the keys begin with that a resumed run shares with the run it continues."""

OF_THE_HARDWARE = ("model.shard", "training.rows_per_device", "training.rank_timeout")
"""Those of them in which it may differ."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint's contents, loaded with weights_only=True; tensors are read from the file when used.

    Raises:
        UserError: it is truncated, holds pickled code, or is no checkpoint of this project.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocol of a pickle that is refused anyway
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        assert "hir" in checkpoint
    except Exception as error:  # a damaged file makes the reader fail in any way
        raise UserError(
            f"{path} is no readable checkpoint of this project (truncated, or a pickle that would run "
            "code): give the last.ckpt of a run"
        ) from error
    return checkpoint


def check_resume(config: Config) -> Path:
    """The checkpoint that ``config.resume`` names, fit to be continued under this configuration.

    Raises:
        UserError: it is from another configuration, finished, or unreadable.
    """
    _, path = find_checkpoint(str(config.resume))
    checkpoint = read_checkpoint(path)
    saved, now = flat(checkpoint["hir"]["config"]), flat(asdict(config))
    for key in {**now, **saved}:
        before, after = saved.get(key), now.get(key)
        if key.startswith(tuple(FIXED)) and key not in OF_THE_HARDWARE and before != after:
            raise UserError(
                f"resume={config.resume}: the checkpoint is from another configuration, {key} is {after!r} "
                f"here and was {before!r}; resume with the run's own, or start a new run"
            )
    finished = checkpoint["epoch"] + 1
    if finished >= config.trainer["max_epochs"]:
        raise UserError(
            f"resume={config.resume}: the run has finished its {finished} iterations; raise "
            f"trainer.max_epochs to go on, or `python -m hir evaluate run={config.resume}`"
        )
    return path


def check_rows(config: Config, rows: Sequence[str]) -> None:
    """Refuse to go on with a run whose rows have changed since: what it was trained on may be tested on.

    Args:
        rows: fingerprints of the tasks, the run's own first.

    Raises:
        UserError: they are others than the checkpoint's.
    """
    saved = read_checkpoint(find_checkpoint(str(config.resume))[1])["hir"].get("rows", rows)
    names = (config.task.name, *config.evaluation.tasks)
    for name, before, now in zip(names, saved, rows, strict=True):
        if before != now:
            raise UserError(
                f"resume={config.resume}: the rows of task {name}, or their split, are others than those the "
                "run was trained on: restore them, or start a new run"
            )


def load_weights(policy: Seq2SeqPolicy, path: Path) -> None:
    """Put a run's trained weights into a policy of its configuration; UserError if they cannot be read."""
    state = read_checkpoint(path)["state_dict"]
    own = "policy."  # a method's own weights, such as a value head, are no part of the policy
    policy.load_state_dict({name.removeprefix(own): state[name] for name in state if name.startswith(own)})
