"""Reads a run's checkpoint: plain containers and tensors only, and from the same configuration."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hir.config.load import find_checkpoint, to_dict
from hir.config.schema import Config
from hir.errors import UserError
from hir.policies.seq2seq import Seq2SeqPolicy

FIXED = ("seed", "task", "instructions", "model", "method", "sampling", "buffer", "training")
"""Parts of the configuration that a resumed run shares with the run it continues."""

OF_THE_HARDWARE = ("model.shard", "training.rows_per_device")
"""Keys of those parts in which it may differ."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint's contents, loaded with weights_only=True; tensors are read from the file when used.

    Raises:
        UserError: it is truncated, holds pickled code, or is no checkpoint of this project.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocol of a pickle that is refused anyway
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged file makes the reader fail in any way
        raise UserError(
            f"{path} is no readable checkpoint (truncated, or a pickle that would run code): "
            "give the last.ckpt of a run of this project"
        ) from error
    if not isinstance(checkpoint, dict) or "hir" not in checkpoint:
        raise UserError(f"{path} is no checkpoint of this project: give the last.ckpt of one of its runs")
    return checkpoint


def check_resume(config: Config) -> Path:
    """The checkpoint that ``config.resume`` names, fit to be continued under this configuration.

    Raises:
        UserError: it is from another configuration, finished, or unreadable.
    """
    folder, path = find_checkpoint(str(config.resume))
    checkpoint = read_checkpoint(path)
    saved, now = checkpoint["hir"]["config"], to_dict(config)
    sections = [(saved.get(name), now[name], name) for name in FIXED]
    tasks = [config["evaluation"]["tasks"] for config in (saved, now)]
    for before, after, name in [*sections, (*tasks, "evaluation.tasks")]:
        key = _difference(before, after, name)
        if key:
            raise UserError(
                f"resume={config.resume}: the checkpoint is from another configuration, {key}; "
                "resume with the run's own, or start a new run"
            )
    finished = checkpoint["epoch"] + 1
    if finished >= config.trainer["max_epochs"]:
        if not (folder / "summary.json").is_file():
            raise UserError(
                f"resume={config.resume}: the run has finished its {finished} iterations, but was killed "
                "before it wrote summary.json: get its accuracy by "
                f"`python -m hir evaluate run={config.resume}`, or raise trainer.max_epochs to go on"
            )
        raise UserError(
            f"resume={config.resume}: the run has finished its {finished} iterations; "
            "raise trainer.max_epochs to go on"
        )
    return path


def check_rows(config: Config, rows: Sequence[str]) -> None:
    """Refuse to go on with a run whose rows have changed since: what it was trained on may be tested on.

    Args:
        rows: fingerprints of the tasks, the run's own first.

    Raises:
        UserError: they are others than the checkpoint's; one from before there were any is taken.
    """
    saved = read_checkpoint(find_checkpoint(str(config.resume))[1])["hir"].get("rows", rows)
    names = (config.task.name, *config.evaluation.tasks)
    for name, before, now in zip(names, saved, rows, strict=True):
        if before != now:
            raise UserError(
                f"resume={config.resume}: the rows of task {name}, or their split, are others than those the "
                "run was trained on: restore them, or start a new run"
            )


def _difference(saved: Any, now: Any, key: str) -> str | None:
    """The first key in which two configurations differ, with both values."""
    if isinstance(saved, dict) and isinstance(now, dict):
        for name in {**now, **saved}:
            found = _difference(saved.get(name), now.get(name), f"{key}.{name}")
            if found:
                return found
        return None
    return None if saved == now or key in OF_THE_HARDWARE else f"{key} is {now!r} here and was {saved!r}"


def load_weights(policy: Seq2SeqPolicy, path: Path) -> None:
    """Put a run's trained weights into a policy of its configuration.

    Raises:
        UserError: the checkpoint is unreadable or of another model.
    """
    state = read_checkpoint(path)["state_dict"]
    # A method's own weights, such as a value head, are no part of the policy.
    policy_state = {name: weight for name, weight in state.items() if name.startswith("policy.")}
    weights = {name.removeprefix("policy."): weight for name, weight in policy_state.items()}
    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{path} holds the weights of another model: {str(error).splitlines()[0]}") from error
