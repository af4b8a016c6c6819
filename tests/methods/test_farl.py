import random
from math import log

import pytest
import torch

from hir.config.load import load_config
from hir.methods.base import build_method
from hir.records import TrainingExample
from tests.methods.fake import RIGHT, FakePolicy, instructions, rollout

LN2 = log(2)


def method(**config):
    return build_method({"name": "farl", **config}, instructions(), FakePolicy())


def test_right_answers_alone_become_rows() -> None:
    rollouts = [rollout(True, (2, 1)), rollout(False, (0, 1)), rollout(True, ()), rollout(True, (0, 2, 1))]
    rows = method().relabel(rollouts, random.Random(0))
    assert rows == [
        TrainingExample(iteration=3, query="How many?", instruction=RIGHT, output_ids=ids, correct=True)
        for ids in ((2, 1), (0, 2, 1))
    ]
    assert [method().instruction(r) for r in rollouts] == [RIGHT, None, None, RIGHT]


def test_loss_by_hand() -> None:
    # The labels have 1/2 and 1/4; the mean of -log p over a row's words is 5/3 ln 2.
    policy = FakePolicy([[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]])
    loss, terms = method(epsilon=0.1).loss(policy, {"labels": torch.tensor([0, 2])})
    assert loss.item() == pytest.approx((0.9 * 1.5 + 0.1 * 5 / 3) * LN2)
    assert terms["supervise"].item() == loss.item() and not terms["supervise"].requires_grad
    loss.backward()
    assert policy.logits.grad[0, 0, 0] < 0 and policy.logits.grad[0, 1, 2] < 0


def test_it_shares_hirs_window_and_smoothing() -> None:
    farl, hir = load_config(["method=farl"]), load_config([])
    assert (farl.buffer, farl.sampling, farl.training) == (hir.buffer, hir.sampling, hir.training)
    assert farl.method["epsilon"] == hir.method["epsilon"]
