"""Its loss is tested beside that of sft, which is the same."""

import random

from hir.config.load import load_config
from hir.records import TrainingExample
from tests.methods.fake import RIGHT, build, rollout


def test_right_answers_alone_become_rows() -> None:
    rollouts = [rollout(True, (2, 1)), rollout(False, (0, 1)), rollout(True, (0, 2, 1))]
    farl = build("farl")
    assert farl.relabel(rollouts, random.Random(0)) == [
        TrainingExample(iteration=3, query="How many?", instruction=RIGHT, output_ids=ids, correct=True)
        for ids in ((2, 1), (0, 2, 1))
    ]
    assert [farl.instruction(r) for r in rollouts] == [RIGHT, None, RIGHT]


def test_it_shares_hirs_window_and_smoothing() -> None:
    farl, hir = load_config(["method=farl"]), load_config([])
    assert (farl.buffer, farl.sampling, farl.training) == (hir.buffer, hir.sampling, hir.training)
    assert farl.method["epsilon"] == hir.method["epsilon"]
