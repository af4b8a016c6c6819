import random
from dataclasses import replace
from math import log, sqrt

import pytest
import torch

from hir.config.load import load_config
from hir.errors import UserError
from hir.methods.grpo import group_advantages
from hir.records import Rollout, TrainingExample, Verdict
from hir.training.settings import check_on_policy
from tests.methods.fake import FIRST, LN2, RIGHT, SECOND, THIRD, FakePolicy, build, rollout


def test_group_advantages_by_hand() -> None:
    # Mean 1/4, variance (9 + 1 + 1 + 1) / 16 / 4 = 3/16, deviation sqrt(3) / 4.
    assert group_advantages([1, 0, 0, 0]) == pytest.approx([3 / sqrt(3), *[-1 / sqrt(3)] * 3])
    assert group_advantages([0, 1]) == pytest.approx([-1, 1])
    assert group_advantages([1.0] * 3) == group_advantages([0.0] * 3) == [0, 0, 0]


def answer(query: str, ids: tuple[int, ...], correct: bool) -> Rollout:
    return rollout(correct, ids, query, log_probs=(-0.5, -0.25)[: len(ids)])


def row(answer: Rollout, advantage: float) -> TrainingExample:
    advantages = (advantage,) * len(answer.output_ids)
    return TrainingExample.of(answer, RIGHT, log_probs=answer.log_probs, advantages=advantages)


MIXED = [answer("one?", (0, 1), True), answer("one?", (2,), False)]
EQUAL = [answer("two?", (2, 1), True), answer("two?", (2, 1), True)]


def test_rows_have_the_advantage_of_their_answer_at_every_token() -> None:
    policy = FakePolicy()
    rows = build("grpo", policy).relabel([*EQUAL, *MIXED], random.Random(0))
    assert rows == [row(MIXED[0], 1.0), row(MIXED[1], -1.0)]
    assert policy.num_frozen == 0  # no copy of the start weights
    half, quarter = (replace(MIXED[1], verdict=Verdict(False, score)) for score in (0.5, 0.25))
    scored = build("grpo", reward="score").relabel([half, quarter], random.Random(0))
    assert scored == [row(half, 1.0), row(quarter, -1.0)]


def test_with_kl_rows_know_the_start_weights_and_none_is_left_out() -> None:
    policy = FakePolicy()
    rows = build("grpo", policy, kl=0.1).relabel([*EQUAL, *MIXED], random.Random(0))
    assert [r.query for r in rows] == ["two?", "two?", "one?", "one?"]
    assert [r.advantages for r in rows] == [(0, 0), (0, 0), (1, 1), (-1,)]
    expected = [(-2 * LN2, -2 * LN2), (-2 * LN2, -2 * LN2), (-LN2, -2 * LN2), (-2 * LN2,)]
    for r, log_probs in zip(rows, expected, strict=True):
        assert r.reference_log_probs == pytest.approx(log_probs)
    assert policy.num_frozen == 1


def test_when_all_answers_are_alike_one_row_goes_on() -> None:
    assert build("grpo").relabel(EQUAL, random.Random(0)) == [row(EQUAL[0], 0.0)]
    wrong = [answer("one?", (0,), False)] * 2
    assert build("grpo").relabel(wrong, random.Random(0)) == [row(wrong[0], 0.0)]


def test_single_answers_are_refused() -> None:
    config = load_config(["method=grpo", "sampling.num_samples=1"])
    with pytest.raises(UserError, match="set sampling.num_samples to at least 2$"):
        check_on_policy(config)
    check_on_policy(replace(config, sampling=replace(config.sampling, num_samples=2)))
    assert build("grpo").relabel([], random.Random(0)) == []  # a rank may have no query


# Three tokens of probability 1/2, in rows of one and two, at ratios 2, 1 and 1/2 to the sampling policy.
BATCH = {
    "labels": torch.tensor([0, 1, 2]),
    "rows": torch.tensor([0, 1, 1]),
    "weights": torch.ones(2),
    "correct": torch.tensor([True, False]),
    "log_probs": torch.tensor([0.25, 0.5, 1.0]).log(),
    "advantages": torch.tensor([1.0, -1.0, -1.0]),
    "reference_log_probs": torch.tensor([log(1 / 4), log(1 / 2), log(1 / 2) + log(3)]),
}


@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_loss_by_hand(kl: float) -> None:
    policy = FakePolicy([[FIRST, SECOND, THIRD]])
    loss, terms = build("grpo", clip=0.2, kl=kl).loss(policy, BATCH)
    # e^d - d - 1 with d = -ln 2, 0 and ln 3
    divergences = [LN2 - 0.5, 0, 2 - log(3)]
    # Row 0: -1.2 clipped. Row 1: the mean of 1 and of 0.8, clipped. A mean over tokens would be 0.2.
    expected = (-1.2 + 0.9) / 2 + kl * (divergences[0] + (divergences[1] + divergences[2]) / 2) / 2
    assert loss.item() == pytest.approx(expected)
    wanted = {"policy": -0.15, "entropy": 1.5 * LN2}
    wanted |= {"kl": sum(divergences) / 3} if kl else {}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted)
    assert not any(term.requires_grad for term in terms.values())
    loss.backward()
    slopes = policy.logits.grad[0]
    # A half for the row, a half for the token; the ratio's slope by its own logit is 1 * (1 - 1/2).
    assert slopes[1].tolist() == pytest.approx([-0.0625, 0.125, -0.0625])
    # The others are clipped, and have the divergence's slope alone: 1 - e^d by the policy's log-probability,
    # towards the start weights.
    assert slopes[0, 0].item() == pytest.approx(kl / 2 * (1 - 0.5) * 0.5)
    assert slopes[2, 2].item() == pytest.approx(kl / 4 * (1 - 3) * 0.5)
