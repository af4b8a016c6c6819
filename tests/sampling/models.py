"""Small random models of each T5 family and decoder-only ones, and what transformers makes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from hir.config.schema import LoraConfig
from hir.policies.base import Policy, evaluating, padded
from hir.policies.causal import CausalPolicy
from hir.policies.load import add_lora
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.sampling.base import Answer

START = 2
FAMILIES = ("t5", "flan", "mt5", "lora")
SIZES: dict[str, dict[str, Any]] = {
    # heads * d_kv is never d_model.
    "t5": {"vocab_size": 64, "d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3,
           "num_heads": 2, "feed_forward_proj": "relu"},
    "flan": {"vocab_size": 96, "d_model": 32, "d_kv": 6, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 4,
             "num_heads": 3, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "mt5": {"vocab_size": 80, "d_model": 28, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3,
            "num_heads": 2, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20},
}  # fmt: skip
SIZES["lora"] = SIZES["flan"]


def number_tokenizer(vocab_size: int) -> transformers.PreTrainedTokenizerFast:
    """A text is the numbers of its tokens; 1 ends it."""
    tokenizer = Tokenizer(models.WordLevel({str(i): i for i in range(vocab_size)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A 1", special_tokens=[("1", 1)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="0", eos_token="1")


def make_policy(family: str, seed: int = 0, spread: float = 1.0, **sizes: Any) -> Seq2SeqPolicy:
    """A random policy in training mode, with dropout, as a run has it; its forward uses eager attention.

    Padding is never sampled: dimension 0 is the same for all tokens at all layers, and weighs against it.

    Args:
        family: one of FAMILIES.
        seed: of the weights.
        spread: standard deviation of weights, times the square root of their inputs' number, and about that
            of the logits. With 1.5 the models magnify rounding, transformers' as ours, to 1e-4 in the logits.
        sizes: settings of the model's configuration.
    """
    settings = {"dropout_rate": 0.1, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": START}
    settings = {**SIZES[family], **settings, **sizes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any
        if family == "mt5":
            model = transformers.MT5ForConditionalGeneration(transformers.MT5Config(**settings))
        else:
            model = transformers.T5ForConditionalGeneration(transformers.T5Config(**settings))
        if family in ("flan", "lora"):
            model.lm_head.weight = nn.Parameter(torch.empty_like(model.shared.weight))  # a head of its own
        if family == "lora":
            target_modules = ["q", "v", "o", "wi_0", "wo", "lm_head"]
            model = add_lora(model, LoraConfig(r=3, alpha=6, target_modules=target_modules))
        for name, weight in model.named_parameters():
            if weight.dim() == 1:  # a norm's
                nn.init.normal_(weight, 1.0, 0.3).data[0] = 1
            elif "relative_attention_bias" in name:
                nn.init.normal_(weight, std=1.0)
            elif "lora_" in name:
                nn.init.normal_(weight, std=0.2)
            elif "shared" in name and family != "mt5":
                nn.init.normal_(weight, std=spread)
            else:
                nn.init.normal_(weight, std=spread * weight.shape[1] ** -0.5)
                if family in ("t5", "mt5") and name.endswith(("o.weight", "wo.weight")):
                    weight.data *= 3  # or tokens would repeat themselves, as head and embedding are one
            if any(part in name for part in (".o.", ".wo.")) and "lora_A" not in name:
                weight.data[0] = 0  # no layer adds to dimension 0
        for weight in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
            weight.data[1] *= 1.3  # the end comes a little more often
            weight.data[:, 0] = 1
        weight.data[0] = 0
        weight.data[0, 0] = -10_000
    return Seq2SeqPolicy(model, number_tokenizer(settings["vocab_size"])).train()


CAUSAL: dict[str, dict[str, Any]] = {
    "llama": {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 6},
    "gpt2": {"n_head": 2, "n_embd": 16, "n_layer": 2,
             "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
}  # fmt: skip


def make_causal_policy(kind: str, tokenizer: Any, **sizes: Any) -> CausalPolicy:
    """A random decoder-only policy in training mode, whose end token, 1, pads; 2 ends its answers, too."""
    tokenizer.pad_token = tokenizer.eos_token
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, **CAUSAL[kind], **sizes}
    ids = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    config = transformers.AutoConfig.for_model(kind, vocab_size=len(tokenizer), **ids, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(config)
        for weight in model.parameters():
            nn.init.normal_(weight, 1.0 if weight.dim() == 1 else 0.0, 0.4)
    model.generation_config.eos_token_id = [1, 2]
    return CausalPolicy(model, tokenizer).train()


def norm(self: Any, hidden: Tensor) -> Tensor:
    """A norm's forward in the weights' own precision, where transformers' rounds to float32."""
    return self.weight * hidden * (hidden.square().mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()


def make_prompts(policy: Policy, lengths: Sequence[int], seed: int = 0) -> list[str]:
    """Random prompts of so many tokens, the end token included."""
    rng, vocab_size = random.Random(seed), policy.model.config.vocab_size
    return [" ".join(str(rng.randrange(3, vocab_size)) for _ in range(length - 1)) for length in lengths]


def generated(policy: Policy, prompt: str, max_new_tokens: int) -> tuple[int, ...]:
    """The likeliest tokens by transformers' generate in eval mode: no batch, no padding, no mask, no cache.

    transformers 5.23 makes the cache for as many layers as the encoder has, which is too few here.
    """
    input_ids = torch.tensor(policy.encode([prompt]))
    with evaluating(policy):
        output = policy.model.generate(
            input_ids=input_ids, max_new_tokens=max_new_tokens, do_sample=False, use_cache=False
        )
    tokens = output[0, 1 if hasattr(policy, "start_id") else input_ids.shape[1] :].tolist()
    length = next((i for i, token in enumerate(tokens, 1) if token in policy.end_ids), len(tokens))
    return tuple(tokens[:length])


def check_log_probs(
    policy: Policy, prompts: Sequence[str], answers: Sequence[Sequence[Answer]], atol: float = 1e-4
) -> None:
    """Every answer's log-probabilities are those of a teacher-forced forward, padded behind their ends."""
    for input_ids, of_prompt in zip(policy.encode(prompts), answers, strict=True):
        before = [policy.start_id] if hasattr(policy, "start_id") else input_ids
        inputs = padded([[*before, *answer.tokens[:-1]] for answer in of_prompt], policy.pad_id)
        arguments = {"input_ids": inputs}
        if hasattr(policy, "start_id"):
            arguments = {"input_ids": torch.tensor([input_ids] * len(of_prompt)), "decoder_input_ids": inputs}
        with evaluating(policy):
            output = policy.model(**arguments)
        log_probs = output.logits[:, len(before) - 1 :].float().log_softmax(-1)
        for answer, own in zip(of_prompt, log_probs, strict=True):
            expected = own[range(len(answer.tokens)), list(answer.tokens)].tolist()
            assert answer.log_probs == pytest.approx(expected, abs=atol)


def tokens_of(answers: Sequence[Sequence[Answer]]) -> list[list[tuple[int, ...]]]:
    return [[answer.tokens for answer in of_prompt] for of_prompt in answers]
