"""Online data: what is trained in an epoch was sampled in it, on one process and on two."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from hir.config.schema import Config, InstructionConfig, SamplingConfig, TrainingConfig
from hir.feedback.match import Match, exact_match
from hir.methods.base import build_method
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import Example
from hir.relabel.correctness import Correctness
from hir.sampling.base import Answer, Progress
from hir.tasks.base import Task
from hir.training.datamodule import Blocks, HIRDataModule
from tests.command_line import SMALL, run

slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("world_size", "accumulated", "rank", "numbers"),
    [
        (1, 1, 0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        (2, 1, 0, [0, 1, 2, 3, 8, 9, 10, 11]),
        (2, 1, 1, [4, 5, 6, 7, 12, 13, 14, 15]),
        (2, 2, 0, [0, 1, 4, 5, 8, 9, 12, 13]),  # two batches of 2 an update
        (2, 2, 1, [2, 3, 6, 7, 10, 11, 14, 15]),
    ],
)
def test_a_rank_gets_a_block_of_each_batch(
    world_size: int, accumulated: int, rank: int, numbers: list[int]
) -> None:
    """2 updates of 8 rows."""
    blocks = Blocks(16, 8 // (world_size * accumulated), rank, world_size)
    assert list(blocks) == numbers and len(blocks) == len(numbers)
    assert list(blocks) == numbers  # epoch after epoch


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("accumulated", [1, 2, 4])
def test_every_row_has_one_rank(world_size: int, accumulated: int) -> None:
    size = 3
    update = size * world_size * accumulated
    shares = [list(Blocks(5 * update, size, rank, world_size)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {5 * update // world_size}
    assert sorted(number for share in shares for number in share) == list(range(5 * update))
    for share in shares:  # a rank's part of an update is of that update
        for step in range(5):
            part = share[step * size * accumulated : (step + 1) * size * accumulated]
            assert {number // update for number in part} == {step}


def test_queries_without_a_right_answer_are_asked_again(policy: Seq2SeqPolicy) -> None:
    """The policy knows that the answer to "cat" is "one"; to "dog" it says so only at another temperature."""
    rows = tuple(Example(query, ("one",)) for query in ("cat", "dog"))
    config = Config(
        sampling=SamplingConfig(num_samples=2, retry_temperature=2.0, retry_top_k=7),
        training=TrainingConfig(batch_size=2, num_updates=1),
    )
    asked = []

    class Scripted:
        def sample(
            self,
            prompts: Sequence[str],
            num_samples: int,
            seed: int,
            progress: Progress | None = None,
            config: SamplingConfig | None = None,
        ) -> list[list[Answer]]:
            drawn = config and (config.temperature, config.top_k)
            asked.append((sorted(prompt.split()[2] for prompt in prompts), num_samples, drawn))
            known = [config is not None or "cat" in prompt for prompt in prompts]
            ids = [policy.encode_answer("one" if knows else "two") for knows in known]
            return [[Answer(tokens, (-0.5,) * len(tokens))] * num_samples for tokens in ids]

    instructions = Correctness(InstructionConfig("right", "wrong"))
    method = build_method(config.method, instructions, policy)
    data = HIRDataModule(
        config, Task("t", rows, rows, rows, Match(exact_match)), policy, method, instructions
    )
    report = data.regenerate(Scripted(), iteration=0)
    assert asked == [(["cat", "dog"], 2, None), (["dog"], 2, (2.0, 7))]
    trained = {(row.query, row.instruction, policy.decode(row.output_ids)) for row in data.buffer.rows()}
    assert trained == {("cat", "right", "one"), ("dog", "wrong", "two"), ("dog", "right", "one")}
    assert report.num_samples == 6  # all, but the shares are of the first four
    assert (report.fraction_correct, report.fraction_unique) == (0.5, 0.5)


def test_a_method_that_does_not_sample_is_given_targets_in_place_of_answers(policy: Seq2SeqPolicy) -> None:
    rows = (Example("cat", ("one",)), Example("dog", ("two",)))
    training = TrainingConfig(batch_size=2, num_updates=1)
    config = Config(method={"name": "sft"}, sampling=SamplingConfig(num_samples=4), training=training)
    instructions = Correctness(InstructionConfig("right", "wrong"))
    method = build_method(config.method, instructions, policy)
    data = HIRDataModule(
        config, Task("t", rows, rows, rows, Match(exact_match)), policy, method, instructions
    )
    report = data.regenerate(None, iteration=0)
    trained = {(row.query, row.instruction, policy.decode(row.output_ids)) for row in data.buffer.rows()}
    assert trained == {("cat", "right", "one"), ("dog", "right", "two")}
    assert report.num_samples == 2


def probe(environment: dict[str, str], folder: Path, *arguments: str) -> list[dict]:
    """Notes of each rank of a run of three iterations that keeps one iteration's rows."""
    folder.mkdir()
    settings = [*SMALL, "trainer.max_epochs=3", "buffer.window=1", f"run_dir={folder / 'run'}", *arguments]
    done = run(environment, str(folder), *settings, program="tests/probe.py")
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted(folder.glob("rank*.json"))]


