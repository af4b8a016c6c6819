"""Seq2SeqPolicy: a sequence-to-sequence model as methods and samplers see it, from text to logits and back.

Everything that knows an encoder and a decoder is here, in load.py and in hir/sampling/: methods see logits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from hir.policies.base import Batch, Output
from hir.policies.escape import TextEscape
from hir.records import TOKEN_VALUES, TrainingExample
from hir.relabel.correctness import render_prompt
from hir.t5 import attention
from hir.t5.packing import MAX_PACK, Packs, buckets, pack, padded, token_mask

MAX_CACHED_PROMPTS = 20_000
SCORED_ROWS = 128


class Seq2SeqPolicy(nn.Module):
    """An encoder-decoder language model and its tokenizer.

    Args:
        model: transformers model, float32.
        tokenizer: its tokenizer.
        max_input_tokens: longest prompt the encoder takes. A longer one loses tokens in its middle, so that
            the instruction at its start and the question with the answer cue at its end stay.
    """

    def __init__(self, model: Any, tokenizer: Any, max_input_tokens: int = 512) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.text = TextEscape(tokenizer)
        self.max_input_tokens = max_input_tokens
        self.cuts_batches = True
        """False: a batch is one bucket, so that each layer is called once for it, on all devices alike."""
        self._encoded: dict[str, list[int]] = {}  # a prompt is trained on in many batches
        self.pad_id: int = model.config.pad_token_id
        self.eos_id: int = model.config.eos_token_id
        self.start_id: int = model.config.decoder_start_token_id

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def hidden_size(self) -> int:
        """Width D of the decoder's states."""
        return int(self.model.config.hidden_size)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text, end token last, whatever their number."""
        if not texts:  # which the tokenizer does not take
            return []
        escaped = [self.text.escape(text) for text in texts]
        ids: list[list[int]] = self.tokenizer(escaped, verbose=False)["input_ids"]
        return ids

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Tokens of each prompt, end token last, at most ``max_input_tokens``."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._encoded]
        if len(self._encoded) + len(new) > MAX_CACHED_PROMPTS:
            self._encoded.clear()
            new = list(dict.fromkeys(prompts))
        self._encoded.update(zip(new, map(self._fit, self.token_ids(new)), strict=True))
        return [self._encoded[prompt] for prompt in prompts]

    def _fit(self, ids: list[int]) -> list[int]:
        excess = len(ids) - self.max_input_tokens
        if excess <= 0:
            return ids
        head = self.max_input_tokens // 2
        return ids[:head] + ids[head + excess :]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of an answer's tokens, without special tokens and outer spaces."""
        return self.text.unescape(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """Tokens that a perfect policy would have sampled for ``text``, end token last."""
        return tuple(self.token_ids([text])[0])

    def pad(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """``input_ids`` and ``attention_mask`` on the policy's device, padded on the right, each (B, S)."""
        return padded(sequences, self.pad_id).to(self.device), token_mask(sequences).to(self.device)

    def collate(self, rows: Sequence[TrainingExample]) -> dict[str, Any]:
        """A batch of B rows under K instructions, the rows' own first, on the CPU; a prompt is in it once.

        ``input_ids``, the P prompts by length, in buckets (P_i, S_i) of like length; ``attention_mask``
        (P, S); ``packs``, what the decoder reads; ``places`` (K, N), where the N trained tokens stand among
        its states; and what methods read: ``labels`` and ``rows`` (N,), ``weights`` and ``correct`` (B,),
        and the rows' values a token.
        """
        prompts = [
            render_prompt(instruction, row.query, row.prompt_suffix)
            for instructions in zip(*((row.instruction, *row.contrast) for row in rows), strict=True)
            for instruction, row in zip(instructions, rows, strict=True)
        ]
        distinct = list(dict.fromkeys(prompts))
        ids = dict(zip(distinct, self.encode(distinct), strict=True))
        distinct.sort(key=lambda prompt: len(ids[prompt]))
        number = {prompt: i for i, prompt in enumerate(distinct)}
        encoded = [ids[prompt] for prompt in distinct]
        inputs = [[self.start_id, *row.prefix_ids, *row.output_ids[:-1]] for row in rows]
        packs, starts = pack(
            inputs * (len(prompts) // len(rows)),
            [number[prompt] for prompt in prompts],
            self.pad_id,
            MAX_PACK if self._packs_outputs else 0,
            self.cuts_batches,
        )
        # Where the trained tokens stand in the input of their row.
        trained = [range(len(row.prefix_ids), len(ids)) for row, ids in zip(rows, inputs, strict=True)]
        return {
            "input_ids": [padded(bucket, self.pad_id) for bucket in buckets(encoded, self.cuts_batches)],
            "attention_mask": token_mask(encoded),
            "packs": packs,
            "places": torch.tensor(
                [start + i for n, start in enumerate(starts) for i in trained[n % len(rows)]]
            ).view(len(prompts) // len(rows), -1),
            "labels": torch.tensor([token for row in rows for token in row.output_ids]),
            "rows": torch.tensor([i for i, row in enumerate(rows) for _ in row.output_ids]),
            "weights": torch.tensor([row.weight for row in rows]),
            "correct": torch.tensor([row.correct for row in rows]),
            **{
                name: torch.tensor([value for row in rows for value in getattr(row, name)])
                for name in TOKEN_VALUES
                if getattr(rows[0], name)
            },
        }

    def forward(self, batch: Batch) -> Output:
        """Each prompt is encoded once; logits are made for trained tokens alone."""
        mask = batch["attention_mask"]
        states, masks = [], mask.split([len(bucket) for bucket in batch["input_ids"]])
        for bucket, bucket_mask in zip(batch["input_ids"], masks, strict=True):
            length = bucket.shape[1]
            encoded = self._encode(bucket, bucket_mask[:, :length])
            states.append(F.pad(encoded, (0, 0, 0, mask.shape[1] - length)))
        prompts = torch.cat(states)
        decoded = torch.cat([self._decode(prompts, mask, packs).flatten(0, 1) for packs in batch["packs"]])
        hidden = decoded[batch["places"]]
        return Output(self._logits(hidden), hidden)

    def _encode(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Hidden states (P, S, D) of prompts (P, S)."""
        encoder = self.model.get_encoder()
        hidden: Tensor = encoder(input_ids=input_ids, attention_mask=mask, **self._shared())[0]
        return hidden

    def _decode(self, prompts: Tensor, mask: Tensor, packs: Packs) -> Tensor:
        """Hidden states (R, T, D) of R packs under prompts (P, S, D)."""
        hidden: Tensor = self.model.get_decoder()(
            input_ids=packs.input_ids,
            encoder_hidden_states=prompts[packs.prompts],
            encoder_attention_mask=mask[packs.prompts],
            use_cache=False,
            **self._shared(packs.segments),
        )[0]
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V), as the model's own forward ends."""
        config = self.model.config
        if getattr(config, "scale_decoder_outputs", False):
            hidden = hidden * config.d_model**-0.5
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        bias = getattr(self.model, "final_logits_bias", None)  # BART's
        return logits if bias is None else logits + bias

    @property
    def _packs_outputs(self) -> bool:
        return bool(self.model.config._attn_implementation == attention.NAME)

    def _shared(self, segments: Tensor | None = None) -> dict[str, Any]:
        """The argument that transformers hands down to the project's attention, where that is used."""
        return {"shared": attention.Shared(segments)} if self._packs_outputs else {}

    def outputs(
        self, rows: Sequence[TrainingExample], model: Callable[[Batch], Output] | None = None
    ) -> Iterator[tuple[Batch, Output]]:
        """The rows in batches, on the device, with what the policy, or ``model``, makes of them.

        In their order, in eval mode and without gradients.
        """
        training = self.training
        self.eval()
        try:
            for start in range(0, len(rows), SCORED_ROWS):
                batch = self.collate(rows[start : start + SCORED_ROWS])
                batch = move_data_to_device(batch, self.device)
                with torch.no_grad():
                    output = (model or self)(batch)
                yield batch, output
        finally:
            self.train(training)

    def frozen(self) -> Callable[[Batch], Output]:
        """The policy with its weights of now, for good: a copy, or itself with its adapters off."""
        if hasattr(self.model, "disable_adapter"):

            def without_adapters(batch: Batch) -> Output:
                with self.model.disable_adapter():
                    output: Output = self(batch)
                return output

            return without_adapters
        twin = copy.deepcopy(self, {id(self.tokenizer): self.tokenizer}).requires_grad_(False).eval()
        return lambda batch: twin.to(self.device)(batch)

    def compile_forward(self) -> None:
        """torch.compile what ``forward`` calls; the model that is sampled from and saved stays as it is."""
        self._encode = torch.compile(self._encode, dynamic=True)  # type: ignore[method-assign]
        self._decode = torch.compile(self._decode, dynamic=True)  # type: ignore[method-assign]
