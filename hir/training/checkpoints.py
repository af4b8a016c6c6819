"""Writes a run's checkpoint whole, and reads it: plain containers and tensors only."""

import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from hir.config.load import flat
from hir.config.schema import Config
from hir.errors import UserError
from hir.files import find_checkpoint, replacing
from hir.policies.base import Policy

FIXED = """seed task. instructions. model. feedback. relabel. method. sampling. buffer. training.
    evaluation.tasks trainer.gradient_clip""".split()
"""What the keys begin with that a resumed run shares with the run it continues."""

OF_THE_HARDWARE = """model.shard training.rows_per_device training.rank_timeout feedback.device
    feedback.batch_size feedback.max_calls feedback.timeout feedback.retries feedback.concurrency""".split()
"""Those of them in which it may differ."""


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, once the disk has it.

    Lightning's own takes it through memory and the system's temporary folder, which may be a small one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(Path(path)) as file:
            torch.save(checkpoint, file)


class LastCheckpoint(Checkpoint):
    """Writes ``path`` after each iteration, in place of the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint(self.path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint's contents, loaded with weights_only=True; tensors are read from the file when used.

    UserError where it is damaged, holds pickled code, or was not written by this project.
    """
    try:
        assert path.is_file()
        with zipfile.ZipFile(path) as archive:  # torch itself compares no checksums
            stored = all(part.compress_type == zipfile.ZIP_STORED for part in archive.infolist())
            assert stored and archive.testzip() is None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocol of a pickle that is refused anyway
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        assert {"hir", "epoch", "state_dict"} <= checkpoint.keys()
    except Exception as error:  # a damaged file makes the reader fail in any way
        what = "no readable checkpoint of this project, but damaged, or a pickle that would run code"
        raise UserError(f"{path} is {what}: give the last.ckpt of a run") from error
    return checkpoint


def check_resume(config: Config) -> Path:
    """The checkpoint that ``config.resume`` names, fit to be continued under this configuration.

    UserError where it is from another configuration, finished, or unreadable.
    """
    folder, path = find_checkpoint(str(config.resume))
    checkpoint = read_checkpoint(path)
    saved, now = flat(checkpoint["hir"]["config"]), flat(asdict(config))
    saved = {**flat(asdict(Config())), **saved}  # keys that are newer than the run
    for key in {**now, **saved}:
        before, after = saved.get(key), now.get(key)
        if key.startswith(tuple(FIXED)) and key not in OF_THE_HARDWARE and before != after:
            change = f"{key} is {after!r} here and was {before!r}"
            raise UserError(f"resume={config.resume}: {change}: leave it as it was, or start a new run")
    finished, wanted = checkpoint["epoch"] + 1, config.trainer["max_epochs"]
    # One that was killed after its last iteration lacks its last test.
    if finished > wanted or (finished == wanted and (folder / "summary.json").exists()):
        told = f"the run has finished its {finished} iterations: raise trainer.max_epochs to go on"
        raise UserError(f"resume={config.resume}: {told}")
    return path


def load_weights(policy: Policy, path: Path) -> None:
    """Put a run's trained weights into a policy of its configuration; UserError if they cannot be read."""
    state = read_checkpoint(path)["state_dict"]
    own = "policy."  # a method's own weights, such as a value head, are no part of the policy
    policy.load_state_dict({name.removeprefix(own): state[name] for name in state if name.startswith(own)})
