import random
from dataclasses import replace
from math import sqrt

import pytest
import torch

from hir.methods.ppo import generalized_advantages
from hir.records import Verdict
from tests.methods.fake import FIRST, LN2, RIGHT, SECOND, THIRD, FakePolicy, build, rollout


def method(policy=None, weight: float = 0.0, bias: float = 0.0, **config):
    ppo = build("ppo", policy, **config)
    with torch.no_grad():
        ppo.value_head.weight.fill_(weight)
        ppo.value_head.bias.fill_(bias)
    return ppo


@pytest.mark.parametrize(
    ("discount", "gae_lambda", "expected"),
    [
        # delta: -0.5 + 0.8 * 0.25 = -0.3; -0.25 + 0.8 * 0.75 = 0.35; 1 - 0.75 = 0.25. Then backwards:
        # 0.25; 0.35 + 0.4 * 0.25 = 0.45; -0.3 + 0.4 * 0.45 = -0.12.
        (0.8, 0.5, [-0.12, 0.45, 0.25]),
        (1.0, 0.0, [-0.25, 0.5, 0.25]),  # next value less this one
        (1.0, 1.0, [0.5, 0.75, 0.25]),  # what was earned less the value
        (0.5, 1.0, [-0.25, 0.25, 0.25]),  # 1/4, 1/2 and 1 less the value
    ],
)
def test_generalized_advantages_by_hand(discount: float, gae_lambda: float, expected: list[float]) -> None:
    advantages = generalized_advantages([0, 0, 1], [0.5, 0.25, 0.75], discount, gae_lambda)
    assert advantages == pytest.approx(expected)
    assert generalized_advantages([4, 2, 1], [0, 0, 0], 1, 1) == [7, 3, 1]


# Words 2, 0, 1; START gives them 1/4, 1/2, 1/4. The policy gave 1/2, 1/2, 1/8: log-ratios ln 2, 0 and -ln 2.
IDS = (2, 0, 1)
LOG_PROBS = (-LN2, -LN2, -3 * LN2)


def test_rows_by_hand() -> None:
    policy = FakePolicy()
    ppo = method(policy, weight=0.5, bias=0.1, kl=0.2, discount=0.8, gae_lambda=0.5)
    rollouts = [
        rollout(True, IDS, log_probs=LOG_PROBS),
        rollout(False, (0,), log_probs=(-LN2,)),
        rollout(True, (1,), log_probs=(-2 * LN2,)),  # in a batch of its own
    ]
    rows = ppo.relabel(rollouts, random.Random(0))
    # Values 1.1, 0.1, 0.6. Rewards -0.2 ln 2, 0, 1 + 0.2 ln 2.
    deltas = [-0.2 * LN2 + 0.8 * 0.1 - 1.1, 0.8 * 0.6 - 0.1, 1 + 0.2 * LN2 - 0.6]
    advantages = [deltas[0] + 0.4 * (deltas[1] + 0.4 * deltas[2]), deltas[1] + 0.4 * deltas[2], deltas[2]]
    assert rows[0].advantages == pytest.approx(advantages)
    assert rows[0].returns == pytest.approx([advantages[0] + 1.1, advantages[1] + 0.1, advantages[2] + 0.6])
    assert rows[1].advantages == pytest.approx([-0.1])
    assert rows[1].returns == pytest.approx([0], abs=1e-6)
    assert rows[2].advantages == pytest.approx([1 - 0.6])
    assert rows[2].returns == pytest.approx([1])
    assert [(r.output_ids, r.correct, r.log_probs) for r in rows] == [
        (IDS, True, LOG_PROBS), ((0,), False, (-LN2,)), ((1,), True, (-2 * LN2,))
    ]  # fmt: skip
    assert all((r.iteration, r.query, r.instruction) == (3, "How many?", RIGHT) for r in rows)
    assert policy.num_frozen == 1


