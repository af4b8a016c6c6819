"""A random model of SmolLM2-135M's shape: 64 x 4 answers, an update of 4 x 4 rows; 100 tokens and 8 more."""

from functools import partial
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.measure import Row, compared, seconds
from benchmarks.models import INSTRUCTIONS, Shape, build_tokenizer, texts
from benchmarks.training import METHOD, Stepper, training_rows
from hir.config.schema import SamplingConfig
from hir.methods.hir import HIR
from hir.policies.base import row_tensors
from hir.policies.causal import CausalPolicy
from hir.sampling.base import build_sampler


class Padded(CausalPolicy):
    """Every row by itself under each instruction, all of one length."""

    def collate(self, rows: Any) -> dict[str, Any]:
        pairs = zip(self.encode(self.prompts_of(rows)), [*rows] * 2, strict=True)
        ids = torch.tensor([[*prompt, *row.output_ids[:-1]] for prompt, row in pairs])
        tree = [ids, torch.arange(107).expand_as(ids), torch.full_like(ids, 107)]
        places = torch.arange(ids.numel()).view_as(ids)[:, 99:].reshape(2, -1)
        return {"trees": [tree], "places": places, **row_tensors(rows)}


def run(device: str, repeats: int, quick: bool) -> list[Row]:
    shape = Shape("SmolLM2-135M", 576, 64, 9, 1536, 2 if quick else 30, 0, 512 if quick else 49152)
    sizes = dict(hidden_size=576, intermediate_size=1536, num_attention_heads=9, num_key_value_heads=3)
    sizes |= dict(num_hidden_layers=shape.encoder_layers, vocab_size=shape.vocabulary, pad_token_id=0)
    model = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=True, eos_token_id=1))
    policy = CausalPolicy(model, build_tokenizer(shape.vocabulary)).to(device)
    asked, rows = texts(shape, 8 if quick else 64, 100), training_rows(shape, 4, 4, 101, 8)
    configs = [SamplingConfig(name, max_new_tokens=8) for name in ("causal", "generate")]
    draws = [partial(build_sampler(policy, config, 64).sample, asked, 4, 0) for config in configs]
    both, full = (policy, Padded(model, policy.tokenizer)), not quick
    steps = [partial(Stepper(each, HIR(METHOD, INSTRUCTIONS, each), device).step, rows) for each in both]
    found = []
    for peer, runs, bar in (("generate", draws, 2.5 * full), ("padded rows", steps, 2.0 * full)):
        times = [[seconds(each) for each in runs] for _ in range(repeats + 1)][1:]  # the first warms up
        found.append(compared("causal", shape.name, peer, *zip(*times, strict=True), bar=bar or None))
    return found
