import pytest
import torch

from hir.config import SamplingConfig
from hir.models import Seq2SeqPolicy
from hir.sampling.base import build_sampler
from hir.sampling.generate import GenerateSampler

PROMPTS = [
    "right cat",
    "wrong Q: dog dog one two one two dog A:",
    "two",
    "right Q: one A:",
    "wrong wrong wrong wrong wrong cat cat cat cat dog dog one",
]


def sampler_of(policy: Seq2SeqPolicy, greedy_batch_size: int = 2, **config) -> GenerateSampler:
    config = {"max_new_tokens": 6, "batch_size": 2, **config}
    return GenerateSampler(policy, SamplingConfig(**config), greedy_batch_size)


def test_it_is_the_sampler_named_generate(policy: Seq2SeqPolicy) -> None:
    sampler = build_sampler(policy, SamplingConfig(name="generate"), 7)
    assert isinstance(sampler, GenerateSampler) and sampler.greedy_batch_size == 7


@pytest.mark.parametrize("greedy_batch_size", [1, 2, 5, 64])
def test_greedy_equals_generate_on_each_prompt_alone(policy: Seq2SeqPolicy, greedy_batch_size: int) -> None:
    answers = sampler_of(policy, greedy_batch_size).greedy(PROMPTS)
    policy.eval()
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        # No batch, no padding, no mask.
        alone = policy.model.generate(
            torch.tensor(policy.encode([prompt])), max_new_tokens=6, do_sample=False
        )
        assert answer == policy.strip(alone[0, 1:].tolist())
    assert len(set(answers)) >= 3  # the model answers different prompts differently


def test_no_prompts_no_answers(policy: Seq2SeqPolicy) -> None:
    assert sampler_of(policy).greedy([]) == []
    assert sampler_of(policy).sample([], 4, seed=0) == []


def test_the_seed_decides(policy: Seq2SeqPolicy) -> None:
    sampler = sampler_of(policy)
    first = sampler.sample(PROMPTS, 4, seed=1)
    torch.rand(3)  # whatever was drawn in between
    assert sampler.sample(PROMPTS, 4, seed=1) == first
    assert sampler.sample(PROMPTS, 4, seed=2) != first


def test_torch_s_generator_is_left_as_it_was(policy: Seq2SeqPolicy) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    sampler_of(policy).sample(PROMPTS, 3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("config", [{"top_k": 1}, {"top_k": 0, "top_p": 1e-6}, {"temperature": 1e-5}])
def test_samples_of_the_likeliest_token_are_the_greedy_answers_in_order(
    policy: Seq2SeqPolicy, config: dict[str, float]
) -> None:
    sampler = sampler_of(policy, **config)
    greedy = sampler.greedy(PROMPTS)
    assert sampler.sample(PROMPTS, 3, seed=0) == [[answer] * 3 for answer in greedy]


def test_number_of_samples_and_their_variety(policy: Seq2SeqPolicy) -> None:
    answers = sampler_of(policy, temperature=3.0).sample(PROMPTS, 8, seed=0)
    assert [len(of_prompt) for of_prompt in answers] == [8] * len(PROMPTS)
    assert all(len(set(of_prompt)) > 1 for of_prompt in answers)


def test_first_token_is_drawn_with_the_policys_probabilities(policy: Seq2SeqPolicy) -> None:
    prompt, num_samples = PROMPTS[0], 4000
    policy.eval()
    with torch.no_grad():
        logits = policy.model(
            input_ids=torch.tensor(policy.encode([prompt])), decoder_input_ids=torch.tensor([[0]])
        ).logits[0, 0]
    expected = (logits / 2).softmax(-1)
    (answers,) = sampler_of(policy, temperature=2.0, top_k=0, max_new_tokens=1).sample(
        [prompt], num_samples, 0
    )
    # Sampled padding leaves an empty answer.
    counts = torch.bincount(torch.tensor([a[0] if a else 0 for a in answers]), minlength=len(expected))
    # Within 5 standard deviations of at most sqrt(1/4 / 4000) = 0.008 each.
    assert (counts / num_samples - expected).abs().max() < 0.04
    assert 0.1 < expected.max() < 0.9  # no point mass, no uniform


def test_answers_hold_no_padding_and_end_where_the_end_token_came(policy: Seq2SeqPolicy) -> None:
    answers = sampler_of(policy, temperature=3.0, max_new_tokens=8).sample(PROMPTS, 40, seed=0)
    flat = [answer for of_prompt in answers for answer in of_prompt]
    assert all(len(answer) <= 8 for answer in flat)
    assert all(0 not in answer and 1 not in answer[:-1] for answer in flat)
    ended = sum(answer[-1:] == (1,) for answer in flat)
    assert 0 < ended < len(flat)  # both kinds are there


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored(policy: Seq2SeqPolicy, training: bool) -> None:
    modes = []
    policy.train(training)
    sampler = sampler_of(policy)
    sampler.sample(PROMPTS, 1, seed=0, progress=lambda _: modes.append(policy.model.training))
    sampler.greedy(PROMPTS, progress=lambda _: modes.append(policy.model.training))
    assert modes == [False] * 6  # eval while it samples
    assert {module.training for module in policy.modules()} == {training}


def test_the_mode_and_the_generator_are_restored_after_an_error(policy: Seq2SeqPolicy) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        sampler_of(policy).sample(PROMPTS, 1, seed=0, progress=interrupt)
    assert {module.training for module in policy.modules()} == {True}
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_counts_prompts_and_not_samples(policy: Seq2SeqPolicy) -> None:
    counts: list[int] = []
    sampler_of(policy).sample(PROMPTS, 4, seed=0, progress=counts.append)
    assert counts == [2, 2, 1]
    counts.clear()
    sampler_of(policy, greedy_batch_size=3).greedy(PROMPTS, progress=counts.append)
    assert counts == [3, 2]


def test_samples_come_from_the_live_weights_without_gradients(policy: Seq2SeqPolicy) -> None:
    sampler = sampler_of(policy)
    before = sampler.greedy(PROMPTS)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    assert sampler.greedy(PROMPTS) != before
    assert all(weight.grad is None for weight in policy.parameters())
