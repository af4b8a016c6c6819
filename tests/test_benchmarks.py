"""benchmarks/: the formulas by hand, and that every section runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.models import SHAPES, Shape
from benchmarks.roofline import Device, decoder_weights, sampling_bound, training_flops

ROOT = Path(__file__).resolve().parent.parent
SMALL = Shape("small", d_model=4, d_kv=3, heads=2, d_ff=5, encoder_layers=2, decoder_layers=1, vocabulary=10)


def test_decode_step_moves_weights_and_caches():
    # Weights 6 x 4 x 6 + 3 x 4 x 5 + 4 x 10 = 244. At 2 bytes and B = 3, n = 2, S = 7, R = 6, t = 1:
    # 2 x 244 + 4 x 1 x 6 x (21 + 6) = 1136 bytes, and at t = 2 one token more in each row: 1280.
    assert decoder_weights(SMALL) == 244
    slow_memory = Device(bandwidth=1.0, peak=float("inf"))
    assert sampling_bound(SMALL, slow_memory, 3, 2, 7, 2, element=2) == 1136 + 1280


def test_decode_step_computes_each_row():
    # Of the encoder for 21 tokens: 2 (2 (4 x 4 x 6 + 60) + 48) x 21 + 4 x 2 x 6 x 21 x 7; a step 2 x 244 x 6.
    slow_compute = Device(bandwidth=float("inf"), peak=1.0)
    assert sampling_bound(SMALL, slow_compute, 3, 2, 7, 2, element=2) == 15120 + 7056 + 2 * 2928


@pytest.mark.parametrize(("size", "milliseconds"), [("base", 0.34), ("large", 0.93), ("xl", 2.16)])
def test_decode_step_of_flan_t5(size, milliseconds):
    # 64 x 8 answers to 256 tokens, their 32nd token, in bfloat16 at 4.3 TB/s.
    memory = Device(bandwidth=4.3e12, peak=float("inf"))
    steps = [sampling_bound(SHAPES[size], memory, 64, 8, 256, tokens, element=2) for tokens in (31, 32)]
    assert 1000 * (steps[1] - steps[0]) == pytest.approx(milliseconds, abs=0.01)


def test_training_step_is_three_forwards_of_flops():
    # 3 prompts of 7 tokens as above; 4 rows of 2 tokens: 2 x 244 x 8 + 4 x 6 x 8 x (2 + 7).
    assert training_flops(SMALL, 3, 7, 4, 2) == 3 * (15120 + 7056 + 3904 + 1728)


@pytest.mark.slow
def test_every_section_runs(tmp_path):
    results = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--device", "cpu", "--json", str(results)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(results.read_text(encoding="utf-8"))["rows"]
    assert {row["section"] for row in rows} == {"sampling", "training", "iteration", "startup", "memory"}
    assert all(row["ours"] > 0 for row in rows)
    assert all(row["ratio"] > 0 for row in rows if row["against"])
    assert all(row["against"] for row in rows if row["ratio"] is not None)
