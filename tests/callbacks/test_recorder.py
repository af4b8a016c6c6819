"""What a run that fails before its first iteration ends leaves of its folder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from hir.callbacks.recorder import STARTED, RunRecorder
from hir.config.schema import Config


@pytest.mark.parametrize(
    ("of_others", "left"),
    [
        ((), []),
        (("notes.txt",), ["notes.txt"]),
        (("checkpoints",), ["checkpoints", *STARTED]),  # a resumed run's
    ],
)
def test_a_new_run_that_fails_leaves_nothing_of_its_own(
    of_others: tuple[str, ...], left: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (*STARTED, *of_others):
        (folder / name).write_text("a run's")
    recorder = RunRecorder(Config(), folder, Mock(), started=0.0)
    recorder.on_exception(SimpleNamespace(is_global_zero=True), None, KeyboardInterrupt())  # type: ignore[arg-type]
    assert sorted(path.name for path in folder.glob("*")) == sorted(left)
    assert folder.exists() == bool(left)
