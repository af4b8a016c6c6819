"""`python -m benchmarks [section ...]`: ratios of this project to others, measured in turn on one machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SECTIONS = ("sampling", "training", "iteration", "causal", "startup")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all if none"
    )
    parser.add_argument("--json", type=Path, default=Path("outputs/bench.json"), help="where results go, too")
    parser.add_argument("--quick", action="store_true", help="the tiny size, few repeats: does it run at all")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="cuda where there is one")
    parser.add_argument("--sizes", help="models, comma-separated: tiny,d128,small,base,large,xl")
    parser.add_argument("--sampler", default="t5", help="sampling.name of ours")
    parser.add_argument("--repeats", type=int, help="of each measurement (default 7, quick 2)")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}")

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    import torch
    import transformers
    from rich.console import Console

    from benchmarks import causal, iteration, sampling, startup, training
    from benchmarks.measure import REST, Row, as_json, print_table

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    sections = options.sections or SECTIONS
    quick, repeats = options.quick, options.repeats or (2 if options.quick else 7)
    usual = ["tiny", "d128"] if device == "cpu" else ["small", "base", "large", "xl"]
    sizes = options.sizes.split(",") if options.sizes else ["tiny"] if quick else usual

    processor = platform.processor() or platform.machine()
    console = Console(width=None if os.isatty(1) else 190)
    machine = {
        "device": device,
        "name": torch.cuda.get_device_name() if device == "cuda" else processor,
        "torch threads": str(torch.get_num_threads()),
        **{name: _version(name) for name in ("torch", "transformers", "ctranslate2")},
    }
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()))
    console.print(
        f"In turn, {repeats} repeats after warm-up, each call after {REST} s of rest. hir and peer: "
        "medians. ratio: median of the repeats' peer / hir, above 1 is in our favour; spread: least..largest."
    )
    if not sampling.HAS_CTRANSLATE2:
        console.print("CTranslate2 is not installed: its rows are left out (benchmarks/requirements.txt)")
    rows: list[Row] = []
    started = time.perf_counter()
    for section in SECTIONS:
        if section not in sections:
            continue
        if section == "sampling":
            found = sampling.run(sizes, device, repeats, quick, options.sampler)
        elif section == "training":
            found = training.run(sizes, device, repeats, quick)
        elif section == "iteration":
            found = iteration.run(sizes[-1:], device, min(repeats, 3), quick, options.sampler)
        elif section == "causal":
            found = causal.run(device, min(repeats, 3), quick)
        else:
            found = startup.run(1 if quick else 2)
        print_table(console, section, found)
        rows += found
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": machine, "rows": as_json(rows)}, indent=1) + "\n")
    barred = [row for row in rows if row.met is not None]
    below = [row for row in barred if not row.met]
    if barred:
        tail = "; below their bar:" if below else ""
        console.print(f"{len(barred) - len(below)} of {len(barred)} bars met{tail}")
    for row in below:
        console.print(f"  {row.section}, {row.case}, {row.against}: {row.ratio:.2f}, bar {row.bar}")
    console.print(f"{time.perf_counter() - started:.0f} s; results in {options.json}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
