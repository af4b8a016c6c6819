"""Seq2SeqPolicy: an encoder-decoder model as a policy.

Everything that knows an encoder and a decoder is here, in load.py and in hir/t5/: methods see logits.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hir.policies.base import Batch, Output, Policy, padded, register, row_tensors, token_mask
from hir.records import TrainingExample


@register("seq2seq")
class Seq2SeqPolicy(Policy):
    """A Policy of an encoder-decoder language model; ``max_input_tokens`` is what its encoder takes."""

    def __init__(self, model: Any, tokenizer: Any, max_input_tokens: int = 512) -> None:
        super().__init__(model, tokenizer, max_input_tokens)
        self.start_id: int = getattr(model.config, "decoder_start_token_id", -1)

    def collate(self, rows: Sequence[TrainingExample]) -> dict[str, Any]:
        """A batch of B rows under K instructions, the rows' own first, on the CPU; a prompt is in it once.

        ``input_ids`` and ``attention_mask`` (P, S), the prompts; ``prompts`` (K, B), the number of that which
        a row reads; ``decoder_input_ids`` (B, T); ``places`` (N,), where the trained tokens stand in B * T;
        and what methods read.
        """
        prompts = self.prompts_of(rows)
        distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
        encoded = self.encode(list(distinct))
        inputs = [[self.start_id, *row.prefix_ids, *row.output_ids[:-1]] for row in rows]
        width = max(map(len, inputs))
        trained = [range(len(row.prefix_ids), len(ids)) for row, ids in zip(rows, inputs, strict=True)]
        return {
            "input_ids": padded(encoded, self.pad_id),
            "attention_mask": token_mask(encoded),
            "prompts": torch.tensor([distinct[prompt] for prompt in prompts]).view(-1, len(rows)),
            "decoder_input_ids": padded(inputs, self.pad_id),
            "places": torch.tensor([b * width + i for b, places in enumerate(trained) for i in places]),
            **row_tensors(rows),
        }

    def decode(self, ids: Sequence[int]) -> str:
        """Without a start token at its head, too: BART writes one."""
        return super().decode(ids[[*ids[:1]] == [self.tokenizer.bos_token_id] :])

    def forward(self, batch: Batch) -> Output:
        """Each prompt is encoded once; logits are made for trained tokens alone."""
        encoded = self._encode(batch["input_ids"], batch["attention_mask"])
        number, inputs = batch["prompts"].flatten(), batch["decoder_input_ids"]
        copies = len(batch["prompts"])
        decoded = self._decode(inputs.repeat(copies, 1), encoded[number], batch["attention_mask"][number])
        hidden = decoded.view(copies, inputs.numel(), -1)[:, batch["places"]]
        return Output(self._logits(hidden), hidden)

    def _encode(self, input_ids: Tensor, mask: Tensor, **arguments: Any) -> Tensor:
        """Hidden states (P, S, D) of prompts (P, S)."""
        hidden: Tensor = self.model.get_encoder()(input_ids=input_ids, attention_mask=mask, **arguments)[0]
        return hidden

    def _decode(self, input_ids: Tensor, encoded: Tensor, mask: Tensor, **arguments: Any) -> Tensor:
        """Hidden states (R, T, D) of the decoder for its input (R, T) and each row's prompt (R, S, D)."""
        arguments |= {"encoder_hidden_states": encoded, "encoder_attention_mask": mask, "use_cache": False}
        hidden: Tensor = self.model.get_decoder()(input_ids=input_ids, **arguments)[0]
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V), as the model's own forward ends."""
        config = self.model.config
        if getattr(config, "scale_decoder_outputs", False):
            hidden = hidden * config.d_model**-0.5
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        bias = getattr(self.model, "final_logits_bias", None)  # BART's
        return logits if bias is None else logits + bias
