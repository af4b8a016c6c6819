"""Runs of several processes of which one fails: all end, none is left, and what is said last is the cause."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hir.training.checkpoints import read_checkpoint
from tests.command_line import FAULTY, ROOT, SMALL

pytestmark = [
    pytest.mark.slow(seconds=20),
    pytest.mark.skipif(sys.platform != "linux", reason="asks ps for the processes of a session"),
]


def alive(session: int) -> list[str]:
    """The processes of a session, but for those that have ended and wait to be collected."""
    command = ["ps", "-o", "stat=,args=", "-s", str(session)]
    shown = subprocess.run(command, capture_output=True, text=True).stdout
    return [line for line in shown.splitlines() if not line.startswith("Z")]


@pytest.mark.parametrize(
    ("way", "rank", "processes", "code", "last"),
    [
        ("mistake", 1, 2, 2, "error: rank 1: a mistake that rank 1 found"),
        ("defect", 1, 2, 1, "error: rank 1 ended with code 1"),
        ("defect", 0, 2, 1, "[rank0]: ValueError: a defect on rank 0"),
        ("SIGKILL", 0, 2, -signal.SIGKILL, ""),  # a shell says it
        ("hang", 0, 2, 1, None),
        ("hang", 1, 2, 1, None),
        ("SIGKILL", 2, 4, 1, "error: rank 2 was killed by SIGKILL"),
        ("SIGSTOP", 2, 4, 1, None),
    ],
)
def test_a_rank_that_fails_ends_all_and_is_named_last(
    way: str,
    rank: int,
    processes: int,
    code: int,
    last: str | None,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """But for one that hangs: who has waited for it says so."""
    patience = 60 if way in ("hang", "SIGSTOP") else 250  # which nobody needs: a loaded machine starts slowly
    arguments = [
        *SMALL, "trainer.max_epochs=3", f"trainer.devices={processes}", "trainer.accelerator=cpu",
        f"training.rank_timeout={patience}", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    command = [sys.executable, FAULTY, way, "2", str(rank), *arguments]
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w+") as err:
        first = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=err, start_new_session=True
        )
        try:
            assert first.wait(300) == code
            until = time.monotonic() + 30
            while (left := alive(first.pid)) and time.monotonic() < until:
                time.sleep(0.2)
            assert not left
        finally:
            subprocess.run(["pkill", "-KILL", "-s", str(first.pid)])
        err.seek(0)
        lines = err.read().splitlines()
    if last is None:
        assert "gave no answer for training.rank_timeout seconds" in "".join(lines)
    else:
        assert (lines or [""])[-1] == last
        # Nothing of those that only lost it: one line, or the one traceback of a defect and who had it.
        assert sum("Traceback" in line for line in lines) == (way == "defect")
        assert "gloo" not in "".join(lines) and sum(line.startswith("error: ") for line in lines) <= 1
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert checkpoint["epoch"] == 0  # the iteration that had ended
