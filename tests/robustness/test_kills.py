"""Runs that are killed or told to end and go on; crash_points and kill_storm here do so at every moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.robustness.same import Place, differences, survive

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that nothing happened to."""
    place = Place(tmp_path_factory.mktemp("whole"))
    assert survive(place, []) == (0, [])
    return place


@pytest.fixture
def place(whole: Place, tmp_path: Path) -> Place:
    return Place(tmp_path / "place", cache=whole.root / "cache")


def test_a_run_killed_eight_times_is_the_run_it_would_have_been(place: Place, whole: Place) -> None:
    kills = [
        {"event": r"rename run/\S*metrics\.csv"},  # config.yaml is there alone
        {"event": "open run/checkpoints/"},
        {"event": "rename run/checkpoints/"},  # the first checkpoint is written, not in its place
        {"event": r"rename run/\S*samples\.jsonl", "nth": 2},  # the table has an iteration more than the rows
        {"event": "rename run/checkpoints/", "nth": 2},
        {"event": r"rename run/\S*answers\.jsonl"},
        {"event": r"open run/\S*learning_curve\.png"},
        {"event": r"rename run/\S*summary\.json"},
    ]
    assert survive(place, kills) == (len(kills), [])
    assert differences(place, whole) == []


def test_a_signal_ends_a_run_that_can_go_on(place: Place, whole: Place) -> None:
    for command, name, event, nth in (
        (place.fresh, "SIGTERM", r"open run/\S*metrics\.csv", 2),
        (place.resume, "SIGINT", "open run/checkpoints/", 1),  # of the second iteration
    ):
        done = place.attempt(command, {"name": name, "event": event, "nth": nth})
        assert done.returncode == 128 + signal.Signals[name]
        assert "resume=" in done.stdout and "Traceback" not in done.stderr
    assert survive(place, []) == (0, [])
    assert differences(place, whole) == []


def test_a_reader_that_stops_reading_ends_a_run(place: Place) -> None:
    """`python train.py ... | head -3` ends without a word: with rich's 1, or a shell's 141 for SIGPIPE."""
    command = [sys.executable, "train.py", *place.fresh]
    environment = {**os.environ, "HIR_CACHE": str(place.cache)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr
        lines = [process.stdout.readline() for _ in range(3)]
        process.stdout.close()
        said = process.stderr.read()
    assert lines[2].startswith("task ") and said == ""
    assert process.returncode in (1, 128 + signal.SIGPIPE, -signal.SIGPIPE)