def test_without_kl_the_reward_is_the_verdict_and_nothing_is_copied() -> None:
    policy = FakePolicy()
    ppo = method(policy, kl=0.0)
    (row,) = ppo.relabel([rollout(True, IDS, log_probs=LOG_PROBS)], random.Random(0))
    assert row.advantages == pytest.approx([0.95**2, 0.95, 1])
    assert policy.num_frozen == 0
    half = replace(rollout(False, (0,)), verdict=Verdict(False, 0.5))
    for kind, advantage in (("score", 0.5), ("correct", 0.0)):
        (row,) = method(kl=0.0, reward=kind).relabel([half], random.Random(0))
        assert row.advantages == (advantage,)
    assert ppo.relabel([], random.Random(0)) == []  # a rank may have no query


def test_the_value_head_is_all_that_it_adds_to_the_weights(policy) -> None:
    ppo = build("ppo", policy, kl=0.1)
    weights = dict(ppo.named_parameters())
    assert weights.keys() == {"value_head.weight", "value_head.bias"} == ppo.state_dict().keys()
    assert not any(weight.any() for weight in weights.values())


# Ratios 2, 1 and 1/2 to the sampling policy.
BATCH = {
    "labels": torch.tensor([0, 1, 2]),
    "rows": torch.tensor([0, 1, 1]),
    "weights": torch.ones(2),
    "correct": torch.tensor([True, False]),
    "log_probs": torch.tensor([0.25, 0.5, 1.0]).log(),
    "advantages": torch.tensor([1.0, 1.0, -2.0]) + 5.0,  # of mean 5 and variance 2
    "returns": torch.tensor([1.0, 0.5, -1.0]),
}
# Whitened: 1, 1, -2 by sqrt(2). Token 0 gains from a ratio of at most 1.2, token 2 from one of at least 0.8.
POLICY = -(1.2 + 1 - 2 * 0.8) / sqrt(2) / 3
# Old values are returns less advantages, -5, -5.5 and -4; the new ones are 0.1 above, 0.1 below, 0.5 above.
# Errors 5.9, 6.1 and 2.5; the last is held at 0.2 above, where it is 2.8.
HIDDEN = [[[-4.9], [-5.6], [-3.5]]]
VALUE = (5.9**2 + 6.1**2 + 2.8**2) / 2 / 3


def test_loss_and_gradients_by_hand() -> None:
    policy = FakePolicy([[FIRST, SECOND, THIRD]], HIDDEN)
    ppo = method(weight=1.0, clip=0.2, value_weight=0.3, beta=0.1)
    loss, terms = ppo.loss(policy, BATCH)
    wanted = {"policy": POLICY, "value": VALUE, "entropy": 1.5 * LN2}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=1e-3)
    assert loss.item() == pytest.approx(POLICY + 0.3 * VALUE - 0.1 * wanted["entropy"], rel=1e-3)
    assert not any(term.requires_grad for term in terms.values())
    assert policy.asked == [BATCH]  # one forward pass
    loss.backward()
    # The bonus makes likely words less likely: by a logit the entropy's slope is -p (ln p + entropy), that is
    # -1/4 ln 2 where p is 1/2, and 1/8 ln 2 where it is 1/4.
    bonus = 0.1 * LN2 / 8 / 3
    # Of the policy, what is not clipped: advantage, mean over tokens, 1 - p.
    step = 1 / sqrt(2) / 3 / 2
    slopes = policy.logits.grad[0].tolist()
    assert slopes[0] == pytest.approx([2 * bonus, -bonus, -bonus], rel=1e-3)
    assert slopes[1] == pytest.approx([step / 2 - bonus, -step + 2 * bonus, step / 2 - bonus], rel=1e-3)
    assert slopes[2] == pytest.approx([-bonus, -bonus, 2 * bonus], rel=1e-3)
    # The value loss trains head and states; the token whose value went too far has none.
    assert policy.hidden.grad.flatten().tolist() == pytest.approx([0.3 * -5.9 / 3, 0.3 * -6.1 / 3, 0])
    assert ppo.value_head.bias.grad.item() == pytest.approx(0.3 * -12 / 3)
