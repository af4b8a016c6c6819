"""Reads a run's folder: its configuration, history, samples, answers and summary."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hir.config.load import load_config
from hir.config.schema import Config
from hir.errors import UserError

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
    """Read the folder of a run, finished or not; UserError where it holds none."""
    path = Path(folder)
    if not (path / "config.yaml").is_file() or not (path / "metrics.csv").is_file():
        raise UserError(f"{path} holds no run: give a folder with a config.yaml and a metrics.csv")
    config = load_config([f"config={path / 'config.yaml'}"])
    samples, answers = _lines(path / "samples.jsonl"), _lines(path / "answers.jsonl")
    summary = json.loads(file.read_text("utf-8")) if (file := path / "summary.json").is_file() else None
    return SavedRun(path, config, read_history(path), samples, answers, summary)


def read_history(folder: Path) -> list[Row]:
    """The rows of a run's metrics.csv, at least one."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{key: float(text) for key, text in row.items() if text} for row in csv.DictReader(file)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []
