from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hir.config.schema import ModelConfig
from hir.policies.load import load_policy
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import TrainingExample

# Token numbers below are places in conftest.WORDS: 0 pad and start, 1 end, 3 "Q:", 4 "A:", 5 right, 6 wrong,
# 7 cat, 8 dog, 9 one, 10 two.


def test_encode_ends_with_the_end_token(policy: Seq2SeqPolicy) -> None:
    assert policy.encode(["right Q: cat A:", "dog"]) == [[5, 3, 7, 4, 1], [8, 1]]
    assert policy.encode_answer("two one") == (10, 9, 1)


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


def test_answers_are_not_cut(tiny_t5, word_tokenizer) -> None:
    policy = Seq2SeqPolicy(tiny_t5, word_tokenizer, max_input_tokens=2)
    assert policy.encode_answer("one two one") == (9, 10, 9, 1)


def test_decode_drops_special_tokens_and_outer_spaces(policy: Seq2SeqPolicy) -> None:
    assert policy.decode((9, 10, 1)) == "one two"
    assert policy.decode(()) == ""


def test_pad(policy: Seq2SeqPolicy) -> None:
    input_ids, mask = policy.pad([[7, 1], [7, 8, 9, 1]])
    assert input_ids.tolist() == [[7, 1, 0, 0], [7, 8, 9, 1]]
    assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


ROWS = [
    TrainingExample(0, "cat", "right", (9, 1), correct=True, contrast=("wrong",)),
    TrainingExample(
        0, "dog dog", "wrong", (9, 7, 1), correct=False, contrast=("right",), weight=0.5, prefix_ids=(10,)
    ),
]


def packs_of(batch) -> list[list[list]]:
    return [[tensor.tolist() for tensor in packs] for packs in batch["packs"]]


def test_collate_by_hand(policy: Seq2SeqPolicy) -> None:
    batch = policy.collate(ROWS)
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


def test_values_of_each_token_stand_beside_the_tokens(policy: Seq2SeqPolicy) -> None:
    rows = [
        replace(ROWS[0], advantages=(0.5, -1.0), log_probs=(-1.0, -2.0)),
        replace(ROWS[1], advantages=(2.0, 0.25, 0.0), log_probs=(-3.0, -4.0, -5.0)),
    ]
    batch = policy.collate(rows)
    assert batch["advantages"].tolist() == [0.5, -1.0, 2.0, 0.25, 0.0]
    assert batch["log_probs"].tolist() == [-1.0, -2.0, -3.0, -4.0, -5.0]
    assert "returns" not in batch and "reference_log_probs" not in batch


def test_collate_holds_a_prompt_once_however_many_rows_read_it(folder: Path) -> None:
    policy = load_policy(ModelConfig(name="test", path=str(folder)))
    right = TrainingExample(0, "cat", "right", (10, 1), correct=True, contrast=("wrong",))
    wrong = TrainingExample(0, "cat", "wrong", (9, 1), correct=False, contrast=("right",))
    other = TrainingExample(0, "dog", "right", (9, 1), correct=True, contrast=("wrong",))
    batch = policy.collate([right, wrong, other, right])
    (input_ids,) = batch["input_ids"]
    assert input_ids.tolist() == [[5, 3, 7, 4, 1], [6, 3, 7, 4, 1], [5, 3, 8, 4, 1], [6, 3, 8, 4, 1]]
    # The dog's two prompts are read by one output each, the cat's two by three, in the rows' order.
    assert packs_of(batch) == [
        [[2, 3], [[0, 9]] * 2, [[1, 1]] * 2],
        [[0, 1], [[0, 10, 0, 10, 0, 9], [0, 9, 0, 10, 0, 10]], [[1, 1, 2, 2, 3, 3]] * 2],
    ]
    # Own: right rows under "right" at 4 and 6, the wrong one first under "wrong"; then the other way round.
    assert batch["places"].tolist() == [[4, 5, 10, 11, 0, 1, 6, 7], [12, 13, 8, 9, 2, 3, 14, 15]]
    suffixed = replace(other, prompt_suffix="two")
    assert len(policy.collate([other, suffixed])["attention_mask"]) == 4  # another prompt to the same query
    # Attention that knows no packs gets an output a row.
    plain = load_policy(ModelConfig(name="test", path=str(folder), attention="eager"))
    assert all((packs.segments <= 1).all() for packs in plain.collate(ROWS)["packs"])


