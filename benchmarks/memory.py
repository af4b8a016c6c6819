"""Peak memory, each in a process of its own: `python -m benchmarks.memory WORK SIZE DEVICE SAMPLER`."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import OURS, Row, compared

ROOT = Path(__file__).resolve().parent.parent
WORKS = {
    "sampling": ("hir-sampling", ("generate", "ctranslate2")),
    "training": ("hir-training", ("three-forwards", "plain-loop")),
}


def run(section: str, size: str, device: str, sampler: str) -> list[Row]:
    """MiB above what imports take, the model included: at its peak."""
    own, peers = WORKS[section]
    label = f"{size}: peak memory, " + ("64 x 4, input 64" if section == "sampling" else "64 rows, input 256")
    ours = measure(own, size, device, sampler)
    rows = []
    for peer in peers:
        theirs = measure(peer, size, device, sampler)
        if ours and theirs:
            rows.append(
                compared(section, label, peer, [ours], [theirs], "MiB", note="model included, one run")
            )
    return rows


def measure(work: str, size: str, device: str, sampler: str) -> float | None:
    """MiB that the work takes in a process of its own; None where it cannot run."""
    command = [sys.executable, "-m", "benchmarks.memory", work, size, device, sampler]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def main(work: str, size: str, device: str, sampler: str) -> None:
    import torch

    from benchmarks import sampling, training
    from benchmarks.models import SHAPES, make_pair, prompts
    from hir.methods.base import build_method

    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pair = make_pair(SHAPES[size], device)
    if work in ("hir-sampling", "generate", "ctranslate2"):
        texts = prompts(pair.shape, 64, 64)
        if work == "ctranslate2":
            peer = sampling.CTranslate2Sampler(pair.plain, 1, torch.get_num_threads())
            peer.sample(peer.tokenize(texts), 4)
        else:
            pair.sampler(sampler if work.startswith(OURS) else "generate").sample(texts, 4, 0)
    else:
        method = build_method(training.METHOD, training.INSTRUCTIONS, pair.policy.decode)
        ours = work.startswith(OURS)
        stepper = training.Stepper(pair.policy if ours else pair.plain, method, device)
        rows = training.training_rows(pair.shape, 16, 4, 256, 8)
        steps = {"three-forwards": stepper.three_forwards, "plain-loop": stepper.plain_loop}
        for _ in range(2):
            steps.get(work, stepper.step)(rows)
    if device == "cpu":
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024)
    else:
        print(torch.cuda.max_memory_allocated() / 2**20)


if __name__ == "__main__":
    main(*sys.argv[1:])
