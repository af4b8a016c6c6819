"""The packed policy's collations by hand; its numbers are test_attention.py's."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration
from transformers.activations import ACT2FN
from transformers.models.t5.modeling_t5 import T5LayerNorm

from hir.config.schema import ModelConfig
from hir.policies.load import load_policy
from hir.records import TrainingExample
from hir.t5.policies import PackedT5Policy, RMSNorm
from tests.policies.rows import ROWS  # which says what the numbers below are


@pytest.fixture
def packed(folder: Path) -> PackedT5Policy:
    policy = load_policy(ModelConfig(name="test", path=str(folder)))
    assert type(policy) is PackedT5Policy
    return policy


def packs_of(batch) -> list[list[list]]:
    return [[tensor.tolist() for tensor in packs] for packs in batch["packs"]]


def test_collate_by_hand(packed: PackedT5Policy) -> None:
    batch = packed.collate(ROWS)
    assert [bucket.tolist() for bucket in batch.pop("input_ids")] == [
        [[5, 3, 7, 4, 1, 0], [6, 3, 7, 4, 1, 0], [6, 3, 8, 8, 4, 1], [5, 3, 8, 8, 4, 1]]
    ]
    # Four prompts, each read by one output: a start token, a prefix, and the output but for its last token.
    assert packs_of(batch) == [
        [[0, 1], [[0, 9]] * 2, [[1, 1]] * 2],
        [[2, 3], [[0, 10, 9, 7]] * 2, [[1, 1, 1, 1]] * 2],
    ]
    del batch["packs"]
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "attention_mask": [[1, 1, 1, 1, 1, 0]] * 2 + [[1, 1, 1, 1, 1, 1]] * 2,
        # The first bucket has places 0 to 3, the second 4 to 11. Rows 0 and 1 under their own instructions,
        # then under the others. The prefix is not trained.
        "places": [[0, 1, 5, 6, 7], [2, 3, 9, 10, 11]],
        "labels": [9, 1, 9, 7, 1],
        "rows": [0, 0, 1, 1, 1],
        "weights": [1.0, 0.5],
        "correct": [True, False],
    }
    assert batch["weights"].dtype == torch.float32 and batch["correct"].dtype == torch.bool


def test_collate_holds_a_prompt_once_however_many_rows_read_it(packed: PackedT5Policy) -> None:
    right = TrainingExample(0, "cat", "right", (10, 1), correct=True, contrast=("wrong",))
    wrong = TrainingExample(0, "cat", "wrong", (9, 1), correct=False, contrast=("right",))
    other = TrainingExample(0, "dog", "right", (9, 1), correct=True, contrast=("wrong",))
    batch = packed.collate([right, wrong, other, right])
    (input_ids,) = batch["input_ids"]
    assert input_ids.tolist() == [[5, 3, 7, 4, 1], [6, 3, 7, 4, 1], [5, 3, 8, 4, 1], [6, 3, 8, 4, 1]]
    # The dog's two prompts are read by one output each, the cat's two by three, in the rows' order.
    assert packs_of(batch) == [
        [[2, 3], [[0, 9]] * 2, [[1, 1]] * 2],
        [[0, 1], [[0, 10, 0, 10, 0, 9], [0, 9, 0, 10, 0, 10]], [[1, 1, 2, 2, 3, 3]] * 2],
    ]
    # Own: right rows under "right" at 4 and 6, the wrong one first under "wrong"; then the other way round.
    assert batch["places"].tolist() == [[4, 5, 10, 11, 0, 1, 6, 7], [12, 13, 8, 9, 2, 3, 14, 15]]


def test_layers_of_its_own_are_transformers_in_fewer_passes(tmp_path: Path, word_tokenizer: Any) -> None:
    config = T5Config(vocab_size=11, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
                      feed_forward_proj="gated-gelu", decoder_start_token_id=0)  # fmt: skip
    saved = T5ForConditionalGeneration(config)
    saved.save_pretrained(tmp_path)
    word_tokenizer.save_pretrained(tmp_path)
    loaded = load_policy(ModelConfig(name="test", path=str(tmp_path))).model
    assert loaded.state_dict().keys() == saved.state_dict().keys()
    assert any(isinstance(module, RMSNorm) for module in loaded.modules())
    assert config.dense_act_fn == loaded.config.dense_act_fn == "gelu_new"
    activations = [module.act for module in loaded.modules() if hasattr(module, "act")]
    assert [type(activation) for activation in activations] == [torch.nn.GELU] * 2
    numbers = torch.linspace(-6, 6, 101, dtype=torch.float64)
    torch.testing.assert_close(activations[0](numbers), ACT2FN["gelu_new"](numbers), rtol=1e-12, atol=1e-12)


def test_norm_of_its_own_equals_transformers_forward_and_backward() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 4, 8, dtype=torch.float64, requires_grad=True)
    own, theirs = RMSNorm(8, eps=1e-2).double(), T5LayerNorm(8, eps=1e-2).double()
    torch.nn.init.normal_(own.weight)
    theirs.load_state_dict(own.state_dict())
    assert torch.autograd.gradcheck(own, hidden)
    torch.testing.assert_close(own(hidden), theirs(hidden), atol=1e-6, rtol=1e-6)  # theirs squares in float32
