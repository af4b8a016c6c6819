"""What every sampler promises."""

from typing import Any

import pytest
import torch

from hir.config.schema import SamplingConfig
from hir.errors import UserError
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.sampling.base import Answer, Sampler, build_sampler, make_answer
from hir.sampling.generate import GenerateSampler
from hir.t5.sampling import T5Sampler
from tests.sampling.models import log_probs_of, make_policy, make_prompts, up_to_end

PROMPTS = [
    "right cat",
    "wrong Q: dog dog one two one two dog A:",
    "two",
    "right Q: one A:",
    "wrong wrong wrong wrong wrong cat cat cat cat dog dog one",
]
CLASSES = {"generate": GenerateSampler, "t5": T5Sampler}


@pytest.fixture(params=list(CLASSES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def sampler_of(policy: Seq2SeqPolicy, name: str, greedy_batch_size: int = 2, **config: Any) -> Sampler:
    config = {"max_new_tokens": 6, "batch_size": 2, **config}
    return build_sampler(policy, SamplingConfig(name=name, **config), greedy_batch_size)


def tokens_of(answers: list[list[Answer]]) -> list[list[tuple[int, ...]]]:
    return [[answer.tokens for answer in of_prompt] for of_prompt in answers]


def test_a_sampler_has_a_name(policy: Seq2SeqPolicy, name: str) -> None:
    sampler = build_sampler(policy, SamplingConfig(name=name), 7)
    assert type(sampler) is CLASSES[name] and sampler.greedy_batch_size == 7


def test_a_name_that_no_sampler_has(policy: Seq2SeqPolicy) -> None:
    with pytest.raises(UserError, match=r"^sampling\.name"):
        build_sampler(policy, SamplingConfig(name="none"), 7)


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([9, 10, 1, 0, 0], [0, 1, 2]),
        ([9, 1, 7, 1], [0, 1]),
        ([9, 10, 7], [0, 1, 2]),  # never ended
        ([1, 0], [0]),
        ([0, 9, 0, 10], [0, 1, 2, 3]),  # what is padding elsewhere is a token here
        ([9, 0, 10, 1], [0, 1, 2, 3]),
    ],
)
def test_a_row_of_tokens_becomes_an_answer(policy: Seq2SeqPolicy, tokens: list[int], kept: list[int]) -> None:
    log_probs = [-0.5, -1.0, -1.5, -2.0, -2.5][: len(tokens)]
    answer = make_answer(policy, tokens, log_probs)
    assert answer == (tuple(tokens[i] for i in kept), tuple(log_probs[i] for i in kept))


@pytest.mark.parametrize("greedy_batch_size", [1, 2, 5, 64])
def test_greedy_equals_generate_on_each_prompt_alone(
    policy: Seq2SeqPolicy, name: str, greedy_batch_size: int
) -> None:
    answers = sampler_of(policy, name, greedy_batch_size).greedy(PROMPTS)
    policy.eval()
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        # No batch, no padding, no mask.
        alone = policy.model.generate(
            torch.tensor(policy.encode([prompt])), max_new_tokens=6, do_sample=False
        )
        assert answer == up_to_end(alone[0, 1:].tolist())
    assert len(set(answers)) >= 3  # the model answers different prompts differently


def test_no_prompts_no_answers(policy: Seq2SeqPolicy, name: str) -> None:
    assert sampler_of(policy, name).greedy([]) == []
    assert sampler_of(policy, name).sample([], 4, seed=0) == []


def test_the_seed_decides(policy: Seq2SeqPolicy, name: str) -> None:
    sampler = sampler_of(policy, name)
    first = sampler.sample(PROMPTS, 4, seed=1)
    torch.rand(3)  # whatever was drawn in between
    assert sampler.sample(PROMPTS, 4, seed=1) == first
    assert sampler_of(policy, name).sample(PROMPTS, 4, seed=1) == first
    assert tokens_of(sampler.sample(PROMPTS, 4, seed=2)) != tokens_of(first)


