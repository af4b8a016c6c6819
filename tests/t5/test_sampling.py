"""The T5 sampler against transformers' own models: the same tokens, distributions and log-probabilities."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from hir.config.schema import SamplingConfig
from hir.errors import UserError
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.sampling.draw import _draw_cut, draw
from hir.t5.sampling import T5Sampler
from hir.t5.weights import T5Weights
from tests.sampling.models import FAMILIES, check_log_probs, generated, make_policy, make_prompts, tokens_of

pytestmark = [
    # peft asks transformers for an attribute under its former name, and takes the head for the embedding.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model (has|with) `tie_word_embeddings=True`:UserWarning"),
]

LENGTHS = [2, 4, 7, 20, 31, 32, 33, 60, 60, 170]
"""The last is longer than any distance that the models tell apart (128)."""


def sampler_of(policy: Seq2SeqPolicy, **config: Any) -> T5Sampler:
    config = {"max_new_tokens": 12, "top_k": 0, **config}
    return T5Sampler(policy, SamplingConfig(**config), greedy_batch_size=7)


def policy_that_ends_early() -> Seq2SeqPolicy:
    policy = make_policy("flan")
    policy.model.lm_head.weight.data[1, 0] = 8
    return policy


# The model


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_transformers_on_each_prompt_alone(family: str) -> None:
    policy = make_policy(family, spread=1.5)
    prompts = make_prompts(policy, LENGTHS)
    answers = sampler_of(policy, max_new_tokens=24).greedy(prompts)
    assert answers == [generated(policy, prompt, 24) for prompt in prompts]
    assert len(set(answers)) > 5
    ended = [answer for answer in answers if answer[-1] == 1]
    assert ended and len(ended) < len(answers)  # both kinds are there
    policy = make_policy(family)
    for config in ({"top_k": 5, "temperature": 0.7}, {"top_p": 0.8}):
        sampler = sampler_of(policy, max_new_tokens=24, batch_size=7, **config)
        check_log_probs(policy, prompts, sampler.sample(prompts, 3, 0))


def test_a_model_of_another_family_is_refused() -> None:
    policy = make_policy("t5")
    policy.model.config.model_type = "bart"
    with pytest.raises(UserError, match=r"not bart: set sampling=generate$"):
        sampler_of(policy)


# The distribution

ALL_CUTS = {"temperature": 1.5, "top_k": 12, "top_p": 0.8}
CUTS: list[dict[str, Any]] = [{}, {"temperature": 0.5}, {"top_k": 5}, {"top_p": 0.7}, ALL_CUTS]


def cut_probs(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """What generate draws from, by transformers' own code."""
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    probs: Tensor = warpers(None, logits).double().softmax(-1)
    return probs


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_100_000_draws(cut: dict[str, Any]) -> None:
    """As on a CPU, and from sorted probabilities alone, as on a GPU."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(1, 40, generator=generator)
    config, uniforms = SamplingConfig(**{"top_k": 0, **cut}), torch.rand(100_000, 2, generator=generator)
    means = 100_000 * cut_probs(logits, **cut)[0]
    tokens, _ = draw(logits, torch.zeros(100_000, dtype=torch.long), uniforms, config)
    probs = (logits / config.temperature).softmax(-1).expand(100_000, -1)
    for drawn in (tokens, _draw_cut(probs, uniforms[:, 0], config)):
        counts = drawn.bincount(minlength=40)
        assert ((counts - means).abs() < 5 * (means + 1).sqrt()).all()  # five standard deviations
        assert not counts[means == 0].any()


@pytest.mark.parametrize("largest", [0.0, 1 - 2**-24])
def test_the_smallest_and_largest_random_number_draw_a_token_that_can_be(largest: float) -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 3.0, 1.0, -torch.inf]])
    for cut in ({}, {"top_k": 2}, {"top_p": 0.5}, {"top_k": 3, "top_p": 0.9}):
        config = SamplingConfig(**{"top_k": 0, **cut})
        tokens, log_probs = draw(logits, torch.tensor([0]), torch.full((1, 2), largest), config)
        assert int(tokens) in (1, 2, 3) and log_probs.isfinite()


# Batches


@pytest.mark.parametrize("top_k", [2, 0], ids=["alike", "different"])
def test_many_answers_a_query_that_begin_alike_and_end_early(top_k: int) -> None:
    """Rows that part, rows that leave and queries that leave: no cache may be taken for another's."""
    policy = policy_that_ends_early()
    prompts = make_prompts(policy, [3, 20, 8, 40, 5, 31, 12, 6])
    with patch.object(T5Weights, "decode", autospec=True, side_effect=T5Weights.decode) as decode:
        answers = sampler_of(policy, max_new_tokens=60, top_k=top_k).sample(prompts, 16, seed=3)
    check_log_probs(policy, prompts, answers)
    assert len(decode.call_args.args[4].mask) < 8  # queries
    rows = [len(call.args[1]) for call in decode.call_args_list]
    assert len(rows) <= 60 and rows[0] == 8 and max(rows) > 40 and rows[-1] < max(rows) / 2
    if top_k == 2:
        assert rows[1] <= 16  # two tokens each to begin with
    lengths = [len(answer.tokens) for of_prompt in answers for answer in of_prompt]
    assert min(lengths) == 1 and max(lengths) > 20


