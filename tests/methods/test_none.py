import copy
import random
from dataclasses import replace

import torch

from hir.records import TrainingExample
from tests.methods.fake import build, rollout


def test_a_row_an_answer_and_weights_stay_what_they_were(policy) -> None:
    before = copy.deepcopy(policy.state_dict())
    method = build("none", policy)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1, weight_decay=0.5)
    rollouts = [rollout(True, (9, 1), "cat"), rollout(False, (10, 1), "cat")]
    rows = method.relabel([replace(r, instruction="right") for r in rollouts], random.Random(0))
    assert rows == [
        TrainingExample(iteration=3, query="cat", instruction="right", output_ids=ids, correct=correct)
        for ids, correct in [((9, 1), True), ((10, 1), False)]
    ]
    assert method.instruction(rollouts[0]) is None
    loss, terms = method.loss(policy, policy.collate(rows))
    loss.backward()
    optimizer.step()
    assert loss.item() == 0 and terms == {}
    assert all(torch.equal(weight, before[name]) for name, weight in policy.state_dict().items())
