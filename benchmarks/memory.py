"""Peak memory, each in a process of its own: `python -m benchmarks.memory WORK SIZE DEVICE SAMPLER`."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import OURS, Row, compared

SECTION = "memory"
ROOT = Path(__file__).resolve().parent.parent
WORKS = {
    "sampling": ("hir-sampling", ("generate", "ctranslate2")),
    "training": ("hir-training", ("three-forwards", "plain-loop")),
}


def run(size: str, device: str, quick: bool, sampler: str) -> list[Row]:
    """MiB above what imports take, the model included: at its peak."""
    rows = []
    for work, (own, peers) in WORKS.items():
        if quick and work == "sampling":
            continue
        label = f"{size}, {work}: " + ("64 x 4, input 64" if work == "sampling" else "64 rows, input 256")
        ours = measure(own, size, device, sampler)
        for peer in peers[: 1 if quick else None]:
            if peer == "ctranslate2" and not find_spec("ctranslate2"):
                continue
            theirs = measure(peer, size, device, sampler)
            note = "peak above the imports, two copies of the weights included; one run"
            rows.append(compared(SECTION, label, peer, [ours], [theirs], "MiB", note=note))
    return rows


def measure(work: str, size: str, device: str, sampler: str) -> float:
    """MiB that the work takes in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", work, size, device, sampler]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {done.stderr[-500:]}")
    return float(done.stdout.split()[-1])


def peak_memory() -> float:
    """MiB of this process at most so far (Linux); ru_maxrss would count its parent's, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(work: str, size: str, device: str, sampler: str) -> None:
    import torch

    from benchmarks import sampling, training
    from benchmarks.models import INSTRUCTIONS, SHAPES, autocast, make_pair, prompts
    from hir.methods.base import build_method

    if work == "ctranslate2":
        from benchmarks.ctranslate import CTranslate2Sampler

    base = peak_memory() if device == "cpu" else 0.0
    pair = make_pair(SHAPES[size], device)
    texts = prompts(pair.shape, 64, 64)
    if work == "ctranslate2":
        peer = CTranslate2Sampler(pair.plain, 1, torch.get_num_threads())
        peer.sample(peer.tokenize(texts), 4)
    elif work in ("hir-sampling", "generate"):
        with autocast(device):
            if work == "generate":
                sampling.generate(pair, texts, 4)
            else:
                pair.sampler(sampler).sample(texts, 4, 0)
    else:
        method = build_method(training.METHOD, INSTRUCTIONS, pair.policy)
        ours = work.startswith(OURS)
        stepper = training.Stepper(pair.policy if ours else pair.plain, method, device)
        rows = training.training_rows(pair.shape, 16, 4, 256, 8)
        steps = {"three-forwards": stepper.three_forwards, "plain-loop": stepper.plain_loop}
        for _ in range(2):
            steps.get(work, stepper.step)(rows)
    if device == "cpu":
        print(peak_memory() - base)
    else:
        print(torch.cuda.max_memory_allocated() / 2**20)


if __name__ == "__main__":
    main(*sys.argv[1:])
