"""FiniteNumbers: ends a run whose loss, gradient or weights are no numbers, before they are saved."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.nn.utils import get_total_norm

from hir.errors import UserError


class FiniteNumbers(Callback):
    """Looks at each batch's loss and gradient, and at the weights that an iteration ends with.

    A step with such a gradient has been made by then; the last checkpoint is from before it.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        weights = [weight for weight in pl_module.parameters() if weight.requires_grad]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        numbers = {**outputs, "gradient norm": get_total_norm(gradients)}
        if trainer.is_last_batch:
            numbers["norm of weights"] = get_total_norm([weight.detach() for weight in weights])
        # One look at the device for all of them.
        looked_at = torch.stack([value.float().to(pl_module.device) for value in numbers.values()])
        if not looked_at.isfinite().all():
            broken = [f"{name} {float(value)}" for name, value in numbers.items() if not value.isfinite()]
            raise UserError(
                f"iteration {trainer.current_epoch + 1}, update {trainer.global_step}: {', '.join(broken)}. "
                "Nothing of this iteration is kept. Try a lower training.lr, or trainer.gradient_clip_val=1.0"
            )
