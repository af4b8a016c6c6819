"""A training step against three forwards in the reference's manner and against transformers' plain loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device

from benchmarks import reference
from benchmarks.measure import OURS, Row, compared, interleave
from benchmarks.models import INSTRUCTIONS, SHAPES, Pair, Shape, autocast, copy_of, make_pair, texts
from hir.methods.base import Method
from hir.methods.hir import HIR
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import TrainingExample

SECTION = "training"
METHOD = HIR.Settings(alpha=1.0, beta=0.001, epsilon=0.2)
LR = 5e-4
QUERIES, SAMPLES = 16, 4


def run(sizes: list[str], device: str, repeats: int, quick: bool) -> list[Row]:
    """Every row of the section."""
    rows: list[Row] = []
    for name in sizes:
        pair = make_pair(SHAPES[name], device)
        cases = [(64, 8), (256, 8), (64, 32)] if device == "cpu" else [(256, 32)]
        for length, tokens in cases[:1] if quick or name == "tiny" else cases:
            rows += case_rows(pair, device, length, tokens, repeats, bars=name == "d128")
    return rows


def case_rows(pair: Pair, device: str, length: int, tokens: int, repeats: int, bars: bool) -> list[Row]:
    """One size of batch. All collate in the clock, with the tokens of prompts cached, and step."""
    rows = training_rows(pair.shape, QUERIES, SAMPLES, length, tokens)
    method = HIR(METHOD, INSTRUCTIONS, pair.policy)
    ours = Stepper(copy_of(pair.policy), method, device)
    check_equal_loss(ours, Stepper(copy_of(pair.plain), method, device), rows)
    three, plain = (Stepper(copy_of(pair.plain), method, device) for _ in "ab")
    times, threads = interleave(
        {
            OURS: lambda: ours.step(rows),
            "three forwards": lambda: three.three_forwards(rows),
            "plain loop": lambda: plain.plain_loop(rows),
        },
        repeats,
    )
    label = f"{pair.shape.name}: {QUERIES} x {SAMPLES} rows, input {length}, output {tokens}"
    bar = 5.0 if bars and tokens == 8 else None
    note = f"AdamW as by default; same loss value; torch threads {threads['three forwards']}"
    return [
        compared(SECTION, label, "three forwards", times[OURS], times["three forwards"], bar=bar, note=note),
        compared(
            SECTION, label, "transformers' plain loop", times[OURS], times["plain loop"],
            note="does less: one instruction, no contrast, no entropy",
        ),
    ]  # fmt: skip


class Stepper:
    """Training steps of a policy. On a GPU all compute in bf16 autocast, with float32 weights."""

    def __init__(self, policy: Seq2SeqPolicy, method: Method, device: str) -> None:
        self.policy, self.method, self.device = policy, method, device
        self._optimizers: dict[bool, torch.optim.Optimizer] = {}

    def step(self, rows: Sequence[TrainingExample]) -> None:
        """As hir/training/module.py: one forward, fused AdamW."""
        self._learn(self._ours, rows, fused=True)

    def three_forwards(self, rows: Sequence[TrainingExample]) -> None:
        self._learn(self._three, rows, fused=False)

    def plain_loop(self, rows: Sequence[TrainingExample]) -> None:
        self._learn(self._plain, rows, fused=False)

    def _ours(self, rows: Sequence[TrainingExample]) -> torch.Tensor:
        batch = move_data_to_device(self.policy.collate(rows), torch.device(self.device))
        loss, _ = self.method.loss(self.policy, batch)
        return loss

    def _three(self, rows: Sequence[TrainingExample]) -> torch.Tensor:
        return reference.loss(self.policy, reference.collate(self.policy, rows), METHOD)

    def _plain(self, rows: Sequence[TrainingExample]) -> torch.Tensor:
        return reference.plain_loss(self.policy, reference.collate(self.policy, rows, contrast=False))

    def _learn(self, loss: Any, rows: Sequence[TrainingExample], fused: bool) -> None:
        if fused not in self._optimizers:
            self._optimizers[fused] = torch.optim.AdamW(
                self.policy.parameters(), lr=LR, weight_decay=0.0, fused=fused or None
            )
        optimizer = self._optimizers[fused]
        with autocast(self.device):
            value = loss(rows)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def check_equal_loss(ours: Stepper, peer: Stepper, rows: Sequence[TrainingExample]) -> None:
    """Both must compute the same thing, in float32."""
    with torch.no_grad():
        a, b = float(ours._ours(rows)), float(peer._three(rows))
    assert abs(a - b) < 1e-4 * max(1.0, abs(b)), f"losses differ: {a} and {b}"


def training_rows(
    shape: Shape, queries: int, samples: int, length: int, tokens: int, seed: int = 0
) -> list[TrainingExample]:
    """Rows whose prompts have ``length`` tokens and whose outputs ``tokens``, the end token included."""
    around = 4  # the instruction's one word, "Q:", "A:" and the end token
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for number, query in enumerate(texts(shape, queries, length - around, seed)):
        for sample in range(samples):
            correct = (number + sample) % 3 == 0
            own, other = INSTRUCTIONS.texts if correct else INSTRUCTIONS.texts[::-1]
            ids = torch.randint(7, shape.vocabulary, (tokens - 1,), generator=generator).tolist()
            rows.append(TrainingExample(0, query, own, (*ids, 1), correct, contrast=(other,)))
    return rows
