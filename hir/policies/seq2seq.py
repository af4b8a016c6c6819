"""Seq2SeqPolicy: a sequence-to-sequence model as methods and samplers see it, from text to logits and back.

Everything that knows an encoder and a decoder is here, in load.py and in hir/sampling/: methods see logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from transformers import LogitsProcessor

from hir.policies.base import Batch, Output, padded, register, row_tensors, token_mask
from hir.policies.escape import TextEscape
from hir.policies.scoring import ScoringPolicy, evaluating
from hir.records import TrainingExample

MAX_CACHED_PROMPTS = 20_000


def render_prompt(instruction: str, query: str, prefix: str = "") -> str:
    """The encoder's input: instruction, "Q:" and the query, "A:" and, if given, the start of the answer."""
    return f"{instruction}\nQ: {query}\nA:{' ' + prefix if prefix else ''}"


@register("seq2seq")
class Seq2SeqPolicy(nn.Module, ScoringPolicy):
    """A Policy of an encoder-decoder language model and its tokenizer.

    Args:
        model: transformers model, float32.
        tokenizer: its tokenizer.
        max_input_tokens: longest prompt the encoder takes. A longer one loses tokens in its middle, so that
            the instruction at its start and the question with the answer cue at its end stay.
    """

    attention: ClassVar[str | None] = None
    """Name of the attention that the model is loaded with; None for transformers' choice."""

    def __init__(self, model: Any, tokenizer: Any, max_input_tokens: int = 512) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.text = TextEscape(tokenizer)
        self.max_input_tokens = max_input_tokens
        self.root: tuple[Any] = (model,)
        """What holds the weights: the model, or what a strategy that shards them put around it. In a tuple,
        which makes it no part of the policy."""
        self._encoded: dict[str, list[int]] = {}  # a prompt is trained on in many batches
        self.pad_id: int = model.config.pad_token_id
        self.eos_id: int = model.config.eos_token_id
        self.start_id: int = model.config.decoder_start_token_id

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def sharded(self) -> bool:
        """Whether no device holds all weights."""
        return isinstance(self.root[0], FullyShardedDataParallel)

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.hidden_size)

    render = staticmethod(render_prompt)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text, end token last, whatever their number."""
        if not texts:  # which the tokenizer does not take
            return []
        escaped = [self.text.escape(text) for text in texts]
        ids: list[list[int]] = self.tokenizer(escaped, verbose=False)["input_ids"]
        return ids

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Tokens of each prompt, end token last, at most ``max_input_tokens``."""
        if len(self._encoded) > MAX_CACHED_PROMPTS:
            self._encoded.clear()
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._encoded]
        for prompt, ids in zip(new, self.token_ids(new), strict=True):
            excess, head = max(0, len(ids) - self.max_input_tokens), self.max_input_tokens // 2
            self._encoded[prompt] = ids[:head] + ids[head + excess :]
        return [self._encoded[prompt] for prompt in prompts]

    def decode(self, ids: Sequence[int]) -> str:
        return self.text.unescape(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def encode_answer(self, text: str) -> tuple[int, ...]:
        return tuple(self.token_ids([text])[0])

    def pad(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """``input_ids`` and ``attention_mask`` on the policy's device, padded on the right, each (B, S)."""
        return padded(sequences, self.pad_id).to(self.device), token_mask(sequences).to(self.device)

    def prompts_of(self, rows: Sequence[TrainingExample]) -> list[str]:
        """The K x B prompts of B rows under K instructions: all rows under their own, then the contrasts."""
        return [
            self.render(instruction, row.query, row.prompt_suffix)
            for instructions in zip(*((row.instruction, *row.contrast) for row in rows), strict=True)
            for instruction, row in zip(instructions, rows, strict=True)
        ]

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
        encoder = self.model.get_encoder()
        hidden: Tensor = encoder(input_ids=input_ids, attention_mask=mask, **arguments)[0]
        return hidden

    def _decode(self, input_ids: Tensor, encoded: Tensor, mask: Tensor, **arguments: Any) -> Tensor:
        """Hidden states (R, T, D) of the decoder for its input (R, T) and each row's prompt (R, S, D)."""
        hidden: Tensor = self.model.get_decoder()(
            input_ids=input_ids,
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            use_cache=False,
            **arguments,
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

    def generate(
        self, encoded: Sequence[Sequence[int]], **options: Any
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Tokens and their log-probabilities by transformers' generate, R rows padded on the right.

        Args:
            encoded: tokens of the prompts.
            options: of generate; with num_return_sequences the rows of a prompt stand together.
        """
        input_ids, attention_mask = self.pad(encoded)
        log_probs = LogProbs()
        with evaluating(self):
            output = self.model.generate(
                input_ids=input_ids,
                attention_mask=attention_mask,
                num_beams=1,
                logits_processor=[log_probs],
                **options,
            )
        return output[:, 1:].tolist(), log_probs.of(output).tolist()  # position 0 is the start token

    def compile_forward(self) -> None:
        """torch.compile what ``forward`` calls; the model that is sampled from and saved stays as it is."""
        self._encode = torch.compile(self._encode, dynamic=True)  # type: ignore[method-assign]
        self._decode = torch.compile(self._decode, dynamic=True)  # type: ignore[method-assign]


class LogProbs(LogitsProcessor):
    """Notes the log-probability of each token that generate chooses, before its own processors change it."""

    def __init__(self) -> None:
        self._chosen: list[Tensor] = []
        self._latest: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._note(input_ids)
        self._latest = scores.float().log_softmax(-1)
        return scores

    def _note(self, input_ids: Tensor) -> None:
        if self._latest is not None:
            self._chosen.append(self._latest.gather(-1, input_ids[:, -1:]))

    def of(self, output: Tensor) -> Tensor:
        """(R, T) log-probabilities of all tokens of ``output`` (R, 1 + T) but the start token."""
        self._note(output)
        return torch.cat(self._chosen, dim=1)