def test_collate_puts_prompts_of_other_length_in_another_bucket(policy: Seq2SeqPolicy) -> None:
    long = replace(ROWS[0], query="cat dog cat dog cat")
    first, second = policy.collate([long, ROWS[0]])["input_ids"]
    assert first.tolist() == [[5, 3, 7, 4, 1], [6, 3, 7, 4, 1]]
    assert second.tolist() == [[5, 3, 7, 8, 7, 8, 7, 4, 1], [6, 3, 7, 8, 7, 8, 7, 4, 1]]


def test_collate_without_contrast_and_with_a_prompt_suffix(policy: Seq2SeqPolicy) -> None:
    batch = policy.collate([replace(ROWS[0], contrast=(), prompt_suffix="two one")])
    assert [bucket.tolist() for bucket in batch["input_ids"]] == [[[5, 3, 7, 4, 10, 9, 1]]]
    assert packs_of(batch) == [[[0], [[0, 9]], [[1, 1]]]]
    assert batch["labels"].tolist() == [9, 1]


def test_collate_cuts_long_prompts(policy: Seq2SeqPolicy) -> None:
    policy.max_input_tokens = 4
    batch = policy.collate(ROWS)
    (input_ids,) = batch["input_ids"]
    assert input_ids.tolist() == [[5, 3, 4, 1], [6, 3, 4, 1], [6, 3, 4, 1], [5, 3, 4, 1]]
    # Two queries still, though they look alike now.
    assert [packs.prompts.tolist() for packs in batch["packs"]] == [[0, 2], [1, 3]]


def test_forward_equals_t5_on_each_row_alone(policy: Seq2SeqPolicy) -> None:
    policy.double().eval()  # so that 1e-5 is far above what padding does to rounding
    batch = policy.collate([ROWS[0], replace(ROWS[1], prefix_ids=())])
    logits, hidden = policy(batch)
    assert logits.shape == (2, 5, policy.model.config.vocab_size)
    assert hidden.shape == (2, 5, policy.hidden_size) == (2, 5, 16)
    prompts = [["right Q: cat A:", "wrong Q: dog dog A:"], ["wrong Q: cat A:", "right Q: dog dog A:"]]
    answers = [[9, 1], [9, 7, 1]]
    for instruction in range(2):
        for row in range(2):
            # Given labels, T5 makes its decoder's input itself; nothing is padded here.
            alone = policy.model(
                input_ids=torch.tensor(policy.encode([prompts[instruction][row]])),
                labels=torch.tensor([answers[row]]),
            ).logits[0]
            own = logits[instruction, batch["rows"] == row]
            torch.testing.assert_close(own, alone, rtol=1e-5, atol=1e-5)
    assert (logits[0] - logits[1]).abs().max() > 1e-2  # the instruction is read


def test_a_given_prefix_conditions_the_decoder_and_nothing_else(policy: Seq2SeqPolicy) -> None:
    policy.double().eval()
    whole = replace(ROWS[1], prefix_ids=(), output_ids=(10, 9, 7, 1))
    conditioned, plain = (policy(policy.collate([row])).logits for row in (ROWS[1], whole))
    torch.testing.assert_close(conditioned, plain[:, 1:])


def test_outputs_go_through_the_rows_in_order_without_gradients(
    policy: Seq2SeqPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hir.policies.seq2seq.SCORED_ROWS", 2)
    rows = [ROWS[0], ROWS[1], replace(ROWS[0], output_ids=(10, 1))]
    modes = []
    policy.model.encoder.register_forward_hook(lambda *_: modes.append(policy.training))
    batches = list(policy.train().outputs(rows))
    assert [batch["labels"].tolist() for batch, _ in batches] == [[9, 1, 9, 7, 1], [10, 1]]
    assert modes == [False, False] and policy.training
    for batch, output in batches:
        assert not output.logits.requires_grad
        torch.testing.assert_close(output.logits, policy(batch).logits)