@pytest.fixture(scope="module")
def one_rank(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    return probe(environment, tmp_path_factory.mktemp("one") / "probe")


@pytest.fixture(scope="module")
def two_ranks(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("two") / "probe"
    ranks = probe(environment, folder, "trainer.devices=2", "trainer.accelerator=cpu", "task.num_test=31")
    ranks[0]["folder"] = folder / "run"
    return ranks


@slow
@pytest.mark.parametrize("ranks", ["one_rank", "two_ranks"])
def test_rows_trained_in_an_epoch_were_sampled_in_it(ranks: str, request: pytest.FixtureRequest) -> None:
    for rank in request.getfixturevalue(ranks):
        before, *epochs = rank["epochs"]
        assert before["rows"] == [], "rows were fetched before anything was sampled"
        assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2]
        for epoch in epochs:
            assert epoch["rows"]
            assert {iteration for _, iteration, _ in epoch["rows"]} == {epoch["epoch"]}
            assert {query for _, _, query in epoch["rows"]} <= set(epoch["queries"])


@slow
def test_iterations_ask_different_queries_until_all_were_asked(one_rank: list[dict]) -> None:
    epochs = one_rank[0]["epochs"][1:]
    asked = [query for epoch in epochs for query in epoch["queries"]]
    assert len(asked) == 3 * 32 and len(set(asked)) == 96  # 200 training queries: no query comes again yet


@slow
def test_two_ranks_hold_one_buffer_and_train_disjoint_shards_of_one_plan(two_ranks: list[dict]) -> None:
    assert len(two_ranks) == 2
    assert two_ranks[0]["weights"] == two_ranks[1]["weights"]
    for first, second in zip(*(rank["epochs"][1:] for rank in two_ranks), strict=True):
        assert first["buffer"] == second["buffer"]
        # 3 updates of 16 rows, half of each on either rank: neighbours, so that a query's rows stay together.
        left, right = ([index for index, _, _ in rank["rows"]] for rank in (first, second))
        assert left == [*range(0, 8), *range(16, 24), *range(32, 40)]
        assert right == [*range(8, 16), *range(24, 32), *range(40, 48)]
        lengths = [len(query) for _, _, query in sorted([*first["rows"], *second["rows"]])]
        for start in (0, 16, 32):  # within an update by length
            assert lengths[start : start + 16] == sorted(lengths[start : start + 16])


@slow
def test_two_ranks_count_every_evaluation_row_once(
    two_ranks: list[dict], environment: dict[str, str]
) -> None:
    """31 test rows do not halve: the two ranks' accuracy is the one that a single process finds."""
    folder = two_ranks[0]["folder"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["samples"] == 3 * 32 * 4 and summary["updates"] == 9
    done = run(environment, f"run={folder}", program="-m hir evaluate")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])["object_counting"]
    assert result["rows"] == 31
    assert result["accuracy"] == summary["test"]["accuracy"]


@slow
def test_two_ranks_resume_to_the_same_weights(
    on_two_devices: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A constant learning rate, so that the shorter run's steps are the longer one's first."""
    settings = [*SMALL, "trainer.devices=2", "trainer.accelerator=cpu", "training.final_lr=null"]
    settings += ["sampling.retry_temperature=2.0"]
    whole, part = tmp_path / "whole", shutil.copytree(on_two_devices, tmp_path / "part")
    for arguments in (
        [*settings, "trainer.max_epochs=2", f"run_dir={whole}"],
        [f"resume={part}", "trainer.max_epochs=2"],
    ):
        done = run(environment, *arguments)
        assert done.returncode == 0, done.stderr
    states = [torch.load(folder / "checkpoints/last.ckpt", weights_only=True) for folder in (whole, part)]
    left, right = (state["state_dict"] for state in states)
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert (whole / "samples.jsonl").read_text() == (part / "samples.jsonl").read_text()
