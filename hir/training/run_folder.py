"""Reads a run's folder: its configuration, history, samples, answers and summary."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hir.config.load import merge_layers
from hir.config.schema import Config
from hir.errors import UserError

Row = dict[str, float]
"""A row of metrics.csv without its empty fields."""

# What readers rely on: names and the types of their values, or what these hold in turn. HISTORY is of every
# row of metrics.csv, BASE of the first.
NUMBER = (int, float)
TRAINER = {"max_epochs": int}
HISTORY = dict.fromkeys(("iteration", "samples", "updates", "seconds"), NUMBER)
BASE = dict.fromkeys(("test/accuracy", "val/accuracy", "val/accuracy_p_wrong"), NUMBER)
ANSWER = {"query": str, "target": str, "output": str, "correct": bool}
SAMPLE = {**ANSWER, "iteration": NUMBER, "relabeled_instruction": (str, type(None))}
SECONDS = dict.fromkeys(("total", "sampling", "training", "setup", "evaluation"), NUMBER)
SUMMARY = {"iterations": NUMBER, "test": {"accuracy": NUMBER}, "seconds": SECONDS}


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
    # The rest of trainer.* was checked, which takes an import of Lightning, when the run was started.
    config = merge_layers([f"config={path / 'config.yaml'}"])
    _check(f"{path / 'config.yaml'}, trainer,", TRAINER, config.trainer)
    with _damage_refused(path / "metrics.csv"):
        history = read_history(path)
    for number, row in enumerate(history or [{}], 1):
        finite = {name: value for name, value in row.items() if math.isfinite(value)}
        _check(f"{path / 'metrics.csv'}, row {number},", HISTORY, finite)
    _check(f"{path / 'metrics.csv'}, row 1,", BASE, history[0])
    samples = _read_objects(path / "samples.jsonl", SAMPLE)
    answers = _read_objects(path / "answers.jsonl", ANSWER)
    summary = next(iter(_read_objects(path / "summary.json", SUMMARY)), None)
    if summary and summary["iterations"] != history[-1]["iteration"]:
        summary = None  # of a run that had ended and goes on
    return SavedRun(path, config, history, samples, answers if summary else [], summary)


def read_history(folder: Path) -> list[Row]:
    """The rows of a run's metrics.csv. Raises OSError, ValueError or csv.Error."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if any(None in row for row in rows):
        raise ValueError("a row has more fields than the first line")
    return [{key: float(text) for key, text in row.items() if text} for row in rows]


def _read_objects(path: Path, shape: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of a file with one a line, or of a .json file the one; none where there is no such file."""
    if not path.is_file():
        return []
    with _damage_refused(path), path.open(encoding="utf-8") as file:
        objects = [json.loads(text) for text in ([file.read()] if path.suffix == ".json" else file)]
    for number, found in enumerate(objects, 1):
        _check(str(path) if path.suffix == ".json" else f"{path}, row {number},", shape, found)
    return objects


@contextmanager
def _damage_refused(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _check(where: str, shape: Mapping[str, Any], found: Any) -> None:
    if missing := list(_missing(shape, found)):
        raise UserError(f"{where} is damaged: it has no valid {', '.join(missing)}")


def _missing(shape: Mapping[str, Any], found: Any) -> Iterator[str]:
    """Names, with dots where they lie deeper, of what is not there or of another type."""
    for name, kind in shape.items():
        value = found.get(name, ...) if isinstance(found, dict) else ...
        if isinstance(kind, Mapping):
            yield from (f"{name}.{inner}" for inner in _missing(kind, value))
        elif not isinstance(value, kind):
            yield name