def test_the_batch_size_changes_no_answer_and_equal_prompts_get_their_own() -> None:
    policy = make_policy("flan")
    prompts = make_prompts(policy, [2 + i % 30 for i in range(40)])
    prompts[1] = prompts[-1]
    samplers = (sampler_of(policy, batch_size=size) for size in (7, 64))
    small, large = (tokens_of(sampler.sample(prompts, 3, seed=0)) for sampler in samplers)
    assert small == large and not {*small[1]} & {*small[-1]}


# Weights


@pytest.mark.parametrize("family", ["t5", "lora"])
def test_answers_follow_the_weights_in_the_same_memory(family: str) -> None:
    policy, other = make_policy(family), make_policy(family, seed=1)
    prompts = make_prompts(policy, [3, 10, 25])
    sampler = sampler_of(policy)

    def memory() -> list[int]:
        layers = (sampler.weights.ends, *sampler.weights.encoder, *sampler.weights.decoder)
        return [weight.data_ptr() for layer in layers for weight in layer.values()]

    first, before = sampler.greedy(prompts), memory()
    policy.load_state_dict(other.state_dict())
    assert sampler.greedy(prompts) == [generated(other, prompt, 12) for prompt in prompts] != first
    assert memory() == before


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_under_autocast_and_back(family: str) -> None:
    policy = make_policy(family, spread=0.9)
    prompts = make_prompts(policy, [3, 10, 25])
    sampler = sampler_of(policy, max_new_tokens=8)
    exact = sampler.sample(prompts, 4, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answers = sampler.sample(prompts, 4, seed=0)
        products = [layer[name] for layer in sampler.weights.decoder for name in layer if name != "bias"]
        assert {weight.dtype for weight in products} == {torch.bfloat16}
        check_log_probs(policy, prompts, answers, atol=0.1)
    assert sampler.sample(prompts, 4, seed=0) == exact
    assert {weight.dtype for layer in sampler.weights.decoder for weight in layer.values()} == {torch.float32}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_on_a_gpu(family: str) -> None:
    policy = make_policy(family)
    prompts = make_prompts(policy, LENGTHS)
    config = {"max_new_tokens": 40, "top_k": 5, "temperature": 0.7}
    greedy = sampler_of(policy, **config).greedy(prompts)
    sampler = sampler_of(policy.cuda(), **config)
    assert sampler.greedy(prompts) == greedy
    answers = sampler.sample(prompts, 3, seed=0)
    assert [len(of_prompt) for of_prompt in answers] == [3] * len(prompts)
    check_log_probs(policy.cpu(), prompts, answers, atol=1e-3)
    policy.cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert len(sampler.sample(prompts, 2, seed=0)) == len(prompts)
