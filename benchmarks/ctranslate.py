"""CTranslate2 as a peer on a CPU, refreshed from live weights in two ways.

``convert`` is the documented one: its converter wants a checkpoint on disk, loads it and looks for equal
weights. ``refresh`` is the fastest found: the converter's loader reads the live modules, nothing is compared,
and the model's file is written to memory, from where the library loads it.

transformers 5 holds ``tie_word_embeddings`` true for every T5, which the loader takes for "scale the
outputs". Where the head is untied that divides the logits by d_model ** 0.5: ``refresh`` takes the scale out
again, and after ``convert`` a temperature of d_model ** -0.5 undoes it.
"""

from __future__ import annotations

import copy
import io
import json
import math
import struct
import tempfile
from collections.abc import Sequence
from typing import Any

import ctranslate2  # type: ignore[import-untyped]
import torch
from ctranslate2.converters.transformers import (  # type: ignore[import-untyped]
    T5Loader,
    TransformersConverter,
)
from ctranslate2.specs import model_spec  # type: ignore[import-untyped]

from benchmarks.models import MAX_NEW_TOKENS, TOP_K, memory_folder
from hir.policies.seq2seq import Seq2SeqPolicy


class CTranslate2Sampler:
    """Samples tokens by CTranslate2.

    Args:
        policy: transformers' T5 with an untied head.
        inter_threads: batches at a time.
        intra_threads: threads of a batch.
    """

    def __init__(self, policy: Seq2SeqPolicy, inter_threads: int, intra_threads: int) -> None:
        self.policy = policy
        self.inter_threads, self.intra_threads = inter_threads, intra_threads
        self.words = list(policy.tokenizer.convert_ids_to_tokens(range(policy.model.config.vocab_size)))
        config = {
            "bos_token": "<pad>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "decoder_start_token": "<pad>",
            "add_source_bos": False,
            "add_source_eos": False,
            "layer_norm_epsilon": policy.model.config.layer_norm_epsilon,
        }
        self.files: dict[str, Any] = {
            "config.json": json.dumps(config).encode(),
            "shared_vocabulary.json": json.dumps(self.words).encode(),
        }
        self.folder = tempfile.TemporaryDirectory(dir=memory_folder())
        tokenizer = copy.deepcopy(policy.tokenizer)
        tokenizer.unk_token = tokenizer.unk_token or tokenizer.pad_token  # the library wants one
        tokenizer.save_pretrained(self.folder.name)
        self.scaled = bool(getattr(policy.model.config, "scale_decoder_outputs", False))
        self.refresh()

    def convert(self) -> float:
        """Take over the policy's weights in the documented way; the temperature that then stands for 1."""
        model = self.policy.model
        model.save_pretrained(self.folder.name)
        self._load(TransformersConverter(self.folder.name).convert(f"{self.folder.name}/out", force=True))
        return 1.0 if self.scaled else float(model.config.d_model**-0.5)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the policy's weights as they are now."""
        spec = T5Loader().get_model_spec(self.policy.model)
        if not self.scaled:
            spec.decoder.scale_outputs = model_spec.OPTIONAL
        model_spec.LayerSpec.validate(spec)
        self._load("memory", files={**self.files, "model.bin": serialized(spec)})

    def _load(self, path: str, **options: Any) -> None:
        threads = {"inter_threads": self.inter_threads, "intra_threads": self.intra_threads}
        self.translator = ctranslate2.Translator(path, compute_type="float32", **threads, **options)

    def tokenize(self, prompts: Sequence[str]) -> list[list[str]]:
        """Tokens as text, the end token included."""
        return [[self.words[i] for i in ids] for ids in self.policy.encode(prompts)]

    def sample(
        self, source: list[list[str]], num_samples: int, top_k: int = TOP_K, temperature: float = 1.0
    ) -> list[list[list[str]]]:
        """``num_samples`` answers a prompt, the end token included."""
        results = self.translator.translate_batch(
            source,
            max_batch_size=math.ceil(len(source) / self.inter_threads),
            beam_size=1,
            num_hypotheses=num_samples,
            sampling_topk=top_k,
            sampling_temperature=temperature,
            min_decoding_length=0,
            max_decoding_length=MAX_NEW_TOKENS,
            max_input_length=0,
            return_end_token=True,
        )
        return [result.hypotheses for result in results]


def serialized(spec: Any) -> bytes:
    """The model's file as the library writes it, in memory."""
    file = io.BytesIO()

    def string(text: str) -> None:
        file.write(struct.pack("H", len(text) + 1) + text.encode() + b"\0")

    variables = spec.variables(ordered=True)
    file.write(struct.pack("I", model_spec.CURRENT_BINARY_VERSION))
    string(spec.name)
    file.write(struct.pack("II", spec.revision, len(variables)))
    for name, value in variables:
        string(name)
        file.write(struct.pack("B", len(value.shape)))
        file.write(struct.pack(f"{len(value.shape)}I", *value.shape))
        file.write(struct.pack("B", model_spec._dtype_to_type_id(value.dtype)))
        file.write(struct.pack("I", value.num_bytes()))
        file.write(value.to_bytes())
    file.write(struct.pack("I", 0))  # no aliases
    return file.getvalue()
