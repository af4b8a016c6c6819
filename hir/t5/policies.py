"""T5 where all outputs to a prompt share one row of the decoder, and a batch is cut into rows of like length.

The numbers are those of the plain policy; the benchmark says what it saves.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import NewGELUActivation
from transformers.models.t5.modeling_t5 import T5LayerNorm

from hir.policies.base import Batch, Output, buckets, padded, register, row_tensors, token_mask
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import TrainingExample
from hir.t5.packing import ATTENTION, Shared, pack


@register("t5")
class PackedT5Policy(Seq2SeqPolicy):
    """A Seq2SeqPolicy for the T5 family, same numbers, fewer tokens through the decoder."""

    attention: ClassVar[str | None] = ATTENTION

    def __init__(self, model: Any, tokenizer: Any, max_input_tokens: int) -> None:
        super().__init__(model, tokenizer, max_input_tokens)
        # Layers with fewer passes through memory in place of transformers' own, which write them out.
        for module in model.modules():
            if isinstance(getattr(module, "act", None), NewGELUActivation):
                module.act = nn.GELU(approximate="tanh")  # FLAN-T5's
            elif type(module) is T5LayerNorm:
                module.__class__ = RMSNorm

    def collate(self, rows: Sequence[TrainingExample]) -> dict[str, Any]:
        """A batch of B rows under K instructions, the rows' own first, on the CPU; a prompt is in it once.

        ``input_ids``, the P prompts by length, in buckets (P_i, S_i) of like length; ``attention_mask``
        (P, S); ``packs``, what the decoder reads; ``places`` (K, N), where the N trained tokens stand among
        its states; and what methods read.
        """
        cut = not self.sharded
        prompts = self.prompts_of(rows)
        encoded = dict(zip(prompts, self.encode(prompts), strict=True))
        by_length = dict(sorted(encoded.items(), key=lambda pair: len(pair[1])))
        number = {prompt: i for i, prompt in enumerate(by_length)}
        inputs = [[self.start_id, *row.prefix_ids, *row.output_ids[:-1]] for row in rows]
        copies = len(prompts) // len(rows)
        packs, starts = pack(inputs * copies, [number[prompt] for prompt in prompts], self.pad_id, cut)
        # Where the trained tokens stand in the input of their row.
        trained = [range(len(row.prefix_ids), len(ids)) for row, ids in zip(rows, inputs, strict=True)]
        places = [start + i for n, start in enumerate(starts) for i in trained[n % len(rows)]]
        return {
            "input_ids": [padded(bucket, self.pad_id) for bucket in buckets(list(by_length.values()), cut)],
            "attention_mask": token_mask(list(by_length.values())),
            "packs": packs,
            "places": torch.tensor(places).view(copies, -1),
            **row_tensors(rows),
        }

    def forward(self, batch: Batch) -> Output:
        """Each prompt is encoded once; logits are made for trained tokens alone."""
        mask = batch["attention_mask"]
        states, masks = [], mask.split([len(bucket) for bucket in batch["input_ids"]])
        for bucket, bucket_mask in zip(batch["input_ids"], masks, strict=True):
            length = bucket.shape[1]
            encoded = self._encode(bucket, bucket_mask[:, :length], shared=Shared())
            states.append(F.pad(encoded, (0, 0, 0, mask.shape[1] - length)))
        prompts, decoded = torch.cat(states), []
        for packs in batch["packs"]:
            chosen = prompts[packs.prompts], mask[packs.prompts]
            shared = Shared(packs.segments)
            decoded.append(self._decode(packs.input_ids, *chosen, shared=shared).flatten(0, 1))
        hidden = torch.cat(decoded)[batch["places"]]
        return Output(self._logits(hidden), hidden)


class RMSNorm(T5LayerNorm):
    """T5's norm, the same numbers, with a backward pass of its own: fewer passes through memory."""

    def forward(self, hidden: Tensor) -> Tensor:
        normed: Tensor = _RMSNorm.apply(hidden, self.weight, self.variance_epsilon)
        return normed


class _RMSNorm(torch.autograd.Function):
    """y = x w / rms(x). With u = x / rms(x) and h = g w: dx = (h - u mean(h u)) / rms(x), dw = sum(g u)."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        ctx.dtype = hidden.dtype
        hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        scale = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).square_()
        scale = scale.div_(hidden.shape[-1]).add_(epsilon).rsqrt_()
        unit = hidden * scale
        ctx.save_for_backward(unit, scale, weight)
        normed: Tensor = unit * weight
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        unit, scale, weight = ctx.saved_tensors
        inner = gradient * weight
        along = (inner * unit).mean(-1, keepdim=True)
        of_hidden = inner.addcmul_(unit, along, value=-1).mul_(scale)
        of_weight = (gradient * unit).flatten(0, -2).sum(0)
        return of_hidden.to(ctx.dtype), of_weight.to(weight.dtype), None
