"""Prints the lines of each room against its budget; exit 1 where one is over: python tests/weight.py

The project is read whole by those who fork it, so its weight is a promise.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BUDGETS = {"hir": 10000, "tests": 9000, "benchmarks": 1300, "README.md": 130}
COUNTED = {".py", ".j2", ".css", ".md"}

# From train.py to the loss: what is read to know how a run of HIR works, with one task and the plain policy.
CORE_BUDGET = 2500
CORE = """
    train.py
    hir/records.py hir/losses.py hir/distributed.py hir/randomness.py hir/registry.py
    hir/config/schema.py hir/config/load.py
    hir/tasks/base.py hir/tasks/generated/object_counting.py
    hir/feedback/base.py
    hir/relabel/base.py
    hir/policies/base.py hir/policies/seq2seq.py
    hir/sampling/base.py hir/sampling/generate.py
    hir/methods/base.py hir/methods/hir.py
    hir/training/buffer.py hir/training/datamodule.py hir/training/module.py hir/training/build.py
    hir/callbacks/evaluation.py
""".split()


def lines(path: Path) -> int:
    """Lines of a file, or of all files below a folder."""
    if path.is_dir():
        return sum(lines(file) for file in path.rglob("*") if file.suffix in COUNTED)
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> int:
    for room in sorted((ROOT / "hir").iterdir()):
        if room.name != "__pycache__":
            print(f"{lines(room):7,}  hir/{room.name}")
    sums = {name: (lines(ROOT / name), budget) for name, budget in BUDGETS.items()}
    sums["from train.py to the loss"] = sum(lines(ROOT / path) for path in CORE), CORE_BUDGET
    for name, (number, budget) in sums.items():
        print(f"{number:7,} of {budget:,}  {name}{'' if number <= budget else '  OVER'}")
    return int(any(number > budget for number, budget in sums.values()))


if __name__ == "__main__":
    sys.exit(main())
