"""A whole HIR iteration by the project's own parts, against the reference's manner.

200 queries x 4 samples, then 10 passes over the samples in batches of 64. The judge costs nothing. The
reference's manner is timed on a part and scaled linearly; the processes it starts and the weights it loads
are not counted.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks import reference
from benchmarks.measure import OURS, Row, compared, interleave
from benchmarks.models import INSTRUCTIONS, MAX_NEW_TOKENS, SHAPES, TOP_K, autocast, copy_of, make_pair, texts
from benchmarks.training import METHOD, Stepper
from hir.config.schema import BufferConfig, Config, SamplingConfig, TrainingConfig
from hir.feedback.base import Match
from hir.methods.hir import HIR
from hir.records import Example
from hir.sampling.base import build_sampler
from hir.tasks.base import Task
from hir.training.datamodule import HIRDataModule

SECTION = "iteration"
SAMPLES, PASSES, BATCH = 4, 10, 64


def run(sizes: list[str], device: str, repeats: int, quick: bool, sampler: str) -> list[Row]:
    """A row for each model."""
    return [model_row(name, device, repeats, quick, sampler) for name in sizes]


def model_row(name: str, device: str, repeats: int, quick: bool, sampler: str) -> Row:
    """One model's iteration."""
    queries, passes = (32, 1) if quick else (200, PASSES)
    pair = make_pair(SHAPES[name], device)
    sampling = SamplingConfig(
        name=sampler, num_samples=SAMPLES, top_k=TOP_K, max_new_tokens=MAX_NEW_TOKENS, batch_size=64
    )
    config = Config(
        method={"name": "hir", **asdict(METHOD)},
        sampling=sampling,
        buffer=BufferConfig(window=1, deduplicate=False),
        training=TrainingConfig(batch_size=BATCH, passes=passes),
    )
    words = texts(pair.shape, queries, 64 - len(pair.policy.render("", "").split()) - 2)
    rows = tuple(Example(query, ("",)) for query in words)
    task = Task("none", rows, rows[:1], rows[:1], Match(lambda row, output: len(output) % 3 == 0))
    policy = copy_of(pair.policy)
    method = HIR(METHOD, INSTRUCTIONS, policy)
    data = HIRDataModule(config, task, policy, method, INSTRUCTIONS)
    ours = build_sampler(policy, sampling, 64)
    stepper = Stepper(policy, method, device)
    peer = Stepper(copy_of(pair.plain), method, device)
    start = {key: value.clone() for key, value in policy.state_dict().items()}

    def iterate() -> None:
        policy.load_state_dict(start)  # every repeat samples answers of the same lengths
        with autocast(device):
            data.regenerate(ours, 0)
        policy.train()
        size = config.training.batch_size
        for number in range(data.num_updates):
            stepper.step(data.plan[number * size : (number + 1) * size])

    drawn, steps = (8, 1) if quick else (40, 10)
    prompts = [policy.render(INSTRUCTIONS.correct, query) for query in words[: max(1, drawn // SAMPLES)]]
    plan: list[Any] = []

    def draw() -> None:
        # Weights that training has not moved: answers of the same lengths as ours.
        with autocast(device):
            reference.sample(pair.plain, [prompt for prompt in prompts for _ in range(SAMPLES)])

    def learn() -> None:
        peer.policy.train()
        for number in range(steps):
            peer.three_forwards(plan[number * BATCH : (number + 1) * BATCH])

    with autocast(device):
        data.regenerate(ours, 0)
    plan += data.plan
    times, threads = interleave({OURS: iterate, "sampling": draw, "training": learn}, repeats, warm_up=1)
    scale = queries / len(prompts), data.num_updates / steps
    theirs = [a * scale[0] + b * scale[1] for a, b in zip(times["sampling"], times["training"], strict=True)]
    return compared(
        SECTION,
        f"{name}: {queries} x {SAMPLES} x {passes} passes, input 64",
        "reference's manner",
        times[OURS],
        theirs,
        bar=10.0 if name == "d128" and not quick else None,
        note=f"{data.num_updates} updates; peer timed on {len(prompts) * SAMPLES} samples and {steps} steps, "
        f"threads {threads['sampling']} and {threads['training']}",
    )
