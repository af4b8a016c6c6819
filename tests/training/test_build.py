"""hir/training/build.py: what is counted before training, on the word tokenizer of tests/conftest.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hir.config.schema import Config, InstructionConfig, SamplingConfig, TaskConfig
from hir.errors import UserError
from hir.feedback.base import Match
from hir.feedback.judge import Judge
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import Example
from hir.relabel.base import Relabel
from hir.sampling.base import build_sampler
from hir.tasks.base import Task
from hir.training.build import load_tasks
from hir.training.settings import ask_start, check_lengths, check_rows, load_run_config

ROWS = tuple(Example(query, targets) for query, targets in (
    ("cat", ("one",)),
    ("cat dog", ("one two one two",)),
    ("cat dog cat", ("one two one", "one two")),
    ("dog", ("one two one two one",)),
))  # fmt: skip
TASK = Task("mine", ROWS[:2], ROWS[2:3], ROWS[3:], Match())


def test_targets_that_are_longer_than_an_answer_are_counted(policy: Seq2SeqPolicy) -> None:
    # In tokens, the end included: 2, 5, 3 (the shorter of two) and 6. Of 5 the first 4 are the whole text.
    def told(max_new_tokens: int) -> tuple[str, ...]:
        config = Config(sampling=SamplingConfig(max_new_tokens=max_new_tokens))
        return (*check_lengths(policy, [TASK], Relabel(InstructionConfig("right", "wrong")), config),)

    assert told(6) == told(5) == ()
    said = "targets of mine: the longest has 5 tokens, sampling.max_new_tokens="
    assert told(4) == (f"no answer is as long as 1 of 4 {said}4",)
    assert told(3) == (f"no answer is as long as 2 of 4 {said}3",)


def test_answers_in_texts_are_the_same_rows_with_other_targets() -> None:
    config = TaskConfig("date_understanding", num_train=8, num_validation=4, num_test=4)
    [letters], [texts] = (load_tasks(Config(task=replace(config, answers=of))) for of in ("given", "text"))
    for given, row in zip(letters.rows, texts.rows, strict=True):
        assert row == replace(given, targets=(given.options["ABCDEF".index(given.target[1])],))
        assert letters.verify(given, row.target) and texts.verify(row, given.target)
    assert letters.fingerprint != texts.fingerprint


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("method=sft", "method=sft is trained on targets, and rows of mine have none"),
        ("relabel=constraints", "relabel=constraints needs rows with constraints: those of mine have none"),
        ("feedback=constraints", "feedback=constraints needs rows with constraints: those of mine have none"),
        ("task.answers=text", "needs rows with options, and those of mine have none"),
    ],
)
def test_what_rows_do_not_have_is_refused(argument: str, expected: str) -> None:
    bare = replace(TASK, train=tuple(replace(row, targets=()) for row in TASK.train))
    with pytest.raises(UserError, match=f"{expected}$"):
        check_rows(bare, load_run_config([argument]))


def test_a_judge_without_an_endpoint_asks_the_policy_as_it_was(policy: Seq2SeqPolicy) -> None:
    judge, prompts = Judge(Judge.Settings(), Match()), ["cat", "dog dog"]
    ask_start(replace(TASK, feedback=judge), policy, Config())
    assert judge.ask_policy
    before, sampler = judge.ask_policy(prompts), build_sampler(policy, SamplingConfig(), 8)
    assert before == [policy.decode(ids) for ids in sampler.greedy(prompts)] and before != ["", ""]
    for weight in policy.parameters():
        weight.data.zero_()
    assert judge.ask_policy(prompts) == before != [policy.decode(ids) for ids in sampler.greedy(prompts)]
    ask_start(TASK, policy, Config())  # another feedback takes no policy


def test_prompts_that_are_cut_are_counted_under_all_instructions(policy: Seq2SeqPolicy) -> None:
    instructions = Relabel(InstructionConfig("right", "wrong wrong", ()))
    (shortest,) = map(len, policy.token_ids([policy.render("wrong wrong", "cat")]))
    policy.max_input_tokens = shortest
    # Longer are two queries under "wrong wrong", the longest of them by a token under "right", too.
    said = f"the longest has {shortest + 2} tokens, model.max_input_tokens={shortest}"
    told = check_lengths(policy, [TASK], instructions, Config())
    assert told == [f"3 of 8 prompts of mine are cut in their middle: {said}"]


def test_a_fingerprint_tells_rows_their_order_and_their_split() -> None:
    one, two, three, four = ROWS
    others = [
        replace(TASK, test=(replace(four, targets=("two",)),)),
        replace(TASK, test=(replace(four, options=("one", "two")),)),
        replace(TASK, train=(two, one)),
        replace(TASK, train=(one,), validation=(two, three)),
    ]
    assert len({task.fingerprint for task in (TASK, *others)}) == 5
    assert replace(TASK, train=(Example("cat", ("one",)), two)).fingerprint == TASK.fingerprint
