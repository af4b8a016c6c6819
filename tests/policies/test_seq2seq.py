from dataclasses import replace

import pytest
import torch

from hir.policies.base import Batch, Output, label_log_probs
from hir.policies.seq2seq import Seq2SeqPolicy
from tests.policies.rows import ROWS  # which says what the numbers below are


def test_text_to_tokens_and_back(policy: Seq2SeqPolicy) -> None:
    assert policy.render("Be right.", "How many?\n(A) 1") == "Be right.\nQ: How many?\n(A) 1\nA:"
    assert policy.encode(["right Q: cat A:", "dog"]) == [[5, 3, 7, 4, 1], [8, 1]]
    assert policy.encode_answer("two one") == (10, 9, 1)
    assert policy.decode((9, 10, 1)) == "one two" and policy.decode(()) == ""
    assert policy.decode((0, 9, 1)) == "<pad> one"  # which is not the answer "one"
    input_ids, mask = policy.pad([[7, 1], [7, 8, 9, 1]])
    assert input_ids.tolist() == [[7, 1, 0, 0], [7, 8, 9, 1]]
    assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    policy.tokenizer.add_special_tokens({"bos_token": "two"})  # as BART's answers begin
    assert policy.decode((10, 9, 1)) == "one" and policy.decode((10, 10, 9, 1)) == "two one"


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(8, [5, 3, 7, 8, 9, 10, 4, 1]), (7, [5, 3, 7, 9, 10, 4, 1]), (5, [5, 3, 10, 4, 1]), (2, [5, 1])],
)
def test_cut_keeps_the_head_and_the_tail(policy: Seq2SeqPolicy, limit: int, kept: list[int]) -> None:
    policy.max_input_tokens = limit
    assert policy.encode(["right Q: cat dog one two A:", "right A:"])[0] == kept
    assert policy.token_ids(["right Q: cat dog one two A:"]) == [[5, 3, 7, 8, 9, 10, 4, 1]]
    assert policy.encode_answer("one two one") == (9, 10, 9, 1)  # answers are not cut


def test_a_batch_says_of_each_token_and_row_what_methods_read(policy: Seq2SeqPolicy) -> None:
    """What the policy itself reads is tested by its numbers: tests/t5/test_attention.py."""
    rows = [
        replace(ROWS[0], advantages=(0.5, -1.0), log_probs=(-1.0, -2.0)),
        replace(ROWS[1], advantages=(2.0, 0.25, 0.0), log_probs=(-3.0, -4.0, -5.0)),
    ]
    own = {name: tensor.tolist() for name, tensor in policy.collate(rows).items()}
    for name in ("input_ids", "attention_mask", "prompts", "decoder_input_ids", "places"):
        del own[name]
    assert own == {
        "labels": [9, 1, 9, 7, 1], "rows": [0, 0, 1, 1, 1], "weights": [1.0, 0.5], "correct": [True, False],
        "advantages": [0.5, -1.0, 2.0, 0.25, 0.0], "log_probs": [-1.0, -2.0, -3.0, -4.0, -5.0],
    }  # fmt: skip


def test_a_batch_holds_a_prompt_once_however_many_rows_read_it(policy: Seq2SeqPolicy) -> None:
    batch = policy.collate([ROWS[0], replace(ROWS[0], correct=False), ROWS[1]])
    assert batch["input_ids"].shape == (4, 6)  # of six that rows read
    assert batch["prompts"].tolist() == [[0, 0, 1], [2, 2, 3]]


def test_scores_are_those_of_the_rows_in_order_without_gradients(
    policy: Seq2SeqPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hir.policies.base.SCORED_ROWS", 2)
    rows = [ROWS[0], ROWS[1], replace(ROWS[0], output_ids=(10, 1))]
    modes = []
    policy.model.encoder.register_forward_hook(lambda *_: modes.append(policy.training))
    outputs = []

    def labels(batch: Batch, output: Output) -> torch.Tensor:
        outputs.append((batch, output.logits))
        return batch["labels"]

    assert policy.train().score(rows, labels) == [(9, 1), (9, 7, 1), (10, 1)]
    assert modes == [False, False] and policy.training
    for batch, logits in outputs:
        assert not logits.requires_grad
        torch.testing.assert_close(logits, policy(batch).logits)
    log_probs = policy.score(rows, label_log_probs)[1]
    assert log_probs == pytest.approx(outputs[0][1][0].log_softmax(-1)[[2, 3, 4], [9, 7, 1]].tolist())
