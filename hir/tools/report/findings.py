"""What a run's numbers say: intervals, answers by target, and what to worry about."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hir.feedback.match import normalise_answer
from hir.training.run_folder import Row, SavedRun

MIN_ROWS = 5
"""Rows that a target needs before its accuracy of 0 is called a lost answer."""

OTHER = "other"
"""Column of the outputs that are no target."""


@dataclass(frozen=True)
class Finding:
    """A sentence on a run."""

    level: Literal["good", "note", "bad"]
    title: str
    text: str


@dataclass(frozen=True)
class Target:
    """The test rows with one target, and what they were answered."""

    name: str
    rows: int
    right: int
    outputs: Counter[str]
    """Targets' names and OTHER to the number of answers; a right one counts under its own target."""

    @property
    def accuracy(self) -> float:
        return self.right / self.rows

    @property
    def lost(self) -> bool:
        """Whether all of several rows are wrong."""
        return self.right == 0 and self.rows >= MIN_ROWS


def wilson(right: float, total: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score: low and high, 0 to 1."""
    z = 1.959964
    share, spread = right / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def known(history: Iterable[Row], name: str) -> list[Row]:
    """The rows that have a finite value of a metric."""
    return [row for row in history if math.isfinite(row.get(name, math.nan))]


def last(run: SavedRun, name: str) -> float | None:
    """The last finite value of a metric, which may not be measured in every iteration."""
    rows = known(run.history, name)
    return rows[-1][name] if rows else None


def interval_of(run: SavedRun, accuracy: float | None) -> tuple[float, float] | None:
    """The interval of an accuracy on the run's test rows; None where it or their number is not known."""
    total = len(run.answers)
    return wilson(accuracy * total, total) if total and accuracy is not None else None


def targets_of(answers: Sequence[dict[str, Any]]) -> list[Target]:
    """The answers by their targets, numbers in their order and then texts in theirs."""

    def fold(text: str) -> str:
        return normalise_answer(text).strip("()")

    names: dict[str, str] = {}
    outputs: dict[str, Counter[str]] = defaultdict(Counter)
    for row in answers:
        names.setdefault(fold(row["target"]), row["target"])
    for row in answers:
        own = names[fold(row["target"])]
        outputs[own][own if row["correct"] else _wrong(names.get(fold(row["output"])), own)] += 1
    found = [Target(name, count.total(), count[name], count) for name, count in outputs.items()]
    return sorted(found, key=lambda target: _natural(target.name))


def _wrong(name: str | None, own: str) -> str:
    # A judge may refuse what only looks like the target, such as an answer with a bracket too many.
    return OTHER if name is None or name == own else name


def _natural(name: str) -> tuple[float, str]:
    try:
        return float(name), ""
    except ValueError:
        return math.inf, name


def confused(answers: Sequence[dict[str, Any]]) -> list[tuple[str, str, int, str]]:
    """Target, wrong output, number of times and one query, the most common first."""
    queries: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in answers:
        if not row["correct"]:
            queries[row["target"], row["output"]].append(row["query"])
    pairs = [(target, output, len(found), found[0]) for (target, output), found in queries.items()]
    return sorted(pairs, key=lambda pair: -pair[2])


def relabels(run: SavedRun) -> bool:
    """Whether wrong answers are trained under p_wrong, so that the model is to be wrong when asked."""
    wrong = run.config.instructions.wrong
    by_samples = any(row["relabeled_instruction"] == wrong for row in run.samples)
    return by_samples or run.config.method.name == "hir"


def findings(run: SavedRun) -> list[Finding]:
    """What there is to say on a run, the worst first."""
    found = [*_training(run), *_test(run)]
    if run.summary is None:
        done, planned = run.history[-1]["iteration"], run.config.trainer["max_epochs"]
        text = f"{done:.0f} of {planned} iterations are here; test answers come at the end."
        found.append(Finding("note", "The run has not ended", text))
    elif not any(finding.level == "bad" for finding in found):
        text = "There were right samples throughout, and neither collapse nor a lost answer shows."
        found.append(Finding("good", "No warning sign", text))
    return sorted(found, key=lambda finding: ("bad", "note", "good").index(finding.level))


def _training(run: SavedRun) -> Iterable[Finding]:
    history, num_samples = run.history, run.config.sampling.num_samples
    if empty := [f"{row['iteration']:.0f}" for row in history if row.get("fraction_correct") == 0]:
        text = f"In {_few(empty, 'iteration')} there was nothing right to imitate or to relabel towards."
        yield Finding("bad", "No correct sample", text)
    if broken := sorted({k for row in history for k, v in row.items() if not math.isfinite(v)}):
        text = f"{', '.join(broken)} left the range of numbers: the learning rate may be too high."
        yield Finding("bad", "Not a number", text)
    rows = known(history, "fraction_unique")
    if rows and num_samples > 1:
        # All samples of a query alike is the least there can be; fine where they are right.
        spare = [row["fraction_unique"] - 1 / num_samples for row in (rows[0], rows[-1])]
        if spare[1] < 0.2 * spare[0] and (right := rows[-1].get("fraction_correct", 1.0)) < 0.9:
            fell = " to ".join(f"{row['fraction_unique']:.2f}" for row in (rows[0], rows[-1]))
            text = (
                f"The share of unique samples fell from {fell}, near 1 of {num_samples}, while only "
                f"{right:.2f} are right: what is no longer sampled is no longer learned."
            )
            yield Finding("bad", "Sampling has collapsed", text)
    evaluated = known(known(history, "val/accuracy"), "val/accuracy_p_wrong")
    if len(evaluated) > 1 and relabels(run):
        gaps = [row["val/accuracy"] - row["val/accuracy_p_wrong"] for row in evaluated]
        first, wrong = (evaluated[place]["val/accuracy_p_wrong"] for place in (0, -1))
        right = evaluated[-1]["val/accuracy"]
        if max(gaps) - gaps[-1] > 0.1:
            text = f"Between the instructions it was {max(gaps):.2f} at its widest and is {gaps[-1]:.2f} now."
            yield Finding("bad", "The gap is closing", text)
        if wrong > right / 2 or wrong >= max(first, 0.1):
            text = (
                f"Under p_wrong accuracy went from {first:.2f} to {wrong:.2f}, beside {right:.2f} under "
                "p_correct: the model does not learn to be wrong when asked."
            )
            yield Finding("bad", "p_wrong is not falling", text)
    values = known(history, "val/accuracy")
    best = max(values, key=lambda row: row["val/accuracy"], default=None)
    if best and best["val/accuracy"] - values[-1]["val/accuracy"] > 0.05:
        text = (
            f"Validation accuracy was {best['val/accuracy']:.3f} after iteration {best['iteration']:.0f} and "
            f"ended at {values[-1]['val/accuracy']:.3f}."
        )
        yield Finding("note", "It was better before", text)


def _test(run: SavedRun) -> Iterable[Finding]:
    base, total = run.history[0]["test/accuracy"], len(run.answers)
    if base == 0:
        text = "The base answers no test row right, so relabeling had nothing to work from."
        yield Finding("bad", "The base is missing", text)
    if not total:
        return
    targets = targets_of(run.answers)
    common = max(targets, key=lambda target: target.rows)
    share = common.rows / total
    if base and len(targets) < total / MIN_ROWS and wilson(base * total, total)[0] <= share:
        text = (
            f"{base:.3f} of the test rows, where always answering {common.name} gives {share:.3f}: "
            "little for relabeling to work from."
        )
        yield Finding("note", "The base is near chance", text)
    if lost := [target for target in targets if target.lost]:
        named = [f"{target.name} ({target.rows} rows)" for target in lost]
        text = f"Every test row with {_few(named, 'target')} is wrong, whatever else was learned."
        yield Finding("bad", "Lost answers" if len(lost) > 1 else "A lost answer", text)
    test = sum(row["correct"] for row in run.answers) / total
    (low, high), (old_low, old_high) = wilson(test * total, total), wilson(base * total, total)
    change = f"{base:.3f} to {test:.3f} on {total:,} rows"
    if low > old_high:
        yield Finding("good", "Training helped", f"Test accuracy went from {change}, intervals apart.")
    elif high < old_low:
        yield Finding("bad", "Training hurt", f"Test accuracy went from {change}, intervals apart.")
    else:
        text = f"Test accuracy went from {change}: so few cannot tell the two apart."
        yield Finding("note", "No change that shows", text)


def _few(names: Sequence[str], noun: str) -> str:
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"{noun}{'s' if len(names) > 1 else ''} {shown}"
