"""The T5 sampler against transformers' own models: the same tokens, distributions and log-probabilities."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hir.config.schema import SamplingConfig
from hir.errors import UserError
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.sampling.base import Answer
from hir.t5 import sampling as t5
from hir.t5.sampling import FixedBatch, T5Sampler
from hir.t5.weights import Queries
from tests.sampling import sharded
from tests.sampling.models import (
    FAMILIES,
    generated,
    log_probs_of,
    logits_of,
    make_policy,
    make_prompts,
    weigh_end,
)

pytestmark = [
    # peft asks transformers for an attribute under its former name, and takes the head for the embedding.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]

LENGTHS = [2, 3, 4, 5, 7, 9, 12, 16, 20, 24, 25, 30, 31, 32, 33, 34, 40, 45, 50, 55, 58, 59, 60, 60, 170]
"""The last is longer than any distance that the models tell apart (128)."""


def sampler_of(policy: Seq2SeqPolicy, greedy_batch_size: int = 7, **config: Any) -> T5Sampler:
    return T5Sampler(
        policy, SamplingConfig(**{"max_new_tokens": 12, "top_k": 0, **config}), greedy_batch_size
    )


def tokens_of(answers: list[list[Answer]]) -> list[list[tuple[int, ...]]]:
    return [[answer.tokens for answer in of_prompt] for of_prompt in answers]


def check_log_probs(
    policy: Seq2SeqPolicy, prompts: Sequence[str], answers: list[list[Answer]], atol: float = 1e-4
) -> None:
    """Every answer's log-probabilities are those of a teacher-forced forward."""
    for prompt, of_prompt in zip(prompts, answers, strict=True):
        expected = log_probs_of(policy, prompt, [answer.tokens for answer in of_prompt])
        for answer, values in zip(of_prompt, expected, strict=True):
            assert answer.log_probs == pytest.approx(values, abs=atol)


# The model


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_transformers_generate_on_each_prompt_alone(family: str) -> None:
    policy = make_policy(family, spread=1.5)
    prompts = make_prompts(policy, LENGTHS[::2])
    answers = sampler_of(policy, max_new_tokens=40).greedy(prompts)
    assert answers == [generated(policy, prompt, 40) for prompt in prompts]
    assert len(set(answers)) > 7
    ended = [answer for answer in answers if answer[-1] == 1]
    assert ended and len(ended) < len(answers)  # both kinds are there
    assert {len(answer) for answer in answers if answer not in ended} == {40}


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probs_equal_a_teacher_forced_forward(family: str) -> None:
    policy = make_policy(family)
    prompts = make_prompts(policy, LENGTHS[::3], seed=1)
    answers = sampler_of(policy, max_new_tokens=40, temperature=0.7, top_k=5).sample(prompts, 4, seed=0)
    check_log_probs(policy, prompts, answers)
    assert len({answer.tokens for of_prompt in answers for answer in of_prompt}) > 3 * len(prompts)


def test_answers_longer_than_all_distances_that_a_model_tells_apart() -> None:
    policy = make_policy("flan")
    weigh_end(policy, -10_000)
    (prompt,) = make_prompts(policy, [5])
    (answers,) = sampler_of(policy, max_new_tokens=150, top_k=5).sample([prompt], 2, seed=0)
    assert [len(answer.tokens) for answer in answers] == [150, 150]
    check_log_probs(policy, [prompt], [answers])


def test_a_model_of_another_family_is_refused() -> None:
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=20, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
            decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, pad_token_id=0, bos_token_id=0,
            eos_token_id=1, decoder_start_token_id=0, forced_eos_token_id=None,
        )
    )  # fmt: skip
    policy = Seq2SeqPolicy(model, make_policy("t5").tokenizer)
    with pytest.raises(UserError, match=r"not bart: set sampling=generate$"):
        sampler_of(policy)


