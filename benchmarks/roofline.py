"""Lower bounds on time, from bytes moved and FLOPs done and from what the device was measured to do.

A decode step of R = B n rows after t tokens reads, in elements, the P_dec weights of the decoder's step once,
the B queries' cross keys and values, 2 L I B S, and the rows' own, 2 L I R t; it takes 2 P_dec R FLOPs. Its
least time is the larger of bytes / bandwidth and FLOPs / peak. The encoder's least time is its FLOPs / peak.

A training step takes, forward and twice that backward, for each prompt's S tokens and each row's T tokens
2 FLOPs a weight that they pass, and in attention 4 I for each pair of positions. A prompt is encoded once.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch

from benchmarks.measure import seconds
from benchmarks.models import Shape


@dataclass(frozen=True)
class Device:
    """What a device does."""

    bandwidth: float
    """Bytes a second, read and written, of a large copy."""
    peak: float
    """FLOPs a second of a large matrix product."""


def measure_device(device: str, dtype: torch.dtype) -> Device:
    """A large copy, and a large square matrix product in ``dtype``; medians of several."""
    large = torch.device(device).type == "cuda"
    source = torch.ones((1 << 30 if large else 1 << 26), dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    size = 8192 if large else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in "ab")
    calls = 10 if large else 1

    def copy() -> None:
        for _ in range(calls):
            target.copy_(source)

    def multiply() -> None:
        for _ in range(calls):
            torch.mm(a, b)

    copy()
    multiply()
    copying = statistics.median(seconds(copy) for _ in range(5)) / calls
    multiplying = statistics.median(seconds(multiply) for _ in range(5)) / calls
    return Device(2 * 4 * source.numel() / copying, 2 * size**3 / multiplying)


def encoder_weights(shape: Shape) -> int:
    """Weights that a prompt's token is multiplied by."""
    feed_forward = (3 if shape.gated else 2) * shape.d_model * shape.d_ff
    return shape.encoder_layers * (4 * shape.d_model * shape.inner + feed_forward)


def decoder_weights(shape: Shape) -> int:
    """Weights that an answer's token is multiplied by, the head's included; cross keys and values are not."""
    feed_forward = (3 if shape.gated else 2) * shape.d_model * shape.d_ff
    layer = 6 * shape.d_model * shape.inner + feed_forward
    return shape.decoder_layers * layer + shape.d_model * shape.vocabulary


def encoder_flops(shape: Shape, num_prompts: int, length: int) -> float:
    """Forward, cross keys and values included."""
    cross = shape.decoder_layers * 2 * shape.d_model * shape.inner
    tokens = num_prompts * length
    attention = 4 * shape.encoder_layers * shape.inner * tokens * length
    return 2 * (encoder_weights(shape) + cross) * tokens + attention


def sampling_bound(
    shape: Shape, device: Device, queries: int, samples: int, length: int, tokens: int, element: int
) -> float:
    """Least seconds to sample ``tokens`` tokens of every answer, ``element`` bytes a number."""
    rows, weights = queries * samples, decoder_weights(shape)
    total = encoder_flops(shape, queries, length) / device.peak
    for t in range(1, tokens + 1):
        caches = 2 * shape.decoder_layers * shape.inner * (queries * length + rows * t)
        moved = element * (weights + caches)
        total += max(moved / device.bandwidth, 2 * weights * rows / device.peak)
    return total


def training_flops(shape: Shape, num_prompts: int, length: int, rows: int, tokens: int) -> float:
    """Of one step, forward and backward, without recomputing; ``rows`` counts a row once an instruction."""
    decoded = rows * tokens
    attention = 4 * shape.decoder_layers * shape.inner * decoded * (tokens + length)
    forward = encoder_flops(shape, num_prompts, length) + 2 * decoder_weights(shape) * decoded + attention
    return 3 * forward
