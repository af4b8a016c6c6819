"""Answers in a tree: the numbers are those of each row alone, by transformers' own forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import flex_attention as torch_flex
from transformers.integrations import flex_attention as transformers_flex
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from examples.flex_attention import FlexCausalPolicy, block_mask
from hir.config.schema import Config, LoraConfig, ModelConfig, SamplingConfig
from hir.errors import UserError
from hir.feedback.base import Match
from hir.policies.base import Batch, Output, padded, token_mask
from hir.policies.causal import CausalPolicy, groups, grow
from hir.policies.load import load_policy
from hir.records import TOKEN_VALUES, TrainingExample
from hir.sampling.base import build_sampler
from hir.tasks.base import Task
from hir.training.settings import check_lengths
from tests.methods.fake import build, instructions
from tests.policies.rows import row_of
from tests.sampling.models import CAUSAL, make_causal_policy, norm

ROWS = [
    row_of("cat dog", True, 9, 1),
    row_of("cat dog", False, 9, 10, 1, weight=0.5),  # begins alike, under the other instruction
    row_of("cat dog", True, 9, 1),  # again
    row_of("cat", False, 10, 9),  # cut, without an end token, and a query that begins as another
    row_of("two", False, 8, 1, prefix_ids=(10, 9)),
    row_of("one two " * 12, True, 1),
]


class Alone:
    """The policy with each row by itself: a padded batch an instruction, by transformers' own forward."""

    def __init__(self, policy: CausalPolicy, rows: list[TrainingExample]) -> None:
        self.policy, self.rows = policy, rows

    def __call__(self, batch: Batch) -> Output:
        logits, hidden, rows = [], [], self.rows
        prompts = self.policy.encode(self.policy.prompts_of(rows))
        for start in range(0, len(prompts), len(rows)):
            pairs = zip(prompts[start : start + len(rows)], rows, strict=True)
            inputs = [[*ids, *row.prefix_ids, *row.output_ids] for ids, row in pairs]
            mask = token_mask(inputs)
            output = self.policy.model(padded(inputs, 0), attention_mask=mask, output_hidden_states=True)
            places = [
                (number, place)
                for number, (ids, row) in enumerate(zip(inputs, rows, strict=True))
                for place in range(len(ids) - len(row.output_ids) - 1, len(ids) - 1)
            ]
            logits.append(output.logits[tuple(zip(*places, strict=True))])
            hidden.append(output.hidden_states[-1][tuple(zip(*places, strict=True))])
        return Output(torch.stack(logits), torch.stack(hidden))


@pytest.mark.parametrize("method", ["hir", "farl", "grpo", "ppo"])
@pytest.mark.parametrize("kind", CAUSAL)
def test_loss_and_gradients_equal_those_of_each_row_alone(kind, method, word_tokenizer, monkeypatch) -> None:
    for name in (LlamaRMSNorm, Qwen3RMSNorm):
        monkeypatch.setattr(name, "forward", norm)
    policy = make_causal_policy(kind, word_tokenizer).double()
    numbers = torch.Generator().manual_seed(0)
    rows = [
        replace(row, contrast=row.contrast if method == "hir" else (), **{
            name: tuple(torch.rand(len(row.output_ids), generator=numbers).tolist()) for name in TOKEN_VALUES
        })
        for row in ROWS
    ]  # fmt: skip
    built, batch = build(method, policy), policy.collate(rows)
    if method == "ppo":
        torch.nn.init.normal_(built.double().value_head.weight)
    found = []
    for outputs in (policy, Alone(policy, rows)):
        policy.zero_grad()
        loss, _ = built.loss(outputs, batch)
        loss.backward()
        found.append((loss, {name: weight.grad for name, weight in policy.named_parameters()}))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)
    assert len(batch["trees"]) > 1 and all(gradient.any() for gradient in found[0][1].values())


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # torch.compile's own
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_flex_attention_reads_what_the_dense_mask_shows(kind, word_tokenizer, tmp_path, monkeypatch) -> None:
    config = save(make_causal_policy(kind, word_tokenizer), tmp_path)
    policies = [load_policy(replace(config, policy=name)) for name in ("causal", "examples.flex_attention")]
    dense, flex = (policy.eval() for policy in policies)
    batch, used = dense.collate(ROWS), []

    def uncompiled(*tensors: Tensor, **options: Any) -> Any:  # a CPU's knows no gradients
        used.append(options["block_mask"].to_dense().shape)
        return torch_flex.flex_attention(*tensors, **options)

    with torch.no_grad():
        expected = dense(batch)
        torch.testing.assert_close(flex(batch), expected)  # on a CPU by the dense mask
        monkeypatch.setattr(FlexCausalPolicy, "tree_mask", staticmethod(block_mask))
        monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
        monkeypatch.setattr(transformers_flex.WrappedFlexAttention, "__call__", lambda self: uncompiled)
        torch.testing.assert_close(flex(batch), expected, rtol=1e-4, atol=1e-4)
    assert len(used) == len(batch["trees"]) * flex.model.config.num_hidden_layers
    samplers = [build_sampler(policy, SamplingConfig(name="causal"), 8) for policy in policies]
    assert len({tuple(sampler.greedy(["cat", "one two"])) for sampler in samplers}) == 1  # dense masks again


