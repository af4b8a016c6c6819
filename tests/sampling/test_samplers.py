"""What every sampler promises."""

from typing import Any

import pytest
import torch

from hir.config.schema import SamplingConfig
from hir.policies.base import Policy
from hir.sampling.base import Sampler, build_sampler
from tests.sampling import models

PROMPTS = [
    "right cat",
    "wrong Q: dog dog one two one two dog A:",
    "two",
    "right Q: one A:",
    "wrong wrong wrong wrong wrong cat cat cat cat dog dog one",
]


@pytest.fixture(params=["t5, generate", "t5, t5", "qwen3, generate", "qwen3, causal"])
def names(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Of a model and of what samples from it."""
    kind, name = request.param.split(", ")
    return kind, name


@pytest.fixture
def name(names: tuple[str, str]) -> str:
    return names[1]


@pytest.fixture
def policy(names: tuple[str, str], policy: Policy, word_tokenizer: Any) -> Policy:
    return policy if names[0] == "t5" else models.make_causal_policy(names[0], word_tokenizer)


def sampler_of(policy: Policy, name: str, greedy_batch_size: int = 2, **config: Any) -> Sampler:
    config = {"max_new_tokens": 6, "batch_size": 2, **config}
    return build_sampler(policy, SamplingConfig(name=name, **config), greedy_batch_size)


@pytest.mark.parametrize("greedy_batch_size", [1, 2, 64])
def test_greedy_equals_generate_on_each_prompt_alone(
    policy: Policy, name: str, greedy_batch_size: int
) -> None:
    answers = sampler_of(policy, name, greedy_batch_size).greedy(PROMPTS)
    assert answers == [models.generated(policy, prompt, 6) for prompt in PROMPTS]
    assert len(set(answers)) >= 3  # the model answers different prompts differently


def test_no_prompts_no_answers(policy: Policy, name: str) -> None:
    assert sampler_of(policy, name).greedy([]) == []
    assert sampler_of(policy, name).sample([], 4, seed=0) == []


def test_the_seed_decides_and_torchs_generator_is_left_as_it_was(policy: Policy, name: str) -> None:
    sampler, before = sampler_of(policy, name), torch.get_rng_state()
    first = sampler.sample(PROMPTS, 4, seed=1)
    sampler.greedy(PROMPTS)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)  # whatever was drawn in between
    assert sampler.sample(PROMPTS, 4, seed=1) == sampler_of(policy, name).sample(PROMPTS, 4, seed=1) == first
    assert models.tokens_of(sampler.sample(PROMPTS, 4, seed=2)) != models.tokens_of(first)


@pytest.mark.parametrize("config", [{"top_k": 1}, {"top_k": 0, "top_p": 1e-6}, {"temperature": 1e-5}])
def test_samples_of_the_likeliest_token_are_the_greedy_answers_in_order(
    policy: Policy, name: str, config: dict[str, float]
) -> None:
    sampler = sampler_of(policy, name, **config)
    greedy = sampler.greedy(PROMPTS)
    assert models.tokens_of(sampler.sample(PROMPTS, 3, seed=0)) == [[answer] * 3 for answer in greedy]


def test_other_settings_are_those_of_one_call(policy: Policy, name: str) -> None:
    sampler, hot = sampler_of(policy, name), sampler_of(policy, name, temperature=3.0, top_k=5)
    before = sampler.sample(PROMPTS, 8, seed=0)
    hotter = sampler.sample(PROMPTS, 8, seed=0, config=hot.config)
    assert hotter == hot.sample(PROMPTS, 8, seed=0) != before
    assert all(len(set(of_prompt)) > 1 for of_prompt in models.tokens_of(hotter))
    assert sampler.sample(PROMPTS, 8, seed=0) == before


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_the_mode_left_and_log_probs_are_the_policys_own(
    names: tuple[str, str], name: str, training: bool
) -> None:
    """Whatever is sampled with: log-probabilities are those at temperature 1, without cuts."""
    policy: Policy = models.make_policy("t5", num_decoder_layers=2)
    if names[0] != "t5":
        policy = models.make_causal_policy("llama", models.number_tokenizer(64), attention_dropout=0.1)
    policy.train(training)
    prompts = models.make_prompts(policy, [2, 30, 7, 61])
    answers = sampler_of(policy, name, max_new_tokens=12, temperature=0.7, top_k=5).sample(prompts, 6, seed=0)
    assert {module.training for module in policy.modules()} == {training}
    models.check_log_probs(policy, prompts, answers)


def test_progress_counts_prompts_and_not_samples(policy: Policy, name: str) -> None:
    told: list[tuple[int, int]] = []
    sampler = sampler_of(policy, name, greedy_batch_size=3)
    sampler.progress = lambda *numbers: told.append(numbers)
    sampler.sample(PROMPTS, 4, seed=0)
    sampler.greedy(PROMPTS)
    assert told == [(2, 5), (4, 5), (5, 5), (3, 5), (5, 5)]
