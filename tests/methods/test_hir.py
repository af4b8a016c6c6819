import random
from math import log, sqrt

import pytest
import torch

from hir.records import TrainingExample
from tests.methods.fake import FIRST, LN2, RIGHT, SECOND, THIRD, WRONG, FakePolicy, build, rollout

BRIEF = "Be brief."
ANSWER = (11, 12, 13, 14, 1)


def relabel(correct: bool, others: tuple[str, ...] = (BRIEF,), **config) -> TrainingExample:
    (example,) = build("hir", None, others, **config).relabel([rollout(correct, ANSWER)], random.Random(0))
    return example


@pytest.mark.parametrize(
    ("correct", "own", "other", "weight"), [(True, RIGHT, WRONG, 1.0), (False, WRONG, RIGHT, 0.2)]
)
def test_an_answer_is_kept_under_the_instruction_it_fits(
    correct: bool, own: str, other: str, weight: float
) -> None:
    expected = TrainingExample(3, "How many?", own, ANSWER, correct, contrast=(other,), weight=weight)
    assert relabel(correct, wrong_weight=0.2) == expected


@pytest.mark.parametrize("others", [(BRIEF,), (RIGHT, BRIEF, BRIEF)])
def test_contrast_with_the_set_has_as_many_instructions_for_right_as_for_wrong(others) -> None:
    # A batch holds one number of instructions, so a text that is listed twice must count once.
    assert relabel(True, others, contrast="set").contrast == (WRONG, BRIEF)
    assert relabel(False, others, contrast="set").contrast == (RIGHT, BRIEF)


@pytest.mark.parametrize("contrast", ["negated", "set"])
def test_alpha_zero_spares_the_contrast_but_for_the_unlikelihood_of_wrong_answers(contrast: str) -> None:
    assert relabel(True, alpha=0.0, contrast=contrast).contrast == ()
    unlikelihood = {"alpha": 0.0, "unlikelihood": 0.3, "contrast": contrast}
    assert relabel(True, **unlikelihood).contrast[0] == WRONG
    assert relabel(False, **unlikelihood).contrast[0] == RIGHT


def test_sub_output_decoder_splits_the_answer() -> None:
    rollouts = [rollout(i % 2 == 0, ANSWER) for i in range(300)]
    rows, again, other = (
        build("hir", sub_output="decoder").relabel(rollouts, random.Random(seed)) for seed in (0, 0, 1)
    )
    assert [row.correct for row in rows] == [r.correct for r in rollouts]
    assert rows == again != other
    assert all(row.prefix_ids + row.output_ids == ANSWER for row in rows)
    # Every split with something left to train is drawn: 0 to 4 tokens given.
    assert {len(row.prefix_ids) for row in rows} == {0, 1, 2, 3, 4}


# Fixed logits of two rows under two instructions, over 3 words. Under its own instruction every real token
# has probability 1/2, the two other words 1/4.
OWN = [FIRST, SECOND, THIRD]
OTHER = [SECOND, SECOND, FIRST]  # the labels have 1/4 | 1/2 and 1/4
BATCH = {
    "labels": torch.tensor([0, 1, 2]),
    "rows": torch.tensor([0, 1, 1]),
    "weights": torch.tensor([1.0, 0.5]),
    "correct": torch.tensor([True, False]),
}
# A token costs 0.8 ln 2 + 0.2 * 5/3 ln 2; of three tokens one weighs 1 and two weigh 1/2.
SUPERVISE = (1 + 0.5 + 0.5) / 3 * (0.8 + 0.2 * 5 / 3) * LN2
ENTROPY = 1.5 * LN2  # 1/2 ln 2 + 2 * 1/4 ln 4 at every token
# Mean log-probabilities a token: row 0 has -ln 2 and -2 ln 2, so shares 2 : 1; row 1 has -ln 2 and -1.5 ln 2,
# so shares sqrt(2) : 1. The supervised weights do not count here.
CONTRAST = (
    0.8 * -log(2 / 3) + 0.2 * -log(1 / 3)
    + 0.8 * -log(sqrt(2) / (1 + sqrt(2))) + 0.2 * -log(1 / (1 + sqrt(2)))
) / 2  # fmt: skip


def test_loss_with_contrast_by_hand() -> None:
    policy = FakePolicy([OWN, OTHER])
    loss, terms = build("hir", alpha=0.5, beta=0.1, epsilon=0.2).loss(policy, BATCH)
    assert loss.item() == pytest.approx(SUPERVISE + 0.5 * CONTRAST - 0.1 * ENTROPY, rel=1e-5)
    wanted = {"supervise": SUPERVISE, "contrast": CONTRAST, "entropy": ENTROPY}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=1e-5)
    assert policy.asked == [BATCH]  # one forward pass
    assert not any(term.requires_grad for term in terms.values())
    loss.backward()
    slopes = policy.logits.grad
    assert slopes[0, 0, 0] < 0 < slopes[1, 0, 0]  # row 0's word: up under its own, down under the other


def test_unlikelihood_of_wrong_rows_under_p_correct_by_hand() -> None:
    # Row 1 is wrong; under the other instruction, p_correct, its tokens have 1/2 and 1/4, so it has P = 1/8.
    # Row 0 is right and costs nothing.
    unlikely = -log(7 / 8) / 2
    method = build("hir", alpha=0.0, beta=0.1, epsilon=0.2, unlikelihood=0.3)
    loss, terms = method.loss(FakePolicy([OWN, OTHER]), BATCH)
    assert loss.item() == pytest.approx(SUPERVISE - 0.1 * ENTROPY + 0.3 * unlikely, rel=1e-5)
    assert terms["unlikelihood"].item() == pytest.approx(unlikely, rel=1e-5)


def test_loss_without_contrast_by_hand() -> None:
    loss, terms = build("hir", alpha=0.0, beta=0.1, epsilon=0.2).loss(FakePolicy([OWN]), BATCH)
    assert loss.item() == pytest.approx(SUPERVISE - 0.1 * ENTROPY, rel=1e-5)
    assert terms.keys() == {"supervise", "entropy"}
