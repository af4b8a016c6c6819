"""Rows that share a prompt: the loss and its gradients are those of each row computed alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration
from transformers.models.mt5.modeling_mt5 import MT5LayerNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from hir.config.schema import InstructionConfig
from hir.methods.hir import HIR
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import TrainingExample
from hir.relabel.base import Relabel
from hir.t5 import packing
from hir.t5.policies import PackedT5Policy
from tests.conftest import WORDS
from tests.policies.rows import row_of
from tests.sampling.models import FAMILIES, make_policy, norm

# peft asks transformers for an attribute under its former name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

BART = BartConfig(
    vocab_size=len(WORDS), d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
    decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, dropout=0.0, init_std=0.3,
    max_position_embeddings=32, pad_token_id=0, bos_token_id=0, eos_token_id=1, decoder_start_token_id=0,
)  # fmt: skip

ROWS = [
    row_of("cat", True, 9, 1),
    row_of("cat", False, 7, 8, 1, weight=0.5),
    row_of("cat", False, 10, 1, weight=0.5),
    row_of("dog dog cat one", True, 10, 9, 10, 1),
    row_of("two", False, 8, 1, prefix_ids=(10, 9)),
    row_of("two", False, 8, 7, 1),
    row_of("two one two", False, 7, 1),
    row_of("one two one two one two one", True, 7, 1),
]
"""Groups of 3, 1, 2, 1 and 1 rows, of both classes, with prompts and answers of many lengths."""


@pytest.fixture(autouse=True)
def norm_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """T5's own squares in float32 whatever the weights are, and that rounding would hide 1e-9."""
    for kind in (T5LayerNorm, MT5LayerNorm):
        monkeypatch.setattr(kind, "forward", norm)


def pair(family: str, word_tokenizer: Any, **sizes: int) -> tuple[Seq2SeqPolicy, Any]:
    """A random policy as a run has it, and transformers' own model with the same weights, both float64."""
    if family == "bart":
        torch.manual_seed(1)
        policy = Seq2SeqPolicy(BartForConditionalGeneration(BART).double(), word_tokenizer)
        policy.model.final_logits_bias.normal_()  # zeros, in a fresh model
        return policy, copy.deepcopy(policy.model)
    model = make_policy(family, dropout_rate=0.0, **sizes).model.double()
    plain = copy.deepcopy(model)
    model.set_attn_implementation(packing.ATTENTION)
    return PackedT5Policy(model, word_tokenizer, 512), plain


def log_probs_alone(model: Any, policy: Seq2SeqPolicy, instruction: str, row: TrainingExample) -> Tensor:
    """Log-probabilities (tokens, V) of a row's output under an instruction: one forward, nothing padded."""
    logits = model(
        input_ids=torch.tensor(policy.encode([policy.render(instruction, row.query)])),
        decoder_input_ids=torch.tensor([[policy.start_id, *row.prefix_ids, *row.output_ids[:-1]]]),
    ).logits[0]
    return logits[len(row.prefix_ids) :].log_softmax(-1)


def loss_row_by_row(
    model: Any, policy: Seq2SeqPolicy, rows: Sequence[TrainingExample], settings: HIR.Settings
) -> Tensor:
    """Eq. 4 to 6 written out a row at a time."""
    supervise, entropy, contrast = [], [], []
    for row in rows:
        own, other = (log_probs_alone(model, policy, text, row) for text in (row.instruction, *row.contrast))
        tokens = torch.tensor(row.output_ids)[:, None]
        chosen, of_other = own.gather(1, tokens)[:, 0], other.gather(1, tokens)[:, 0]
        costs = -(1 - settings.epsilon) * chosen - settings.epsilon * own.mean(-1)
        supervise.append(row.weight * costs)
        entropy.append(-(own.exp() * own).sum(-1))
        share = torch.stack([chosen.mean(), of_other.mean()]).log_softmax(0)
        contrast.append(-(1 - settings.epsilon) * share[0] - settings.epsilon * share[1])
    return (
        torch.cat(supervise).mean()
        - settings.beta * torch.cat(entropy).mean()
        + settings.alpha * torch.stack(contrast).mean()
    )


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.filterwarnings("ignore:Model (has|with) `tie_word_embeddings=True`:UserWarning")
@pytest.mark.parametrize("family", [*FAMILIES, "bart"])
def test_loss_and_gradients_equal_those_of_each_row_alone(family: str, word_tokenizer: Any) -> None:
    """Packed, and BART by the plain policy."""
    policy, plain = pair(family, word_tokenizer)
    settings = HIR.Settings(alpha=0.7, beta=0.3, epsilon=0.2)
    method = HIR(settings, Relabel(InstructionConfig("right", "wrong")), policy)
    loss, _ = method.loss(policy, policy.collate(ROWS))
    expected = loss_row_by_row(plain, policy, ROWS, settings)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    wanted = gradients(plain, expected)
    torch.testing.assert_close(gradients(policy.model, loss), wanted, rtol=1e-9, atol=1e-9)
    # Every weight takes part; a bias that BART adds to all keys alike moves no softmax.
    assert all(gradient.any() for name, gradient in wanted.items() if "k_proj.bias" not in name)


