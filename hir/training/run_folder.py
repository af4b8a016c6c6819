"""Reads a run's folder: configuration, history, samples, answers, summary; and what to worry about in it."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hir.config.load import load_config
from hir.config.schema import Config
from hir.errors import UserError
from hir.files import reading

Row = dict[str, float]
"""A row of metrics.csv without its empty fields."""

COLLAPSE = {"No correct sample": 1, "Sampling has collapsed": 3, "p_wrong is not falling": 3}
"""Titles of what a run is told while it goes on, and after how many iterations one can tell."""


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
    with reading(path):
        history = read_history(path)
        samples, answers = _lines(path / "samples.jsonl"), _lines(path / "answers.jsonl")
        summary = json.loads(file.read_text("utf-8")) if (file := path / "summary.json").is_file() else None
    if not history:
        raise UserError(f"{path} has no row in its metrics.csv")
    return SavedRun(path, config, history, samples, answers, summary)


def read_history(folder: Path) -> list[Row]:
    """The rows of a run's metrics.csv."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{key: float(text) for key, text in row.items() if text} for row in csv.DictReader(file)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []


def known(history: Iterable[Row], *names: str) -> list[Row]:
    """The rows that have all these metrics; some are not measured in every iteration."""
    return [row for row in history if row.keys() >= {*names}]


def findings(run: SavedRun) -> Iterator[tuple[str, str]]:
    """What to worry about in a run, finished or not: titles, and texts with the numbers that say so."""
    history, base = run.history, run.history[0]["test/accuracy"]
    if run.answers:
        test = sum(row["correct"] for row in run.answers) / len(run.answers)
        if test <= base:
            text = f"Test accuracy went from {base:.3f} to {test:.3f} on {len(run.answers):,} rows."
            yield "Training did not help", text
    # Of what is partly right the other relabelings make something.
    partly = run.config.method["name"] == "hir" and run.config.relabel["name"] != "correctness"
    good = "mean_score" if partly else "fraction_correct"
    if empty := [row["iteration"] for row in history if row.get(good) == 0]:
        text = f"In {len(empty)} of {len(history) - 1} iterations, first in {empty[0]:.0f}, nothing was right"
        yield "No correct sample", f"{text}: take a stronger model, or raise sampling.num_samples."
    if lost := sum(row.get("num_unjudged", 0) for row in history):
        text = f"The judge failed on {lost:.0f} answers, which count for nothing: see the notes of the run."
        yield "Answers without a verdict", text
    if rows := known(history, "fraction_unique", "fraction_correct"):
        # All samples of a query alike is the least there can be, and fine where they are right.
        first, now = (row["fraction_unique"] for row in (rows[0], rows[-1]))
        right, least = rows[-1]["fraction_correct"], 1 / run.config.sampling.num_samples
        if now - least < 0.2 * (1 - least) * (1 - right) and right < 0.9:
            text = f"Unique samples fell from {first:.2f} to {now:.2f}, while only {right:.2f} are right"
            yield "Sampling has collapsed", f"{text}: raise sampling.temperature or lower training.lr."
    rows = known(history, "val/accuracy", "val/accuracy_p_wrong")
    if len(rows) < 2:
        return
    best, right = max(row["val/accuracy"] for row in rows), rows[-1]["val/accuracy"]
    if best - right > 0.05:
        yield "It was better before", f"Validation accuracy was {best:.3f} and ended at {right:.3f}."
    first, wrong = (row["val/accuracy_p_wrong"] for row in (rows[0], rows[-1]))
    trained = any(row["relabeled_instruction"] == run.config.instructions.wrong for row in run.samples)
    if trained and (wrong > right / 2 or wrong >= max(first, 0.1)):
        text = f"Accuracy under p_wrong went from {first:.2f} to {wrong:.2f}, while the other is {right:.2f}"
        yield "p_wrong is not falling", f"{text}: raise method.alpha."
