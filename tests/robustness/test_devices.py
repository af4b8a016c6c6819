"""Another number of processes: the same rows, whether they can be shared out evenly or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hir.training.run_folder import read_run
from tests.command_line import SMALL, run

pytestmark = pytest.mark.slow(seconds=15)


def test_uneven_rows_over_three_ranks_are_all_evaluated_once(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """31 queries, 23 validation and 32 test rows; trained so little that all answers are the base's."""
    uneven = ["task.num_train=31", "task.num_validation=23", "task.num_test=32", "sampling.max_queries=31"]
    runs = []
    for number in (1, 3):
        folder = tmp_path / str(number)
        devices = [f"trainer.devices={number}", "trainer.accelerator=cpu", "trainer.max_epochs=1"]
        still = ["training.batch_size=15", "training.lr=1e-30", "training.final_lr=null"]
        arguments = [*SMALL, *uneven, *devices, *still, f"run_dir={folder}"]
        done = run(environment, *arguments)
        assert done.returncode == 0 and not done.stderr, done.stderr
        runs.append(read_run(folder))
    one, three = runs
    assert one.summary and three.summary
    for part in ("base", "val", "test"):
        assert one.summary[part] == three.summary[part]
    assert len(one.answers) == 32
    assert sorted(map(str, one.answers)) == sorted(map(str, three.answers))
    assert one.summary["samples"] == three.summary["samples"] == 31 * 4


def test_a_run_goes_on_with_another_number_of_devices_or_is_told_why_not(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = [*SMALL, "training.batch_size=12", "trainer.accelerator=cpu", f"run_dir={folder}"]
    for iterations, devices in ((1, 2), (2, 1), (3, 3)):
        number = [f"trainer.devices={devices}", f"trainer.max_epochs={iterations}"]
        done = run(environment, *arguments, *number)
        assert done.returncode == 0 and not done.stderr, done.stderr
        arguments = [f"resume={folder}"]
    found = read_run(folder)
    assert [row["iteration"] for row in found.history] == [0, 1, 2, 3]
    assert [row["samples"] for row in found.history] == [0, 128, 256, 384]
    assert [row["updates"] for row in found.history] == [0, 3, 6, 9]
    assert len(found.samples) == 3 * 4 and len(found.answers) == 30
    done = run(environment, *arguments, "trainer.devices=5", "trainer.max_epochs=4")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "training.batch_size=12" in done.stderr and "multiple of the 5 devices" in done.stderr
