"""Sampling against transformers' generate, CTranslate2 and a batch-1 loop in the reference's manner."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from transformers import T5ForConditionalGeneration

from benchmarks import reference
from benchmarks.measure import OURS, THREADS, Row, compared, interleave, seconds
from benchmarks.models import (
    MAX_NEW_TOKENS,
    SHAPES,
    TOP_K,
    Pair,
    autocast,
    copy_of,
    ended,
    make_pair,
    mean_length,
    prompts,
    share_distinct,
)
from benchmarks.training import Stepper
from hir.config.load import load_config
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.training.build import build_run

HAS_CTRANSLATE2 = find_spec("ctranslate2") is not None
"""Without it its rows are left out; it is a peer on a CPU alone."""
SECTION = "sampling"
CASES = {
    # queries, samples, input length: bars against generate and CTranslate2
    (64, 4, 64): (3.0, 1.2),
    (32, 8, 256): (3.0, 1.2),
    (16, 4, 64): (None, 1.0),
}
LOOPED = 48
"""Samples that a batch-1 loop draws in a repeat; its time is scaled to all."""
ITERATIONS = 3
"""Of HIR, before the policy in training is sampled from."""


def run(sizes: list[str], device: str, repeats: int, quick: bool, sampler: str) -> list[Row]:
    """Every row of the section."""
    rows: list[Row] = []
    for name in sizes:
        pair = make_pair(SHAPES[name], device, torch.float32 if device == "cpu" else torch.bfloat16)
        if device != "cpu":
            rows += device_rows(pair, device, repeats, sampler, (64, 8, 256))
            continue
        for case in [(64, 4, 64)] if name == "tiny" else CASES:
            queries, samples, length = (8, 4, 64) if quick else case
            rows += case_rows(
                pair,
                f"{name}: {queries} x {samples}, input {length}",
                prompts(pair.shape, queries, length),
                samples,
                repeats,
                sampler,
                loop=0 if case != (64, 4, 64) else 8 if name == "tiny" else LOOPED,
                bars=CASES[case] if name == "d128" else (None, None),
            )
        if not quick:
            rows += device_rows(pair, device, repeats, sampler, (64, 4, 64), compiled=False)
    if device == "cpu":
        rows += task_rows("object_counting" if quick else "word_sorting", repeats, quick, sampler)
    return rows


def task_rows(task: str, repeats: int, quick: bool, sampler: str) -> list[Row]:
    """The tiny model on a task's own prompts, as it comes and in training: real answers, much alike."""
    settings = [f"task={task}", f"sampling.name={sampler}", "sampling.max_queries=256"]
    config = load_config([*settings, *(["task.num_train=64", "model.base.max_updates=1"] if quick else [])])
    run = build_run(config)
    policy, data = run.module.policy, run.datamodule
    if run.base is None:
        raise RuntimeError("the default model is the tiny one")
    queries = [policy.render(data.phi.goal(row), row.query) for row in data.task.train[: 8 if quick else 64]]
    learner = Stepper(policy, run.module.method, "cpu")
    rows = []
    for iterations in (0,) if quick else (0, ITERATIONS):
        for iteration in range(iterations):
            data.regenerate(run.module.sampler, iteration)
            policy.train()
            size = config.training.batch_size
            for start in range(0, len(data.plan), size):
                learner.step(data.plan[start : start + size])
        model = T5ForConditionalGeneration.from_pretrained(run.base.path)
        model.load_state_dict(policy.model.state_dict())
        pair = Pair(SHAPES["tiny"], copy_of(policy), Seq2SeqPolicy(model, policy.tokenizer))
        label = f"{task}, tiny after {iterations} iterations: {len(queries)} x 4"
        rows += case_rows(pair, label, queries, 4, repeats, sampler)
    return rows


