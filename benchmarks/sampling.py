"""Sampling against transformers' generate, CTranslate2 and a batch-1 loop in the reference's manner."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import reference
from benchmarks.measure import OURS, THREADS, Row, alone, compared, interleave, seconds
from benchmarks.models import (
    MAX_NEW_TOKENS,
    SHAPES,
    TOP_K,
    Pair,
    make_pair,
    mean_length,
    prompts,
    share_distinct,
)
from benchmarks.roofline import measure_device, sampling_bound

try:
    from benchmarks.ctranslate import CTranslate2Sampler
except ImportError:  # not installed: its rows are left out
    CTranslate2Sampler = None  # type: ignore[assignment, misc]

SECTION = "sampling"
CASES = {
    # queries, samples, input length: bars against generate, CTranslate2 with and without its refresh
    (64, 4, 64): (3.0, 1.2, None),
    (32, 8, 256): (3.0, 1.2, None),
    (16, 4, 64): (None, None, 1.0),
}
LOOPED = 48
"""Samples that a batch-1 loop draws in a repeat; its time is scaled to all."""


def run(sizes: list[str], device: str, repeats: int, quick: bool, sampler: str) -> list[Row]:
    """Every row of the section."""
    rows: list[Row] = []
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    for name in sizes:
        pair = make_pair(SHAPES[name], device, dtype)
        if device != "cpu":
            rows += device_rows(pair, device, dtype, repeats, sampler, (64, 8, 256))
            continue
        cases = [(64, 4, 64)] if name == "tiny" else list(CASES)
        for case in cases:
            rows += case_rows(pair, case, repeats, quick, sampler, bars=name == "d128")
        if not quick:
            rows += device_rows(pair, device, dtype, repeats, sampler, (64, 4, 64), compiled=False)
    return rows


def case_rows(
    pair: Pair, case: tuple[int, int, int], repeats: int, quick: bool, sampler: str, bars: bool
) -> list[Row]:
    """One size of work on a CPU, answers of real lengths."""
    queries, samples, length = case
    texts = prompts(pair.shape, queries, length)
    seeds, drawn = itertools.count(), dict[str, list[Any]]()

    def note(name: str, answers: Any) -> None:
        drawn.setdefault(name, []).extend(answers)

    ours, generate = pair.sampler(sampler), pair.sampler("generate")
    runs: dict[str, Callable[[], object]] = {
        OURS: lambda: note(OURS, ours.sample(texts, samples, next(seeds))),
        "generate": lambda: note("generate", generate.sample(texts, samples, next(seeds))),
    }
    threads_of = ""
    if CTranslate2Sampler:
        peer, threads_of = tuned_peer(pair, texts, samples)
        source = peer.tokenize(texts)
        runs["CTranslate2, refresh included"] = lambda: (peer.refresh(), peer.sample(source, samples))
        runs["CTranslate2, no refresh"] = lambda: note("CTranslate2", peer.sample(source, samples))
    loops = case == (64, 4, 64)
    looped = min(LOOPED, 8 if quick else LOOPED)
    if loops:
        cycle = [texts[i % queries] for i in range(looped)]
        runs["batch-1 loop"] = lambda: note("batch-1 loop", reference.sample(pair.plain, cycle))
        grouped = texts[: max(1, looped // samples)]
        runs["batch-1 loop, n a call"] = lambda: reference.sample(pair.plain, grouped, samples)
    times, threads = interleave(runs, repeats)

    label = f"{pair.shape.name}: {queries} x {samples}, input {length}"
    lengths = {name: mean_length(answers) for name, answers in drawn.items()}
    with_generate, with_refresh, without = CASES[case] if bars else (None, None, None)
    rows = [
        compared(
            SECTION,
            label,
            "generate, batched",
            times[OURS],
            times["generate"],
            bar=with_generate,
            note=f"torch threads {threads['generate']}; mean length hir {lengths[OURS]:.1f}, generate "
            f"{lengths['generate']:.1f}; distinct answers {share_distinct(drawn[OURS]):.2f}",
        )
    ]
    for name, bar in (("CTranslate2, refresh included", with_refresh), ("CTranslate2, no refresh", without)):
        if name in times:
            text = f"{threads_of}; mean length {lengths['CTranslate2']:.1f}"
            rows.append(compared(SECTION, label, name, times[OURS], times[name], bar=bar, note=text))
    if loops:
        total = queries * samples
        for name, number, bar in (
            ("batch-1 loop", looped, 30.0),
            ("batch-1 loop, n a call", samples * max(1, looped // samples), None),
        ):
            a = [1000 * t / total for t in times[OURS]]
            b = [1000 * t / number for t in times[name]]
            text = f"per sample; the loop was timed on {number} samples, threads {threads[name]}"
            rows.append(compared(SECTION, label, name, a, b, unit="ms", bar=bar if bars else None, note=text))
    return rows


def tuned_peer(pair: Pair, texts: list[str], samples: int) -> tuple[Any, str]:
    """CTranslate2 with the threads that suit it on this work: all on one batch, or a batch each."""
    threads = THREADS
    best: tuple[float, Any, str] | None = None
    for inter, intra in sorted({(1, threads), (threads, 1)}):
        peer = CTranslate2Sampler(pair.plain, inter, intra)
        source = peer.tokenize(texts)
        peer.sample(source, samples)
        time = min(seconds(lambda: peer.sample(source, samples)) for _ in range(3))  # noqa: B023
        if best is None or time < best[0]:
            best = (time, peer, f"{inter} batch(es) x {intra} thread(s)")
    assert best
    # Both must have the same model: without chance they give the same answers, but for rounding.
    source = best[1].tokenize(texts[:16])
    greedy = [tuple(map(best[1].words.index, answer[0])) for answer in best[1].sample(source, 1, top_k=1)]
    same = sum(a == b for a, b in zip(greedy, pair.sampler("generate").greedy(texts[:16]), strict=True))
    assert same >= 12, f"CTranslate2 gives {same} of 16 greedy answers as transformers does"
    return best[1], best[2]


def device_rows(
    pair: Pair,
    device: str,
    dtype: torch.dtype,
    repeats: int,
    sampler: str,
    case: tuple[int, int, int],
    compiled: bool = True,
) -> list[Row]:
    """Answers of forced length, against generate, and as a fraction of what the device could do."""
    queries, samples, length = case
    texts = prompts(pair.shape, queries, length)
    pair.forced_length()
    ours, generate = pair.sampler(sampler), pair.sampler("generate")
    seeds = itertools.count()
    runs: dict[str, Callable[[], object]] = {
        OURS: lambda: ours.sample(texts, samples, next(seeds)),
        "generate, dynamic cache": lambda: generate.sample(texts, samples, next(seeds)),
    }
    if compiled:
        runs["generate, static cache, compiled"] = lambda: static_generate(pair, texts, samples)
    if CTranslate2Sampler and device != "cpu" and cuda_peer():
        peer = CTranslate2Sampler(pair.plain, 1, 0, "bfloat16")
        source = peer.tokenize(texts)
        runs["CTranslate2, refresh included"] = lambda: (peer.refresh(), peer.sample(source, samples))
        runs["CTranslate2, no refresh"] = lambda: peer.sample(source, samples)
    forced = mean_length(ours.sample(texts, samples, 0))
    times, _ = interleave(runs, repeats)
    pair.real_stops()
    label = f"{pair.shape.name}: {queries} x {samples}, input {length}, forced length"
    text = f"every answer has {forced:.1f} tokens"
    rows = [
        compared(SECTION, label, name, times[OURS], t, note=text) for name, t in times.items() if name != OURS
    ]
    torch.set_num_threads(THREADS)
    can = measure_device(device, dtype)
    bound = sampling_bound(pair.shape, can, queries, samples, length, MAX_NEW_TOKENS, dtype.itemsize)
    text = f"bound {bound:.3g} s at {can.bandwidth / 1e9:.3g} GB/s, {can.peak / 1e12:.3g} TFLOP/s, measured"
    rows.append(alone(SECTION, label, [bound / t for t in times[OURS]], "of the roofline", text))
    return rows


def cuda_peer() -> bool:
    """Whether CTranslate2 finds a GPU here."""
    import ctranslate2

    return bool(ctranslate2.get_cuda_device_count())


@torch.no_grad()
def static_generate(pair: Pair, texts: list[str], samples: int) -> Any:
    """generate with a static cache; transformers compiles the decode step for it on a GPU by itself."""
    policy = pair.plain
    policy.model.eval()
    input_ids, mask = policy.pad(policy.encode(texts))
    return policy.model.generate(
        input_ids=input_ids,
        attention_mask=mask,
        do_sample=True,
        top_k=TOP_K,
        num_return_sequences=samples,
        max_new_tokens=MAX_NEW_TOKENS,
        cache_implementation="static",
    ).tolist()
