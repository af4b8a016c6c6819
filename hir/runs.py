"""Reads a run's folder: its configuration, history, samples, answers and summary."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hir.config import Config
from hir.errors import UserError
from hir.load_config import merge_layers

Row = dict[str, float]
"""A row of metrics.csv without its empty fields."""


@dataclass(frozen=True)
class SavedRun:
    """What a run has written so far; the README's "Use" says what the files hold."""

    folder: Path
    config: Config
    history: list[Row]
    """metrics.csv: a row an iteration, the base's first as iteration 0."""
    samples: list[dict[str, Any]]
    """samples.jsonl: answers sampled in training, their verdicts and relabeled instructions."""
    answers: list[dict[str, Any]]
    """answers.jsonl: the trained model's answers to the test rows; empty until the run has ended."""
    summary: dict[str, Any] | None
    """summary.json; None until the run has ended."""


def read_run(folder: str | Path) -> SavedRun:
    """Read the folder of a run, finished or not.

    Raises:
        UserError: it holds no run, or a file of it is damaged.
    """
    path = Path(folder)
    if not (path / "config.yaml").is_file() or not (path / "metrics.csv").is_file():
        raise UserError(f"{path} holds no run: give a folder with a config.yaml and a metrics.csv")
    # trainer.* was checked, which takes an import of Lightning, when the run was started.
    config = merge_layers([f"config={path / 'config.yaml'}"])
    try:
        summary = path / "summary.json"
        return SavedRun(
            folder=path,
            config=config,
            history=read_history(path),
            samples=_read_lines(path / "samples.jsonl"),
            answers=_read_lines(path / "answers.jsonl"),
            summary=json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else None,
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: a file of the run is damaged: {error}") from error


def read_history(folder: Path) -> list[Row]:
    """The rows of a run's metrics.csv."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{key: float(text) for key, text in row.items() if text} for row in csv.DictReader(file)]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one a line; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
