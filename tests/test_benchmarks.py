"""benchmarks/: every section that measures in its own process runs, and a ratio is what it says."""

import json

import pytest

from benchmarks.measure import alone, compared
from tests.command_line import run


def test_a_ratio_is_the_median_of_the_repeats_own():
    # Theirs by ours, repeat by repeat: 8 / 2, 3 / 1, 4 / 4. Of the medians it would be 4 / 2.
    row = compared("sampling", "case", "peer", [2.0, 1.0, 4.0], [8.0, 3.0, 4.0], bar=3.0)
    assert (row.ours, row.theirs, row.ratio, row.spread) == (2.0, 4.0, 3.0, (1.0, 4.0))
    assert row.met
    assert not compared("sampling", "case", "peer", [2.0], [4.0], bar=3.0).met
    assert alone("startup", "case", [2.0, 1.0, 4.0]).met is None


@pytest.mark.slow(seconds=12)
def test_the_sections_that_measure_in_their_own_process_run(environment, tmp_path):
    results = tmp_path / "bench.json"
    sections = ["sampling", "training", "iteration", "causal"]  # startup starts processes, and times them
    quick = ["--quick", "--repeats=1", "--device=cpu", f"--json={results}"]
    done = run(environment, *sections, *quick, program="-m benchmarks")
    assert done.returncode == 0, done.stderr
    rows = json.loads(results.read_text(encoding="utf-8"))["rows"]
    assert {row["section"] for row in rows} == {*sections}
    assert all(row["ours"] > 0 and row["theirs"] > 0 and row["ratio"] > 0 and row["against"] for row in rows)