def test_torch_s_generator_is_left_as_it_was(policy: Seq2SeqPolicy, name: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    sampler = sampler_of(policy, name)
    sampler.sample(PROMPTS, 3, seed=1)
    sampler.greedy(PROMPTS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("config", [{"top_k": 1}, {"top_k": 0, "top_p": 1e-6}, {"temperature": 1e-5}])
def test_samples_of_the_likeliest_token_are_the_greedy_answers_in_order(
    policy: Seq2SeqPolicy, name: str, config: dict[str, float]
) -> None:
    sampler = sampler_of(policy, name, **config)
    greedy = sampler.greedy(PROMPTS)
    assert tokens_of(sampler.sample(PROMPTS, 3, seed=0)) == [[answer] * 3 for answer in greedy]


def test_number_of_samples_and_their_variety(policy: Seq2SeqPolicy, name: str) -> None:
    answers = tokens_of(sampler_of(policy, name, temperature=3.0).sample(PROMPTS, 8, seed=0))
    assert [len(of_prompt) for of_prompt in answers] == [8] * len(PROMPTS)
    assert all(len(set(of_prompt)) > 1 for of_prompt in answers)


def test_other_settings_are_those_of_one_call(policy: Seq2SeqPolicy, name: str) -> None:
    sampler, hot = sampler_of(policy, name), sampler_of(policy, name, temperature=3.0, top_k=5)
    before = sampler.sample(PROMPTS, 8, seed=0)
    assert sampler.sample(PROMPTS, 8, seed=0, config=hot.config) == hot.sample(PROMPTS, 8, seed=0) != before
    assert sampler.sample(PROMPTS, 8, seed=0) == before


def test_first_token_is_drawn_with_the_policys_probabilities(policy: Seq2SeqPolicy, name: str) -> None:
    prompt, num_samples = PROMPTS[0], 4000
    policy.eval()
    with torch.no_grad():
        logits = policy.model(
            input_ids=torch.tensor(policy.encode([prompt])), decoder_input_ids=torch.tensor([[0]])
        ).logits[0, 0]
    expected = (logits / 2).softmax(-1)
    sampler = sampler_of(policy, name, temperature=2.0, top_k=0, max_new_tokens=1)
    (answers,) = tokens_of(sampler.sample([prompt], num_samples, 0))
    # Sampled padding leaves an empty answer.
    counts = torch.bincount(torch.tensor([a[0] if a else 0 for a in answers]), minlength=len(expected))
    # Within 5 standard deviations of at most sqrt(1/4 / 4000) = 0.008 each.
    assert (counts / num_samples - expected).abs().max() < 0.04
    assert 0.1 < expected.max() < 0.9  # no point mass, no uniform


def test_answers_end_where_the_end_token_came(policy: Seq2SeqPolicy, name: str) -> None:
    answers = sampler_of(policy, name, temperature=3.0, max_new_tokens=8).sample(PROMPTS, 40, seed=0)
    flat = [answer for of_prompt in tokens_of(answers) for answer in of_prompt]
    assert all(len(answer) <= 8 for answer in flat)
    assert all(1 not in answer[:-1] for answer in flat)
    ended = sum(answer[-1:] == (1,) for answer in flat)
    assert 0 < ended < len(flat)  # both kinds are there


def test_log_probs_are_the_policys_own_whatever_is_sampled_with(name: str) -> None:
    policy = make_policy("t5", num_decoder_layers=2)
    prompts = make_prompts(policy, [2, 30, 7, 61])
    sampler = sampler_of(policy, name, max_new_tokens=12, temperature=0.7, top_k=5)
    for prompt, answers in zip(prompts, sampler.sample(prompts, 6, seed=0), strict=True):
        for answer, expected in zip(
            answers, log_probs_of(policy, prompt, [answer.tokens for answer in answers]), strict=True
        ):
            assert answer.log_probs == pytest.approx(expected, abs=1e-4)
            assert max(expected) < 0 and min(expected) > -20


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_left_as_it_was(policy: Seq2SeqPolicy, name: str, training: bool) -> None:
    policy.train(training)
    sampler = sampler_of(policy, name)
    sampler.sample(PROMPTS, 1, seed=0)
    sampler.greedy(PROMPTS)
    assert {module.training for module in policy.modules()} == {training}


def test_dropout_is_off(name: str) -> None:
    policy = make_policy("t5", num_decoder_layers=2)
    prompts = make_prompts(policy, [5, 9])
    sampler = sampler_of(policy, name)
    in_training = sampler.sample(prompts, 3, seed=0)
    policy.eval()
    assert sampler.sample(prompts, 3, seed=0) == in_training


def test_progress_counts_prompts_and_not_samples(policy: Seq2SeqPolicy, name: str) -> None:
    counts: list[int] = []
    sampler_of(policy, name).sample(PROMPTS, 4, seed=0, progress=counts.append)
    assert sum(counts) == 5 and len(counts) >= 3
    counts.clear()
    sampler_of(policy, name, greedy_batch_size=3).greedy(PROMPTS, progress=counts.append)
    assert sum(counts) == 5 and len(counts) >= 2


def test_samples_come_from_the_live_weights_without_gradients(policy: Seq2SeqPolicy, name: str) -> None:
    sampler = sampler_of(policy, name)
    before = sampler.greedy(PROMPTS)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    after = sampler.greedy(PROMPTS)
    assert after != before
    assert after == sampler_of(policy, "generate").greedy(PROMPTS)
    assert all(weight.grad is None for weight in policy.parameters())