def test_the_models_mode_is_never_touched() -> None:
    policy = make_policy("t5").train()
    policy.model.encoder.eval()  # as no sampler would leave it
    before = [module.training for module in policy.modules()]
    during = []
    sampler = sampler_of(policy)
    sampler.sample(make_prompts(policy, [3, 4]), 2, 0, lambda _: during.append(policy.model.training))
    assert [module.training for module in policy.modules()] == before
    assert during and all(during)


# The distribution

CUTS = [
    {"temperature": 1.0},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 5},
    {"top_p": 0.7},
    {"temperature": 1.5, "top_k": 12, "top_p": 0.8},
]


def cut_probs(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """What generate draws from, by transformers' own code."""
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    probs: Tensor = warpers(None, logits).double().softmax(-1)
    return probs


def first_two(policy: Seq2SeqPolicy, prompt: str, cut: dict[str, Any]) -> dict[tuple[int, ...], float]:
    """Probability of every answer of at most two tokens, by enumeration."""
    first = cut_probs(logits_of(policy, prompt, [(0,)])[:, 0], **cut)[0]
    vocab = range(len(first))
    second = cut_probs(logits_of(policy, prompt, [(token, 0) for token in vocab])[:, 1], **cut)
    expected: Counter[tuple[int, ...]] = Counter()
    for a, b in itertools.product(vocab, vocab):
        if a and b:  # padding is never drawn
            expected[(a,) if a == 1 else (a, b)] += float(first[a] * second[a, b])
    return expected


def check_counts(observed: Counter[Any], expected: dict[Any, float]) -> None:
    """Pearson's chi-square, at 5 standard deviations: answers with an expected count under 5 are one cell."""
    number = observed.total()
    assert sum(expected.values()) == pytest.approx(1)
    assert all(expected.get(answer) for answer in observed)  # nothing impossible was drawn
    cells, rare = [], [0.0, 0.0]
    for answer, share in expected.items():
        if share * number >= 5:
            cells.append((observed[answer], share * number))
        else:
            rare = [rare[0] + observed[answer], rare[1] + share * number]
    if rare[1] >= 5:
        cells.append((rare[0], rare[1]))
    degrees = len(cells) - 1
    statistic = sum((seen - mean) ** 2 / mean for seen, mean in cells)
    assert degrees >= 3
    assert statistic < degrees + 5 * (2 * degrees) ** 0.5


@pytest.mark.parametrize(
    ("cut", "fixed"), [*((cut, False) for cut in CUTS), (CUTS[2], True), (CUTS[-1], True)], ids=str
)
def test_the_first_two_tokens_of_100_000_answers_are_distributed_as_generates(
    cut: dict[str, Any], fixed: bool
) -> None:
    policy = make_policy("t5", vocab_size=24, spread=1.2)
    (prompt,) = make_prompts(policy, [6])
    sampler = sampler_of(policy, max_new_tokens=2, **cut)
    if fixed:
        answer_in_fixed_batches(sampler)
    # In the fixed batches every answer has a row: a tenth at a time.
    parts = [sampler.sample([prompt], 10_000, seed)[0] for seed in range(10)]
    observed = Counter(answer.tokens for part in parts for answer in part)
    assert observed.total() == 100_000
    check_counts(observed, first_two(policy, prompt, cut))


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_100_000_draws_from_sorted_probabilities(cut: dict[str, Any]) -> None:
    """The way on a GPU, and of a top_k with a top_p: nothing is drawn from the whole distribution."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(1, 40, generator=generator)
    config = SamplingConfig(**{"top_k": 0, **cut})
    probs = (logits / config.temperature).softmax(-1).expand(100_000, -1)
    tokens = t5._draw_cut(probs, torch.rand(100_000, generator=generator), config)
    check_counts(Counter(tokens.tolist()), dict(enumerate(cut_probs(logits, **cut)[0].tolist())))


@pytest.mark.parametrize("largest", [0.0, 1 - 2**-24])
def test_the_smallest_and_largest_random_number_draw_a_token_that_can_be(largest: float) -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 3.0, 1.0, -torch.inf]])
    for cut in ({}, {"top_k": 2}, {"top_p": 0.5}, {"top_k": 3, "top_p": 0.9}):
        config = SamplingConfig(**{"top_k": 0, **cut})
        tokens, log_probs = t5.draw(logits, torch.tensor([0]), torch.full((1, 2), largest), config)
        assert int(tokens) in (1, 2, 3) and log_probs.isfinite()


# Batches


def test_the_batch_size_changes_no_answer() -> None:
    policy = make_policy("flan")
    prompts = make_prompts(policy, LENGTHS)
    samples = [
        tokens_of(sampler_of(policy, batch_size=batch_size).sample(prompts, 3, seed=0))
        for batch_size in (1, 2, 5, 64)
    ]
    assert samples[0] == samples[1] == samples[2] == samples[3]
    greedy = [sampler_of(policy, batch_size).greedy(prompts) for batch_size in (1, 2, 5, 64)]
    assert greedy[0] == greedy[1] == greedy[2] == greedy[3]


def test_a_prompts_answers_do_not_depend_on_the_others() -> None:
    policy = make_policy("flan")
    mine = make_prompts(policy, [9, 4, 30])
    short, long = make_prompts(policy, [2] * 3, seed=1), make_prompts(policy, [150, 70, 160], seed=2)
    beside_short = sampler_of(policy).sample([*mine, *short], 4, seed=0)
    beside_long = sampler_of(policy).sample([*mine, *long], 4, seed=0)
    alone = sampler_of(policy).sample(mine, 4, seed=0)
    assert tokens_of(beside_short)[:3] == tokens_of(beside_long)[:3] == tokens_of(alone)
    assert tokens_of(beside_short)[3:] != tokens_of(beside_long)[3:]


def test_equal_prompts_get_answers_of_their_own() -> None:
    policy = make_policy("flan")
    (prompt,) = make_prompts(policy, [9])
    first, second = tokens_of(sampler_of(policy).sample([prompt, prompt], 4, seed=0))
    assert not set(first) & set(second)


@pytest.mark.parametrize("top_k", [2, 0], ids=["alike", "different"])
@pytest.mark.parametrize(("family", "end"), [("flan", 8), ("umt5", 25)])
def test_many_answers_a_query_that_begin_alike_and_end_early(
    family: str, end: float, top_k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that part, rows that leave and queries that leave: no cache may be taken for another's."""
    policy = make_policy(family)
    weigh_end(policy, end)
    prompts = make_prompts(policy, [3, 20, 8, 40, 5, 31, 12, 6])
    taken, rows, take, decode = [], [], Queries.take, t5.T5Weights.decode

    def counted_take(queries: Queries, chosen: Tensor) -> Queries:
        taken.append((len(queries.mask), len(chosen)))
        return take(queries, chosen)

    def counted_decode(weights: Any, tokens: Tensor, *args: Any) -> Tensor:
        rows.append(len(tokens))
        return decode(weights, tokens, *args)

    monkeypatch.setattr(Queries, "take", counted_take)
    monkeypatch.setattr(t5.T5Weights, "decode", counted_decode)
    answers = sampler_of(policy, max_new_tokens=60, top_k=top_k).sample(prompts, 16, seed=3)
    check_log_probs(policy, prompts, answers)
    assert taken and all(after <= before // 2 for before, after in taken)
    assert len(rows) <= 60 and rows[0] == 8 and max(rows) > 40 and rows[-1] < max(rows) / 2
    if top_k == 2:
        assert rows[1] <= 16  # two tokens each to begin with
    lengths = [len(answer.tokens) for of_prompt in answers for answer in of_prompt]
    assert min(lengths) == 1 and max(lengths) > 20


def test_answers_without_an_end_stay_in_their_rows() -> None:
    policy = make_policy("byt5")
    weigh_end(policy, -10_000)
    prompts = make_prompts(policy, [3, 20, 8])
    answers = sampler_of(policy, max_new_tokens=40, top_k=5).sample(prompts, 16, seed=0)
    assert all(len(answer.tokens) == 40 for of_prompt in answers for answer in of_prompt)
    check_log_probs(policy, prompts, answers)


# Threads


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(t5, "MIN_TOKENS", 50)  # two workers for prompts as short as these
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_threads_change_no_answer_and_stay_as_many(two_threads: None) -> None:
    policy = make_policy("flan")
    prompts = make_prompts(policy, [2 + i % 30 for i in range(40)])
    sampler = sampler_of(policy)
    for autocast in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            torch.set_num_threads(2)
            counts: list[int] = []
            both = sampler.sample(prompts, 3, 0, counts.append), sampler.greedy(prompts)
            assert counts == [20, 20]  # two batches, though one has room for 64
            assert torch.get_num_threads() == 2
            torch.set_num_threads(1)
            one = sampler.sample(prompts, 3, 0), sampler.greedy(prompts)
        if not autocast:  # rounding to bfloat16 may turn a draw
            assert (tokens_of(both[0]), both[1]) == (tokens_of(one[0]), one[1])


def test_the_number_of_threads_is_restored_after_an_error(two_threads: None) -> None:
    policy = make_policy("t5")
    prompts = make_prompts(policy, [5] * 40)
    sampler = sampler_of(policy, batch_size=4)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.sample(prompts, 2, 0, interrupt)
    assert torch.get_num_threads() == 2
    policy.model.shared.weight.data = policy.model.shared.weight.data[:3]  # tokens that it does not have
    with pytest.raises((IndexError, RuntimeError)):
        T5Sampler(policy, sampler.config, 4).greedy(prompts)
    assert torch.get_num_threads() == 2


# Weights


def memory(sampler: T5Sampler) -> list[int]:
    weights = sampler.weights
    return [
        w.data_ptr() for part in (weights.ends, *weights.encoder, *weights.decoder) for w in part.values()
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_follow_the_weights_in_the_same_memory(family: str) -> None:
    policy = make_policy(family)
    prompts = make_prompts(policy, [3, 10, 25])
    sampler = sampler_of(policy)
    first, buffers = sampler.greedy(prompts), memory(sampler)
    assert sampler.greedy(prompts) == first
    other = make_policy(family, seed=1)
    with torch.no_grad():  # in place
        for weight, new in zip(policy.parameters(), other.parameters(), strict=True):
            weight.copy_(new)
    second = sampler.greedy(prompts)
    assert second == [generated(other, prompt, 12) for prompt in prompts] != first
    optimizer = torch.optim.SGD([w for w in policy.parameters() if w.requires_grad], lr=0.3)
    before = sampler.sample(prompts, 2, seed=0)
    policy.model(
        input_ids=torch.tensor(policy.encode(prompts[:1])), labels=torch.tensor([[5, 6, 7, 8, 9, 1]])
    ).loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    assert sampler.greedy(prompts) == [generated(policy, prompt, 12) for prompt in prompts]
    assert memory(sampler) == buffers
    after = sampler.sample(prompts, 2, seed=0)
    assert after != before  # by their log-probabilities, even where a step changes no token
    check_log_probs(policy, prompts, after)


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


# Batches of fixed sizes, the way of a GPU


def answer_in_fixed_batches(sampler: T5Sampler) -> None:
    """On a CPU, without graphs."""
    sampler._answer = sampler._answer_in_fixed_batches  # type: ignore[method-assign]


def both_ways(policy: Seq2SeqPolicy, **config: Any) -> tuple[T5Sampler, T5Sampler]:
    plain, fixed = sampler_of(policy, **config), sampler_of(policy, **config)
    answer_in_fixed_batches(fixed)
    return plain, fixed


@pytest.mark.parametrize("family", FAMILIES)
def test_fixed_batches_give_the_same_answers(family: str) -> None:
    policy = make_policy(family)
    prompts = make_prompts(policy, LENGTHS)
    for config in ({"top_k": 5, "temperature": 0.7}, {"top_p": 0.8}):
        plain, fixed = both_ways(policy, max_new_tokens=40, batch_size=7, **config)
        answers, others = plain.sample(prompts, 3, seed=0), fixed.sample(prompts, 3, seed=0)
        assert tokens_of(answers) == tokens_of(others)
        for of_prompt, other in zip(answers, others, strict=True):
            for one, two in zip(of_prompt, other, strict=True):
                assert one.log_probs == pytest.approx(two.log_probs, abs=1e-4)
    assert plain.greedy(prompts) == fixed.greedy(prompts)


def test_fixed_batches_shrink_and_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = make_policy("flan")
    weigh_end(policy, 8)
    prompts = make_prompts(policy, [4 + i % 9 for i in range(13)])
    plain, fixed = both_ways(policy, max_new_tokens=60)
    taken_over, go_on = [], FixedBatch.go_on

    def counted(batch: FixedBatch, other: FixedBatch, chosen: Tensor) -> None:
        taken_over.append((len(other.queries.mask), len(batch.queries.mask), len(chosen)))
        go_on(batch, other, chosen)

    monkeypatch.setattr(FixedBatch, "go_on", counted)
    for seed in (0, 1):
        answers = fixed.sample(prompts, 2, seed)
        assert tokens_of(answers) == tokens_of(plain.sample(prompts, 2, seed))
        check_log_probs(policy, prompts, answers)
        if seed == 0:
            batches = dict(fixed._batches)
    # 13 queries of up to 12 tokens: 16 places of 32 at first, then fewer.
    assert {key[1:4] for key in batches} == {(32, 2, False)} and 16 in {key[0] for key in batches}
    assert len(batches) > 2
    assert all(after < before and left <= after for before, after, left in taken_over)
    assert any(left < after for _, after, left in taken_over)  # with room left over
    assert all(fixed._batches[key] is batch for key, batch in batches.items())


def test_fixed_batches_follow_the_weights() -> None:
    policy = make_policy("t5")
    prompts = make_prompts(policy, [3, 10, 25])
    _, fixed = both_ways(policy)
    first = fixed.greedy(prompts)
    (batch,) = fixed._batches.values()
    with torch.no_grad():
        for weight, new in zip(policy.parameters(), make_policy("t5", seed=1).parameters(), strict=True):
            weight.copy_(new)
    assert fixed.greedy(prompts) == [generated(policy, prompt, 12) for prompt in prompts] != first
    assert [*fixed._batches.values()] == [batch]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fixed.greedy(prompts)
    assert batch not in fixed._batches.values()  # other memory, other batches


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_graphs_on_a_gpu(family: str) -> None:
    policy = make_policy(family)
    prompts = make_prompts(policy, LENGTHS)
    plain = sampler_of(policy, max_new_tokens=40, top_k=5, temperature=0.7)
    greedy, answers = plain.greedy(prompts), plain.sample(prompts, 3, seed=0)
    policy.cuda()
    sampler = sampler_of(policy, max_new_tokens=40, top_k=5, temperature=0.7)
    for _ in range(2):  # captured, then replayed
        assert sampler.greedy(prompts) == greedy
        on_gpu = sampler.sample(prompts, 3, seed=0)
        assert [len(of_prompt) for of_prompt in on_gpu] == [len(of_prompt) for of_prompt in answers]
    assert all(batch._graphs for batch in sampler._batches.values())
    policy.cpu()
    check_log_probs(policy, prompts, on_gpu, atol=1e-3)
    policy.cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert len(sampler.sample(prompts, 2, seed=0)) == len(prompts)


# Weights that are sharded over devices


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without it")
def test_weights_sharded_by_fsdp_are_gathered(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(sharded.compare, args=(str(tmp_path / "rendezvous"),), nprocs=2)


def test_weights_in_bf16_are_read() -> None:
    """As DeepSpeed keeps them; float32's lowest number, which masks, is none of bf16's."""
    policy = make_policy("flan")
    weights = t5.T5Weights(policy.model.to(torch.bfloat16), max_new_tokens=4)
    weights.refresh(torch.float32)
    assert weights.decoder[0]["bias"].min() == torch.finfo(torch.float32).min
