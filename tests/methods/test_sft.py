import random

import pytest
import torch

from hir.records import TrainingExample
from tests.methods.fake import FIRST, LN2, RIGHT, FakePolicy, build, rollout


def test_a_row_a_query_with_its_target() -> None:
    asked = [rollout(True, (2, 1), query) for query in ("one?", "two?", "one?")]  # one twice in the iteration
    assert build("sft").relabel(asked, random.Random(0)) == [
        TrainingExample(iteration=3, query=query, instruction=RIGHT, output_ids=(2, 1), correct=True)
        for query in ("one?", "two?")
    ]


@pytest.mark.parametrize("name", ["sft", "farl"])
def test_loss_by_hand(name: str) -> None:
    # The labels have 1/2 and 1/4; the mean of -log p over a row's words is 5/3 ln 2.
    policy = FakePolicy([[FIRST, FIRST]])
    loss, terms = build(name, epsilon=0.1).loss(policy, {"labels": torch.tensor([0, 2])})
    assert loss.item() == pytest.approx((0.9 * 1.5 + 0.1 * 5 / 3) * LN2)
    assert terms["supervise"].item() == loss.item() and not terms["supervise"].requires_grad
    loss.backward()
    assert policy.logits.grad[0, 0, 0] < 0 and policy.logits.grad[0, 1, 2] < 0
