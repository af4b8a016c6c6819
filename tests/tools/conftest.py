from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hir.__main__ import main


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., None]:
    """Tries a command, which must end with 2, a line with these words, and nothing written."""
    monkeypatch.chdir(tmp_path)

    def refused(words: str, *command: str) -> None:
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert main([*command]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
        assert words in said.err and sorted(tmp_path.rglob("*")) == before

    return refused
