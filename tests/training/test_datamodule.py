"""Online data: what is trained in an epoch was sampled in it, on every process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hir.config.schema import Config, InstructionConfig, SamplingConfig, TrainingConfig
from hir.errors import UserError
from hir.feedback.base import Match, unjudged
from hir.methods.base import build_method
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import Example, Verdict
from hir.relabel.base import Relabel
from hir.sampling.base import Answer
from hir.tasks.base import Task
from hir.training.datamodule import HIRDataModule


def datamodule(
    policy: Seq2SeqPolicy, queries: Sequence[str], sampling: SamplingConfig, method: str = "hir"
) -> HIRDataModule:
    """Of a task whose answers are all "one", in an update of two rows."""
    rows = tuple(Example(query, ("one",)) for query in queries)
    config = Config(sampling=sampling, training=TrainingConfig(batch_size=2, num_updates=1))
    phi = Relabel(InstructionConfig("right", "wrong"))
    task = Task("t", rows, rows, rows, Match())
    return HIRDataModule(config, task, policy, build_method({"name": method}, phi, policy), phi)


def trained(data: HIRDataModule) -> set[tuple[str, str, str]]:
    """Query, instruction and answer of the rows."""
    return {(row.query, row.instruction, data.policy.decode(row.output_ids)) for row in data.buffer.rows()}


def test_iterations_ask_different_queries_until_all_were_asked(policy: Seq2SeqPolicy) -> None:
    data = datamodule(policy, "abcde", SamplingConfig(max_queries=2))
    asked = [row.query for iteration in range(5) for row in data.queries(iteration)]
    assert len(asked) == 10 and sorted(asked[:5]) == sorted(asked[5:]) == list("abcde")
    assert asked[:5] != asked[5:]


def test_queries_without_a_right_answer_are_asked_again(policy: Seq2SeqPolicy) -> None:
    """The policy knows that the answer to "cat" is "one"; to "dog" it says so only at another temperature."""
    asked = []

    class Scripted:
        def sample(self, prompts: Sequence[str], num_samples: int, seed: int, config: Any) -> Any:
            drawn = config.temperature, config.top_k
            asked.append((sorted(prompt.split()[2] for prompt in prompts), num_samples, drawn))
            known = [config.temperature > 1 or "cat" in prompt for prompt in prompts]
            ids = [policy.encode_answer("one" if knows else "two") for knows in known]
            return [[Answer(tokens, (-0.5,) * len(tokens))] * num_samples for tokens in ids]

    sampling = SamplingConfig(num_samples=2, retry_temperature=2.0, retry_top_k=7)
    data = datamodule(policy, ["cat", "dog"], sampling)
    report = data.regenerate(Scripted(), iteration=0)
    assert asked == [(["cat", "dog"], 2, (1.0, 50)), (["dog"], 2, (2.0, 7))]
    assert trained(data) == {("cat", "right", "one"), ("dog", "wrong", "two"), ("dog", "right", "one")}
    assert report.num_samples == 6  # all, but the shares are of the first four
    assert (report.fraction_correct, report.fraction_unique) == (0.5, 0.5)


def test_unjudged_answers_are_left_out_and_when_all_are_the_run_ends(policy: Seq2SeqPolicy) -> None:
    data, lost = datamodule(policy, ["cat", "dog"], SamplingConfig(num_samples=2)), {"dog"}
    given = Answer(policy.encode_answer("one"), ())
    sampler = SimpleNamespace(sample=lambda prompts, number, *rest: [[given] * number for _ in prompts])

    def judge(rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        return [unjudged("no idea") if row.query in lost else Verdict(True, 1.0) for row in rows]

    data.task = replace(data.task, feedback=judge)
    report = data.regenerate(sampler, iteration=0)
    assert (report.num_samples, report.fraction_correct, report.unjudged) == (4, 1.0, ("no idea",) * 2)
    assert {row.query for row in data.buffer.rows()} == {r.query for r, _ in report.logged} == {"cat"}
    lost.add("cat")
    with pytest.raises(UserError, match="^the judge failed on all answers of iteration 2: no idea$"):
        data.regenerate(sampler, iteration=1)


def test_a_method_that_does_not_sample_is_given_targets_in_place_of_answers(policy: Seq2SeqPolicy) -> None:
    data = datamodule(policy, ["cat", "dog"], SamplingConfig(num_samples=4), "sft")
    assert data.regenerate(None, iteration=0).num_samples == 2
    assert trained(data) == {("cat", "right", "one"), ("dog", "right", "one")}


@pytest.mark.slow
def test_two_ranks_hold_one_buffer_and_train_disjoint_shards_of_what_was_just_sampled(
    two_iterations: tuple[Path, Path],
) -> None:
    ranks = [json.loads((two_iterations[1] / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    before, *epochs = zip(*(rank["epochs"] for rank in ranks), strict=True)
    assert [notes["rows"] for notes in before] == [[], []], "rows were fetched before anything was sampled"
    assert len(epochs) == 2
    for number, (first, second) in enumerate(epochs):
        assert first["buffer"] == second["buffer"]
        # 3 updates of 16 rows, half of each on either rank: neighbours, so that a query's rows stay together.
        left, right = ([index for index, _, _ in rank["rows"]] for rank in (first, second))
        assert left == [*range(0, 8), *range(16, 24), *range(32, 40)]
        assert right == [*range(8, 16), *range(24, 32), *range(40, 48)]
        rows = sorted([*first["rows"], *second["rows"]])
        assert {iteration for _, iteration, _ in rows} == {number}
        lengths = [len(prompt) for _, _, prompt in rows]
        for start in (0, 16, 32):  # within an update by length
            assert lengths[start : start + 16] == sorted(lengths[start : start + 16])