def case_rows(
    pair: Pair,
    label: str,
    texts: list[str],
    samples: int,
    repeats: int,
    sampler: str,
    loop: int = 0,
    bars: tuple[float | None, float | None] = (None, None),
) -> list[Row]:
    """One size of work on a CPU, answers of real lengths; ``loop`` samples by a batch-1 loop."""
    seeds, drawn = itertools.count(), dict[str, list[Any]]()

    def note(name: str, answers: Any) -> None:
        drawn.setdefault(name, []).extend(answers)

    ours = pair.sampler(sampler)
    runs: dict[str, Callable[[], object]] = {
        OURS: lambda: note(OURS, ours.sample(texts, samples, next(seeds))),
        "generate, batched": lambda: note("generate, batched", generate(pair, texts, samples)),
    }
    threads_of = ""
    if HAS_CTRANSLATE2:
        peer, threads_of = tuned_peer(pair, texts, samples)
        source = peer.tokenize(texts)

        def converted() -> None:
            temperature = peer.convert()
            note("CTranslate2, its own converter", peer.sample(source, samples, temperature=temperature))

        def refreshed() -> None:
            peer.refresh()
            note("CTranslate2, lean refresh", peer.sample(source, samples))

        runs["CTranslate2, its own converter"] = converted
        runs["CTranslate2, lean refresh"] = refreshed
        runs["CTranslate2, no refresh"] = lambda: note(
            "CTranslate2, no refresh", peer.sample(source, samples)
        )
    if loop:
        cycle = [texts[i % len(texts)] for i in range(loop)]
        grouped = texts[: loop // samples]
        runs["batch-1 loop"] = lambda: reference.sample(pair.plain, cycle)
        runs["batch-1 loop, n a call"] = lambda: reference.sample(pair.plain, grouped, samples)
    times, threads = interleave(runs, repeats)

    rows = []
    for name in runs:
        if name in (OURS, "batch-1 loop", "batch-1 loop, n a call"):
            continue
        text = f"tokens an answer {mean_length(drawn[name]):.1f}, hir {mean_length(drawn[OURS]):.1f}; "
        if name.startswith("CTranslate2"):
            text += threads_of
        else:
            text += f"torch threads {threads[name]}; distinct answers {share_distinct(drawn[OURS]):.2f}"
        bar = bars[name.startswith("CTranslate2")]
        rows.append(compared(SECTION, label, name, times[OURS], times[name], bar=bar, note=text))
    if loop:
        total = len(texts) * samples
        for name, bar in (("batch-1 loop", 30.0), ("batch-1 loop, n a call", None)):
            a = [1000 * t / total for t in times[OURS]]
            b = [1000 * t / loop for t in times[name]]
            text = f"per sample; the loop was timed on {loop} samples, torch threads {threads[name]}"
            bar = bar if bars[0] else None
            rows.append(compared(SECTION, label, name, a, b, unit="ms", bar=bar, note=text))
    return rows


def tuned_peer(pair: Pair, texts: list[str], samples: int) -> tuple[Any, str]:
    """CTranslate2 with the threads that suit it on this work: all on one batch, or a batch each."""
    from benchmarks.ctranslate import CTranslate2Sampler

    best: tuple[float, Any, str] | None = None
    for inter, intra in sorted({(1, THREADS), (THREADS, 1)}):
        peer = CTranslate2Sampler(pair.plain, inter, intra)
        source = peer.tokenize(texts)
        peer.sample(source, samples)
        time = min(seconds(lambda: peer.sample(source, samples)) for _ in range(3))  # noqa: B023
        if best is None or time < best[0]:
            best = (time, peer, f"{inter} batch(es) x {intra} thread(s)")
    if best is None:
        raise RuntimeError("no number of threads")
    # Both must have the same model: without chance they give the same answers, but for rounding.
    peer, own = best[1], pair.sampler("generate").greedy(texts[:16])
    answers = peer.sample(peer.tokenize(texts[:16]), 1, top_k=1)
    same = sum(a == tuple(map(peer.words.index, b[0])) for a, b in zip(own, answers, strict=True))
    if same < 12:
        raise RuntimeError(f"CTranslate2 gives {same} of 16 greedy answers as transformers does")
    return peer, best[2]


def device_rows(
    pair: Pair,
    device: str,
    repeats: int,
    sampler: str,
    case: tuple[int, int, int],
    compiled: bool = True,
) -> list[Row]:
    """Answers of forced length, against generate."""
    queries, samples, length = case
    texts = prompts(pair.shape, queries, length)
    pair.forced_length()
    ours, seeds = pair.sampler(sampler), itertools.count()

    def sample() -> list[Any]:
        with autocast(device):
            return list(ours.sample(texts, samples, next(seeds)))

    runs: dict[str, Callable[[], object]] = {
        OURS: sample,
        "generate, dynamic cache": lambda: generate(pair, texts, samples),
    }
    if compiled:  # transformers compiles the decode step for a static cache on a GPU by itself
        runs["generate, static cache, compiled"] = lambda: generate(
            pair, texts, samples, cache_implementation="static"
        )
    forced = mean_length(sample())
    times, _ = interleave(runs, repeats)
    pair.real_stops()
    label = f"{pair.shape.name}: {queries} x {samples}, input {length}, forced length"
    text = f"every answer has {forced:.1f} tokens"
    return [
        compared(SECTION, label, name, times[OURS], t, note=text) for name, t in times.items() if name != OURS
    ]


@torch.no_grad()
def generate(pair: Pair, texts: list[str], samples: int, **options: Any) -> list[list[tuple[int, ...]]]:
    """transformers' generate on all texts at once; unlike the project's samplers it keeps no probability."""
    policy = pair.plain
    policy.model.eval()
    input_ids, mask = policy.pad(policy.encode(texts))
    output = policy.model.generate(
        input_ids=input_ids,
        attention_mask=mask,
        do_sample=True,
        top_k=TOP_K,
        num_return_sequences=samples,
        max_new_tokens=MAX_NEW_TOKENS,
        **options,
    )
    answers = [ended(policy, tokens) for tokens in output[:, 1:].tolist()]
    return [answers[start : start + samples] for start in range(0, len(answers), samples)]
