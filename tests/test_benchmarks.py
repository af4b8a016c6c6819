"""benchmarks/: the formulas by hand, and that every section runs."""

import json
from pathlib import Path

import pytest

from benchmarks import gpus
from benchmarks.models import SHAPES, Shape
from benchmarks.roofline import Device, decoder_weights, sampling_bound, training_flops
from hir.config.load import load_config
from tests.command_line import run

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


def test_memory_of_weights():
    # Blocks 4 x 4 x 6 + 3 x 4 x 5 = 156 and 252; norms 4 (2 x 2 + 3 + 2) = 36; biases 2 x 32 x 2; ends 80.
    weights = 2 * 156 + 252 + 36 + 128 + 80
    assert gpus.num_weights(SMALL) == weights == 808
    assert gpus.state(SMALL, gpus.Setup()) == 16 * 808
    assert gpus.state(SMALL, gpus.Setup(devices=2, strategy="ddp")) == 20 * 808
    assert gpus.state(SMALL, gpus.Setup(devices=4, strategy="fsdp")) == 4 * 808 + 8 * (80 + 2 * 252)
    assert gpus.num_weights(SHAPES["large"]) == 783_150_080  # FLAN-T5-large


def test_memory_of_sampling():
    # 3 queries x (7 + 4 x 2) and 5 x (7 + 2) positions of keys and values of 6 numbers; two sizes of batch.
    setup = gpus.Setup(sampling_batch=3, evaluation_batch=5)
    assert gpus.sampling(SMALL, setup, length=7, tokens=2) == 2 * (808 + 2 * 2 * 6 * (45 + 45))


def test_memory_of_activations():
    # 8 rows are 2 queries, 4 prompts of 7 tokens, and 4 packs of 4 outputs of 2. Attention 4 x 4 + 6 x 4 +
    # 10 x 6 + 4, feed-forward 4 x 4 + 4 x 4 + 9 x 5 + 4, cross-attention 4 x 4 + 2 x 4 + 6 x 6 + 4, bias 28.
    encoder, decoder = 2 * 28 * (104 + 81 + 28), 32 * (104 + 64 + 81)
    read = 4 * 7 * (16 + 16 + 24)
    found = gpus.activations(SMALL, gpus.Setup(rows=8), length=7, tokens=2)
    assert found == encoder + decoder + read + 16 * 32 * 10


@pytest.mark.parametrize(("precision", "element"), [("bf16-mixed", 2), ("32-true", 4), ("null", 4)])
def test_memory_is_of_the_precision(precision, element):
    config = load_config(["model=flan_t5_small", "trainer.devices=1", f"trainer.precision={precision}"])
    assert gpus.setup_of(config).element == element


def test_the_pages_table_is_the_estimate():
    lines = (ROOT / "docs/hardware.md").read_text().splitlines()
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in lines if line.endswith(" GB |")]
    assert len(rows) == len(gpus.MODELS) * len(gpus.HARDWARE)
    for hardware, size, _, number, *_, total, smallest in rows:
        setup = gpus.setup_of(load_config(gpus.arguments(hardware, size)))
        needed = gpus.memory(next(shape for shape in gpus.MODELS if shape.name == size), setup)
        assert (number, total) == (str(setup.rows), f"{needed.total / 1e9:.1f}")
        assert smallest == gpus.fits(needed)


@pytest.mark.slow(seconds=25)
def test_the_sections_that_measure_in_their_own_process_run(environment, tmp_path):
    results = tmp_path / "bench.json"
    sections = ["sampling", "training", "iteration"]  # the others start processes, and time or weigh them
    done = run(
        environment, *sections, "--quick", "--device=cpu", f"--json={results}", program="-m benchmarks"
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(results.read_text(encoding="utf-8"))["rows"]
    assert {row["section"] for row in rows} == {*sections}
    assert all(row["ours"] > 0 for row in rows)
    assert all(row["ratio"] > 0 for row in rows if row["against"])
    assert all(row["against"] for row in rows if row["ratio"] is not None)
