"""HIRModule: the LightningModule around a policy, a method and the online sampling hook."""

from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import AdamW
from torch.optim.lr_scheduler import LinearLR

from hir.config.schema import Config
from hir.errors import UserError
from hir.policies.base import Batch
from hir.randomness import derive_seed
from hir.sampling.base import Sampler
from hir.training.datamodule import HIRDataModule, SamplingReport


class HIRModule(LightningModule):
    """Algorithm 1 in Lightning's terms: on_train_epoch_start samples and relabels, training_step learns.

    ``rows`` are fingerprints of the tasks, the run's own first, for its checkpoints.
    """

    def __init__(self, config: Config, datamodule: HIRDataModule, sampler: Sampler, rows: list[str]) -> None:
        super().__init__()
        self.config, self.datamodule, self.sampler, self.rows = config, datamodule, sampler, rows
        self.policy, self.method = datamodule.policy, datamodule.method
        self.report: SamplingReport | None = None
        """What the current iteration's sampling brought."""

    def on_fit_start(self) -> None:
        self.policy.root = (self.trainer.strategy.model,)

    def on_train_epoch_start(self) -> None:
        iteration = self.current_epoch
        # Hooks run outside the precision plugin's autocast.
        with self.trainer.precision_plugin.forward_context():
            self.report = self.datamodule.regenerate(self.sampler, iteration)
        # A module that was loaded in eval mode would stay in it during fit.
        self.policy.train()
        torch.manual_seed(derive_seed(self.config.seed, iteration, self.global_rank, "training"))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> int | None:
        """-1, which ends the epoch, on all ranks where there is nothing to train on."""
        return None if self.datamodule.plan else -1

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        loss, terms = self.method.loss(self.policy, batch)
        terms = {"loss": loss, **terms}
        means = {f"train/{name}": value.detach() for name, value in terms.items()}
        rows = len(batch["weights"])
        # No logger: the recorder logs an iteration's row.
        self.log_dict(means, logger=False, on_step=False, on_epoch=True, batch_size=rows, sync_dist=True)
        return terms

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """UserError where the loss, the gradient or an iteration's last weights are no numbers.

        A step with such a gradient has been made by then; the last checkpoint is from before it.
        """
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        numbers = {**outputs, "gradient norm": get_total_norm(gradients)}
        if self.trainer.is_last_batch:
            numbers["norm of weights"] = get_total_norm([weight.detach() for weight in weights])
        # One look at the device for all of them.
        looked_at = torch.stack([value.float().to(self.device) for value in numbers.values()])
        if not looked_at.isfinite().all():
            broken = [f"{name} {float(value)}" for name, value in numbers.items() if not value.isfinite()]
            where = f"iteration {self.current_epoch + 1}, update {self.global_step}"
            how = "Try a lower training.lr, or trainer.gradient_clip_val=1.0"
            raise UserError(f"{where}: {', '.join(broken)}. Nothing of this iteration is kept. {how}")

    def configure_optimizers(self) -> Any:
        training = self.config.training
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        # Lightning refuses to clip gradients of a fused optimizer under mixed precision.
        mixed = isinstance(self.trainer.precision_plugin, MixedPrecision)
        fused = not (mixed and self.trainer.gradient_clip_val)
        optimizer = AdamW(weights, training.lr, weight_decay=training.weight_decay, fused=fused)
        if training.final_lr is None:
            return optimizer
        # Counted here: Lightning's own estimate would build the loader before there is any data.
        total = max(1, self.datamodule.num_updates * int(self.config.trainer["max_epochs"]) - 1)
        schedule = LinearLR(optimizer, 1.0, training.final_lr / training.lr, total_iters=total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hir"] = {"config": asdict(self.config), "rows": self.rows}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where rows have changed since: what was trained on may be tested on."""
        if checkpoint["hir"]["rows"] != self.rows:
            told = "a task's rows, or their split, are others than in training"
            raise UserError(f"resume={self.config.resume}: {told}: restore them, or start a new run")
