"""What an iteration costs: a model of two efficiencies and two overheads, checked here and extrapolated.

`python -m benchmarks.cost` measures this machine, fits the model to two sizes of sampling and of training on
one shape, prints what it says of other shapes and lengths beside what they took, and then what an iteration
of FLAN-T5-xxl would need on 1, 8 and 64 GPUs.

    sampling  = (encoder FLOPs / peak + sum over steps of the step's bound) / e_s + steps x layers x c_s
    training  = training FLOPs / (peak x e_t) + layers x c_t                                     (one update)

The bounds are in benchmarks/roofline.py. The overheads c are what a layer costs however small it is.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from benchmarks.measure import seconds
from benchmarks.models import INSTRUCTIONS, MAX_NEW_TOKENS, SHAPES, Shape, copy_of, make_pair, prompts
from benchmarks.roofline import (
    Device,
    decoder_weights,
    encoder_weights,
    measure_device,
    sampling_bound,
    training_flops,
)
from benchmarks.training import METHOD, Stepper, training_rows
from hir.methods.base import build_method

XXL = Shape("xxl", 4096, 64, 64, 10240, 24, 24, 32128)
H200 = Device(bandwidth=4.3e12, peak=790e12)
"""Measured on one: a large copy, a large bf16 product."""
NVLINK, NETWORK = 400e9, 50e9
"""Bytes a second that a GPU exchanges within its machine, and with other machines; assumed."""
GPUS_A_MACHINE = 8
BATCH_SIZE = 64


@dataclass(frozen=True)
class Sampling:
    """A batch of queries to sample."""

    shape: Shape
    queries: int
    samples: int
    length: int
    tokens: int = MAX_NEW_TOKENS

    def bound(self, device: Device, element: int = 4) -> float:
        return sampling_bound(
            self.shape, device, self.queries, self.samples, self.length, self.tokens, element
        )

    @property
    def layers(self) -> int:
        return self.tokens * self.shape.decoder_layers

    def __str__(self) -> str:
        return (
            f"sampling {self.shape.name}: {self.queries} x {self.samples}, input {self.length}, "
            f"{self.tokens} tokens"
        )


@dataclass(frozen=True)
class Update:
    """One update on rows of so many queries, each with ``samples`` of them."""

    shape: Shape
    queries: int
    samples: int
    length: int
    tokens: int

    def bound(self, device: Device, element: int = 4) -> float:
        rows = 2 * self.queries * self.samples
        return training_flops(self.shape, 2 * self.queries, self.length, rows, self.tokens) / device.peak

    @property
    def layers(self) -> int:
        return self.shape.encoder_layers + self.shape.decoder_layers

    def __str__(self) -> str:
        return (
            f"update {self.shape.name}: {self.queries} x {self.samples} rows, input {self.length}, "
            f"output {self.tokens}"
        )


Work = Sampling | Update


@dataclass(frozen=True)
class Fit:
    """Efficiency, and overhead a layer in seconds."""

    efficiency: float
    overhead: float

    def seconds(self, work: Work, device: Device) -> float:
        return work.bound(device) / self.efficiency + work.layers * self.overhead


def fit(small: tuple[Work, float], large: tuple[Work, float], device: Device) -> Fit:
    """The two numbers that give both measured times."""
    (a, time_a), (b, time_b) = small, large
    determinant = a.bound(device) * b.layers - b.bound(device) * a.layers
    per_bound = (time_a * b.layers - time_b * a.layers) / determinant
    overhead = (b.bound(device) * time_a - a.bound(device) * time_b) / -determinant
    return Fit(1 / per_bound, max(0.0, overhead))


def measured(work: Work, repeats: int = 5) -> float:
    """Median seconds, after a warm-up."""
    pair = make_pair(work.shape)
    run: Callable[[], object]
    if isinstance(work, Sampling):
        pair.forced_length()
        sampler, texts = pair.sampler("t5"), prompts(work.shape, work.queries, work.length)
        run = lambda: sampler.sample(texts, work.samples, 0)  # noqa: E731
    else:
        method = build_method(METHOD, INSTRUCTIONS, pair.policy)
        stepper = Stepper(copy_of(pair.policy), method, "cpu")
        rows = training_rows(work.shape, work.queries, work.samples, work.length, work.tokens)
        run = lambda: stepper.step(rows)  # noqa: E731
    run()
    return statistics.median(seconds(run) for _ in range(repeats))


def check(console: Console) -> None:
    """Fit on d128, and compare with the rest."""
    device = measure_device("cpu", torch.float32)
    console.print(f"this machine: {device.bandwidth / 1e9:.0f} GB/s, {device.peak / 1e9:.0f} GFLOP/s")
    tiny, d128, small = SHAPES["tiny"], SHAPES["d128"], SHAPES["small"]
    groups: list[list[Work]] = [
        [
            Sampling(d128, 2, 4, 64),
            Sampling(d128, 64, 4, 64),
            Sampling(d128, 16, 4, 64),
            Sampling(d128, 32, 8, 256),
            Sampling(tiny, 64, 4, 64),
            Sampling(small, 8, 4, 64),
        ],
        [
            Update(d128, 2, 4, 64, 8),
            Update(d128, 16, 4, 64, 8),
            Update(d128, 16, 4, 256, 8),
            Update(d128, 16, 4, 64, 32),
            Update(tiny, 16, 4, 64, 8),
            Update(small, 8, 4, 64, 8),
        ],
    ]
    table = Table("work", "measured", "model", "model / measured")
    for group in groups:
        times = [measured(work) for work in group]
        fitted = fit((group[0], times[0]), (group[1], times[1]), device)
        for i, (work, time) in enumerate(zip(group, times, strict=True)):
            told = fitted.seconds(work, device)
            remark = "fitted" if i < 2 else f"{told / time:.2f}"
            table.add_row(str(work), f"{time * 1e3:.1f} ms", f"{told * 1e3:.1f} ms", remark)
        table.add_section()
        console.print(f"efficiency {fitted.efficiency:.2f}, overhead a layer {fitted.overhead * 1e6:.0f} us")
    console.print(table)


def project(console: Console, efficiency: float = 0.5) -> None:
    """An iteration of FLAN-T5-xxl, the paper's settings, at half of an H200's bounds, without overheads."""
    num_queries, num_samples, length, tokens, passes = 200, 4, 256, 32, 10
    weights = encoder_weights(XXL) + decoder_weights(XXL) + 2 * XXL.decoder_layers * XXL.d_model * XXL.inner
    weights += XXL.d_model * XXL.vocabulary  # the embedding
    table = Table("GPUs", "memory a GPU", "sampling", "updates", "exchange", "iteration")
    for gpus in (1, 8, 64):
        share = Sampling(XXL, -(-num_queries // gpus), num_samples, length, tokens)
        sampling = share.bound(H200, element=2) / efficiency
        num_updates = round(passes * num_queries * num_samples / BATCH_SIZE)
        # A query's four rows stay together while a GPU has four of them.
        rows = BATCH_SIZE / gpus
        together = min(num_samples, max(1, int(rows)))
        update = Update(XXL, max(1, round(rows / together)), together, length, tokens)
        training = num_updates * update.bound(H200) / efficiency
        # Forward and backward gather bf16 weights, gradients are summed once: three times the weights.
        link = NVLINK if gpus <= GPUS_A_MACHINE else NETWORK
        exchange = 0.0 if gpus == 1 else num_updates * 3 * 2 * weights / link
        copied = 2 * weights  # sampling's own, bf16
        state = 16 * weights / gpus  # weights, gradients and AdamW's two moments, float32
        table.add_row(
            str(gpus),
            f"{(state + copied) / 1e9:.0f} GB",
            f"{sampling:.1f} s",
            f"{training:.0f} s",
            f"{exchange:.0f} s",
            f"{sampling + max(training, exchange):.0f} to {sampling + training + exchange:.0f} s",
        )
    console.print(f"FLAN-T5-xxl, {weights / 1e9:.2f} billion weights: {num_queries} queries x {num_samples},")
    console.print(f"input {length}, {tokens} tokens, {passes} passes in updates of {BATCH_SIZE} rows")
    console.print(table)


if __name__ == "__main__":
    disable_progress_bar()
    out = Console(width=110)
    check(out)
    project(out)
