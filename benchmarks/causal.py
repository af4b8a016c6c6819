"""A random decoder-only model of SmolLM2-135M's shape: each prompt read once, a query's rows in one tree."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.measure import Row, compared, seconds
from benchmarks.models import INSTRUCTIONS, Shape, build_tokenizer, copy_of, texts
from benchmarks.training import METHOD, Stepper, training_rows
from hir.config.schema import SamplingConfig
from hir.methods.hir import HIR
from hir.policies.base import padded, row_tensors
from hir.policies.causal import CausalPolicy
from hir.sampling.base import build_sampler


class Padded(CausalPolicy):
    """Every row by itself under each instruction, padded behind, where it takes no mask."""

    def collate(self, rows: Any) -> dict[str, Any]:
        prompts = self.encode(self.prompts_of(rows))
        ids = padded([[*p, *r.output_ids[:-1]] for p, r in zip(prompts, [*rows] * 2, strict=True)], 0)
        places = [b * ids.shape[1] + len(p) - 1 + i for b, p in enumerate(prompts) for i in range(8)]
        return {"trees": [[ids] * 3], "places": torch.tensor(places).view(2, -1), **row_tensors(rows)}

    def states(self, input_ids: Any, *_: Any, **cache: Any) -> torch.Tensor:
        return super().states(
            input_ids, torch.arange(input_ids.shape[1])[None].to(self.device), None, **cache
        )


def run(device: str, repeats: int, quick: bool) -> list[Row]:
    """64 x 4 answers, and an update of 4 x 4 rows; prompts of 100 tokens, answers of 8."""
    shape = Shape("SmolLM2-135M", 576, 64, 9, 1536, 2 if quick else 30, 0, 512 if quick else 49152)
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": shape.encoder_layers}
    sizes |= {"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": shape.vocabulary}
    model = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=True, pad_token_id=0, eos_token_id=1))
    policy = CausalPolicy(model, build_tokenizer(shape.vocabulary)).to(device)
    asked, rows = texts(shape, 64, 100), training_rows(shape, 4, 4, 101, 8)
    samplers = [
        build_sampler(policy, SamplingConfig(name, max_new_tokens=8), 64) for name in ("causal", "generate")
    ]
    plain = Padded(copy_of(policy).model, policy.tokenizer)
    steppers = [Stepper(each, HIR(METHOD, INSTRUCTIONS, each), device) for each in (policy, plain)]
    draws = [lambda one=one: one.sample(asked, 4, 0) for one in samplers]  # type: ignore[misc]
    steps = [lambda one=one: one.step(rows) for one in steppers]  # type: ignore[misc]
    found = []
    for case, peer, runs, bar in (
        ("sampling 64 x 4", "generate", draws, 2.5),
        ("update 4 x 4, two instructions", "padded rows", steps, 2.0),
    ):
        times = [[seconds(each) for each in runs] for _ in range(repeats + 1)][1:]  # the first warms up
        found.append(compared("causal", case, peer, *zip(*times, strict=True), bar=None if quick else bar))
    return found