def test_a_tree_by_hand() -> None:
    # 5 and 6 begin both; 7 8 and 7 are one branch, 9 the other.
    assert grow({0: (5, 6, 9), 1: (5, 6, 7, 8), 2: (5, 6, 7), 3: (5, 6, 9)}) == (
        [5, 6, 7, 8, 9], [0, 1, 2, 3, 2], [5, 5, 4, 4, 5],
        {2: [0, 1, 2], 1: [0, 1, 2, 3], 0: [0, 1, 4], 3: [0, 1, 4]},
    )  # fmt: skip


TEMPLATE = "one two {{ messages[0].content }} {{ strftime_now('%d %b %Y') == date_string and 'one' }} "
TEMPLATE += "{{ enable_thinking or 'two' }}"


def save(policy: CausalPolicy, folder: Path) -> ModelConfig:
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return ModelConfig(name="test", path=str(folder))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft
def test_prompts_and_answers_by_hand_plain_and_by_a_template(tmp_path, word_tokenizer) -> None:
    policy = make_causal_policy("llama", word_tokenizer)
    policy.tokenizer.chat_template = TEMPLATE
    policy.model.generation_config.repetition_penalty = 1.5
    config = save(policy, tmp_path)
    plain, chat = (load_policy(replace(config, chat_template=on)) for on in (False, True))
    assert plain.render("right", "cat dog") == "Q: cat dog\nright\nA:"
    assert plain.encode([plain.render("right", "cat dog")]) == [[3, 7, 8, 5, 4]]  # its end token is dropped
    assert chat.render("right", "cat") == "one two cat\nright one two"
    assert chat.encode([chat.render("right", "cat")]) == [[9, 10, 7, 5, 9, 10]]
    assert plain.encode_answer("one two") == chat.encode_answer("one two") == (9, 10, 1)
    assert (chat.pad_id, chat.eos_id, chat.end_ids) == (1, 1, {1, 2})
    assert [part.tolist() for part in chat.pad([[7], [8, 9]])] == [[[1, 7], [8, 9]], [[0, 1], [1, 1]]]
    assert chat.model.generation_config.to_diff_dict().keys() <= {"eos_token_id", "transformers_version"}
    assert (plain.told("cat"), chat.told("cat")) == ("cat", "one two cat one two")
    adapted = load_policy(replace(config, lora=LoraConfig(r=2)))
    names = {name.split(".")[-4] for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert names == {"q_proj", "v_proj"}  # peft's choice for a Llama


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
def test_gradient_checkpointing_changes_no_gradient(tmp_path, word_tokenizer) -> None:
    config, found = save(make_causal_policy("llama", word_tokenizer), tmp_path), []
    for on in (False, True):
        policy = load_policy(replace(config, gradient_checkpointing=on)).double().train()
        assert policy.model.is_gradient_checkpointing == on
        policy(policy.collate(ROWS)).logits.square().sum().backward()
        found.append({name: weight.grad for name, weight in policy.named_parameters()})
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)


def test_what_a_decoder_only_model_lacks_is_said(tmp_path, word_tokenizer) -> None:
    policy = make_causal_policy("llama", word_tokenizer, max_position_embeddings=40)
    config = save(policy, tmp_path)
    task = Task("t", (), (), (), Match())
    with pytest.raises(UserError, match="=32 exceed the 40 tokens of the model's context: lower them$"):
        check_lengths(load_policy(replace(config, max_input_tokens=9)), [task], instructions(), Config())
    save(make_causal_policy("gpt2", word_tokenizer), tmp_path / "gpt2")
    with pytest.raises(UserError, match="GPT2LMHeadModel does not support .* flex_attention"):
        load_policy(replace(config, path=str(tmp_path / "gpt2"), policy="examples.flex_attention"))
    with pytest.raises(UserError, match="^sampling=t5 decodes T5 .* not llama: set sampling=causal$"):
        build_sampler(policy, SamplingConfig(), 8)
    with pytest.raises(UserError, match=f"^model.path={tmp_path} has no chat template .a base model"):
        load_policy(replace(config, chat_template=True))
    for template, told in (
        ("{{ messages }}{{ raise_exception('no') }}", "no"),
        ("{% if messages %}", "Unexpected end of template"),
        ("{% for part in messages[0].content %}{{ part.text }}{% endfor %}", "its chat template leaves out"),
    ):
        policy.tokenizer.chat_template = template
        save(policy, tmp_path)
        with pytest.raises(UserError, match=f"^model.path={tmp_path}: {told}"):
            load_policy(config)
    policy.tokenizer.chat_template = policy.tokenizer.eos_token = None
    save(policy, tmp_path)
    with pytest.raises(UserError, match=f"^model.path={tmp_path}: the tokenizer has no end token"):
        load_policy(config)


def test_answers_beyond_a_number_of_tokens_begin_another_tree(monkeypatch) -> None:
    monkeypatch.setattr("hir.policies.causal.MAX_ANSWERS", 4)
    # 2 and 3 tokens of "cat dog" fill a tree; the query "two" has 4.
    assert groups(ROWS) == [[0, 1], [2], [3], [4], [5]]
