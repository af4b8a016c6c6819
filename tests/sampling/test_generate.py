"""What is about the sampler of transformers' generate alone; see test_samplers.py for what all promise."""

import pytest
import torch

from hir.config.schema import SamplingConfig
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.sampling.generate import GenerateSampler

PROMPTS = ["right cat", "two", "wrong Q: dog dog one two one two dog A:"]


def sampler_of(policy: Seq2SeqPolicy) -> GenerateSampler:
    return GenerateSampler(policy, SamplingConfig(max_new_tokens=6, batch_size=2), 2)


@pytest.mark.parametrize("training", [True, False])
def test_it_samples_in_eval_mode(policy: Seq2SeqPolicy, training: bool) -> None:
    modes = []
    policy.train(training)
    sampler = sampler_of(policy)
    sampler.sample(PROMPTS, 1, seed=0, progress=lambda _: modes.append(policy.model.training))
    sampler.greedy(PROMPTS, progress=lambda _: modes.append(policy.model.training))
    assert modes == [False] * 4
    assert {module.training for module in policy.modules()} == {training}


def test_the_mode_and_the_generator_are_restored_after_an_error(policy: Seq2SeqPolicy) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        sampler_of(policy).sample(PROMPTS, 1, seed=0, progress=interrupt)
    assert {module.training for module in policy.modules()} == {True}
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_comes_batch_by_batch(policy: Seq2SeqPolicy) -> None:
    counts: list[int] = []
    sampler_of(policy).sample(PROMPTS, 4, seed=0, progress=counts.append)
    assert counts == [2, 1]
