from dataclasses import replace

import pytest
import torch

from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import TrainingExample
from tests.policies.rows import ROWS  # which says what the numbers below are


def test_a_prompt_by_hand(policy: Seq2SeqPolicy) -> None:
    asked = policy.render("Be right.", "How many?\nOptions:\n(A) 1")
    assert asked == "Be right.\nQ: How many?\nOptions:\n(A) 1\nA:"
    assert policy.render("Be right.", "How many?", "there are") == "Be right.\nQ: How many?\nA: there are"


def test_text_to_tokens_and_back(policy: Seq2SeqPolicy) -> None:
    assert policy.encode(["right Q: cat A:", "dog"]) == [[5, 3, 7, 4, 1], [8, 1]]
    assert policy.encode_answer("two one") == (10, 9, 1)
    assert policy.decode((9, 10, 1)) == "one two" and policy.decode(()) == ""
    input_ids, mask = policy.pad([[7, 1], [7, 8, 9, 1]])
    assert input_ids.tolist() == [[7, 1, 0, 0], [7, 8, 9, 1]]
    assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (8, [5, 3, 7, 8, 9, 10, 4, 1]),
        (7, [5, 3, 7, 9, 10, 4, 1]),
        (5, [5, 3, 10, 4, 1]),
        (2, [5, 1]),
    ],
)
def test_cut_keeps_the_head_and_the_tail(policy: Seq2SeqPolicy, limit: int, kept: list[int]) -> None:
    policy.max_input_tokens = limit
    assert policy.encode(["right Q: cat dog one two A:", "right A:"])[0] == kept
    assert policy.token_ids(["right Q: cat dog one two A:"]) == [[5, 3, 7, 8, 9, 10, 4, 1]]
    assert policy.encode_answer("one two one") == (9, 10, 9, 1)  # answers are not cut


def test_collate_by_hand(policy: Seq2SeqPolicy) -> None:
    more = {"advantages": (0.5, -1.0, 2.0), "log_probs": (-1.0, -2.0, -3.0)}  # of each token
    values = [{name: of_tokens[:length] for name, of_tokens in more.items()} for length in (2, 3)]
    batch = policy.collate([replace(row, **own) for row, own in zip(ROWS, values, strict=True)])
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        # "cat" and "dog dog" under their own instructions, then under the others.
        "input_ids": [[5, 3, 7, 4, 1, 0], [6, 3, 8, 8, 4, 1], [6, 3, 7, 4, 1, 0], [5, 3, 8, 8, 4, 1]],
        "attention_mask": [[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]] * 2,
        "prompts": [[0, 1], [2, 3]],
        # A start token, a prefix, and the output but for its last token; the prefix is not trained.
        "decoder_input_ids": [[0, 9, 0, 0], [0, 10, 9, 7]],
        "places": [0, 1, 5, 6, 7],
        "labels": [9, 1, 9, 7, 1],
        "rows": [0, 0, 1, 1, 1],
        "weights": [1.0, 0.5],
        "correct": [True, False],
        "advantages": [0.5, -1.0, 0.5, -1.0, 2.0],
        "log_probs": [-1.0, -2.0, -1.0, -2.0, -3.0],
    }


def test_collate_holds_a_prompt_once_however_many_rows_read_it(policy: Seq2SeqPolicy) -> None:
    right = TrainingExample(0, "cat", "right", (10, 1), correct=True, contrast=("wrong",))
    wrong = TrainingExample(0, "cat", "wrong", (9, 1), correct=False, contrast=("right",))
    batch = policy.collate([right, wrong, right])
    assert batch["input_ids"].tolist() == [[5, 3, 7, 4, 1], [6, 3, 7, 4, 1]]
    assert batch["prompts"].tolist() == [[0, 1, 0], [1, 0, 1]]
    suffixed = replace(right, contrast=(), prompt_suffix="two one")  # another prompt to the same query
    batch = policy.collate([replace(right, contrast=()), suffixed])
    assert batch["input_ids"].tolist() == [[5, 3, 7, 4, 1, 0, 0], [5, 3, 7, 4, 10, 9, 1]]
    assert batch["prompts"].tolist() == [[0, 1]]


def test_outputs_go_through_the_rows_in_order_without_gradients(
    policy: Seq2SeqPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hir.policies.scoring.SCORED_ROWS", 2)
    rows = [ROWS[0], ROWS[1], replace(ROWS[0], output_ids=(10, 1))]
    modes = []
    policy.model.encoder.register_forward_hook(lambda *_: modes.append(policy.training))
    batches = list(policy.train().outputs(rows))
    assert [batch["labels"].tolist() for batch, _ in batches] == [[9, 1, 9, 7, 1], [10, 1]]
    assert modes == [False, False] and policy.training
    for batch, output in batches:
        assert not output.logits.requires_grad
        torch.testing.assert_close(output.logits, policy(batch).logits)
