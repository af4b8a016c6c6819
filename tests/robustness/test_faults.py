"""Numbers that are none, full disks, removed folders, damaged checkpoints: a line each, and it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.command_line import FAULTY, SMALL, run
from tests.robustness.same import Place, differences

pytestmark = pytest.mark.slow


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    done = run(environment, *SMALL, "training.lr=1e10", "trainer.max_epochs=2", f"run_dir={folder}")
    assert done.returncode == 2 and not folder.exists()
    assert done.stderr.startswith("error: iteration 1, update ") and done.stderr.count("\n") == 1
    for told in ("loss nan", "gradient norm nan", "Try a lower training.lr"):
        assert told in done.stderr
    done = run(
        environment, "broken", "2", "0", *SMALL, "trainer.max_epochs=2", f"run_dir={folder}", program=FAULTY
    )
    assert done.returncode == 2 and done.stderr.startswith("error: iteration 2, update "), done.stderr
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["epoch"] == 0 and all(weight.isfinite().all() for weight in saved["state_dict"].values())


def test_a_full_disk_costs_no_iteration(finished: Path, environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fresh = [*SMALL, "trainer.max_epochs=3", f"run_dir={folder}"]
    done = run(environment, "full", "3", "0", *fresh, program=FAULTY)
    assert done.returncode == 2
    assert done.stderr == f"error: {folder}/checkpoints/last.ckpt cannot be written: File too large\n"
    assert f"go on with: python train.py resume={folder}" in done.stdout
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]
    assert run(environment, f"resume={folder}").returncode == 0
    shutil.copytree(finished, tmp_path / "whole" / "run")
    assert differences(Place(tmp_path), Place(tmp_path / "whole")) == []


def test_a_folder_that_is_removed_while_its_run_goes_on_comes_back_whole(
    finished: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    fresh = [*SMALL, "trainer.max_epochs=3", f"run_dir={folder}"]
    assert run(environment, "removed", "2", "0", *fresh, program=FAULTY).returncode == 0
    shutil.copytree(finished, tmp_path / "whole" / "run")
    assert differences(Place(tmp_path), Place(tmp_path / "whole")) == []