# FLAN-T5's kind


@pytest.fixture
def policy(word_tokenizer: Any) -> Seq2SeqPolicy:
    return pair("flan", word_tokenizer, num_layers=2, num_decoder_layers=2)[0]


def gradients_on(policy: Seq2SeqPolicy, batch: dict[str, Any]) -> dict[str, Tensor]:
    return gradients(policy.model, policy(batch).logits.log_softmax(-1).square().mean())


def test_a_prompt_is_encoded_and_its_keys_and_values_projected_once(policy: Seq2SeqPolicy) -> None:
    encoded, read = [], []
    policy.model.encoder.embed_tokens.register_forward_hook(lambda *call: encoded.append(len(call[-1])))
    keys = policy.model.decoder.block[1].layer[1].EncDecAttention.k
    keys.register_forward_hook(lambda *call: read.append(len(call[-1])))
    policy(policy.collate(ROWS))
    assert sum(encoded) == sum(read) == 5 * 2  # prompts under instructions, for 16 outputs
    assert len(encoded) > 1  # in more than one bucket


def test_generate_is_what_transformers_own_attention_gives(word_tokenizer: Any) -> None:
    policy, plain = pair("flan", word_tokenizer, num_decoder_layers=2)
    input_ids, attention_mask = policy.pad(policy.encode(["right cat", "wrong Q: dog dog two one A:"]))
    own, expected = (
        model.eval().generate(
            input_ids=input_ids, attention_mask=attention_mask, max_new_tokens=6, do_sample=False,
            output_logits=True, return_dict_in_generate=True,
        ).logits
        for model in (policy.model, plain)
    )  # fmt: skip
    torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
def test_gradient_checkpointing_changes_no_gradient(policy: Seq2SeqPolicy) -> None:
    batch = policy.collate(ROWS)
    expected = gradients_on(policy, batch)
    policy.model.gradient_checkpointing_enable()
    torch.testing.assert_close(gradients_on(policy, batch), expected, rtol=1e-9, atol=1e-9)


def test_the_checkpoints_dropout_reaches_the_attention(policy: Seq2SeqPolicy) -> None:
    batch = policy.collate(ROWS)
    plain = policy(batch).logits
    for module in policy.modules():
        if hasattr(module, "has_relative_attention_bias"):
            module.dropout = 0.5
    assert torch.equal(policy.eval()(batch).logits, plain)
    assert (policy.train()(batch).logits - plain).abs().max() > 1e-3


def test_both_devices_products_are_equal() -> None:
    torch.manual_seed(0)
    shapes = [(3, 2, 5, 4), (3, 2, 6, 4), (3, 2, 6, 4), (1, 2, 5, 6)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    mask = torch.zeros(3, 1, 1, 6, dtype=torch.float64)
    mask[1, ..., 4:] = torch.finfo(torch.float64).min
    results = []
    for products in (packing.plain_products, packing.fused_products):
        query, key, value, bias = inputs
        output = products(query, key, value, bias + mask, 0.0)
        results.append([output, *torch.autograd.grad(output.sin().sum(), inputs)])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)
    assert not results[0][2][1, :, 4:].any()  # nothing of what is padded is read
