"""ConsoleReport: a plain log is never silent for long."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hir.callbacks import console
from hir.config.schema import Config


def test_a_plain_log_says_how_far_a_long_part_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A piece takes 2 seconds: the third, at 6 seconds, is the first after more than 5 without a line."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: clock.now))
    policy = SimpleNamespace(model=torch.nn.Linear(1, 1))
    trainer = SimpleNamespace(current_epoch=1, max_epochs=14)
    run = SimpleNamespace(module=SimpleNamespace(policy=policy, trainer=trainer))
    report = console.ConsoleReport(Config(), run, recorder=None)  # type: ignore[arg-type]
    for batch in range(1, 9):
        clock.now += 2
        report._say_how_far("answered", 64 * batch, 512)
    assert capsys.readouterr().out.splitlines() == [
        "      iteration 2/14: answered 192/512",
        "      iteration 2/14: answered 384/512",
    ]
    report._say("a line")
    clock.now += 4
    report._say_how_far("training", 1, 40)
    assert capsys.readouterr().out == "a line\n"
