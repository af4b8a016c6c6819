"""What a run's numbers say: intervals, answers by target, and what to worry about."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hir.feedback.normalise import normalise_answer
from hir.training.run_folder import Row, SavedRun

MIN_ROWS = 5
"""Rows that a target needs before its accuracy of 0 is called a lost answer."""

OTHER = "other"
"""Stands for the outputs that are no target."""


@dataclass(frozen=True)
class Finding:
    """A sentence on a run."""

    level: Literal["bad", "note", "good"]
    title: str
    text: str


@dataclass(frozen=True)
class Target:
    """The test rows with one target, at least one."""

    name: str
    outputs: Counter[str]
    """Targets' names and OTHER to how often they were answered; what is right counts under its own name."""

    @property
    def rows(self) -> int:
        return self.outputs.total()

    @property
    def accuracy(self) -> float:
        return self.outputs[self.name] / self.rows


def wilson(accuracy: float, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of ``total`` by Wilson's score: low and high, 0 to 1."""
    z = 1.959964
    spread = z * z / total
    middle = (accuracy + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(accuracy * (1 - accuracy) / total + spread / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def known(history: Iterable[Row], *names: str) -> list[Row]:
    """The rows that have finite values of all these metrics; some are not measured in every iteration."""
    return [row for row in history if all(math.isfinite(row.get(name, math.nan)) for name in names)]


def last(history: Iterable[Row], name: str) -> float | None:
    """The last finite value of a metric; None where there is none."""
    return next((row[name] for row in reversed(known(history, name))), None)


def targets_of(answers: Sequence[dict[str, Any]]) -> list[Target]:
    """Rows of answers.jsonl by their targets, numbers in their order before other texts."""

    def fold(text: str) -> str:
        return normalise_answer(text).strip("()")

    names: dict[str, str] = {}
    for row in answers:
        names.setdefault(fold(row["target"]), row["target"])
    outputs: dict[str, Counter[str]] = defaultdict(Counter)
    for row in answers:
        own, output = names[fold(row["target"])], names.get(fold(row["output"]), OTHER)
        # A judge may refuse what only looks like the target, such as an answer with a bracket too many.
        outputs[own][own if row["correct"] else OTHER if output == own else output] += 1

    def place(target: Target) -> float:
        try:
            return float(target.name)
        except ValueError:
            return math.inf

    return sorted((Target(name, count) for name, count in outputs.items()), key=place)


def findings(run: SavedRun) -> list[Finding]:
    """What there is to say on a run, the worst first."""
    found = [*_training(run), *_instructions(run), *_test(run)]
    if run.summary is None:
        done, planned = run.history[-1]["iteration"], run.config.trainer["max_epochs"]
        text = f"{done:.0f} of {planned} iterations are here; test answers come at the end."
        found.append(Finding("note", "The run has not ended", text))
    elif all(finding.level != "bad" for finding in found):
        text = "There were right samples throughout, and neither collapse nor a lost answer shows."
        found.append(Finding("good", "No warning sign", text))
    return sorted(found, key=lambda finding: ("bad", "note", "good").index(finding.level))


def _training(run: SavedRun) -> Iterator[Finding]:
    history, num_samples = run.history, run.config.sampling.num_samples
    if empty := [f"{row['iteration']:.0f}" for row in history if row.get("fraction_correct") == 0]:
        text = f"There was nothing right to imitate or to relabel towards in iteration {_few(empty)}."
        yield Finding("bad", "No correct sample", text)
    if broken := sorted({name for row in history for name in row if not math.isfinite(row[name])}):
        text = f"The learning rate may be too high: not finite is {_few(broken)}."
        yield Finding("bad", "Not a number", text)
    rows = known(history, "fraction_unique", "fraction_correct")
    if rows and num_samples > 1:
        # All samples of a query alike is the least there can be; fine where they are right.
        first, now = (row["fraction_unique"] for row in (rows[0], rows[-1]))
        right, least = rows[-1]["fraction_correct"], 1 / num_samples
        if now - least < 0.2 * (first - least) and right < 0.9:
            text = (
                f"The share of unique samples fell from {first:.2f} to {now:.2f}, near 1 of {num_samples}, "
            )
            text += f"while only {right:.2f} are right: what is no longer sampled is no longer learned."
            yield Finding("bad", "Sampling has collapsed", text)
    rows = known(history, "val/accuracy")
    best = max(rows, key=lambda row: row["val/accuracy"], default={})
    if best and best["val/accuracy"] - rows[-1]["val/accuracy"] > 0.05:
        text = f"Validation accuracy was {best['val/accuracy']:.3f} after iteration {best['iteration']:.0f} "
        yield Finding("note", "It was better before", text + f"and ended at {rows[-1]['val/accuracy']:.3f}.")


def _instructions(run: SavedRun) -> Iterator[Finding]:
    """Of a run that trains wrong answers under p_wrong, so that the model is to be wrong when asked."""
    asked = run.config.instructions.wrong
    if run.config.method["name"] != "hir" and all(r["relabeled_instruction"] != asked for r in run.samples):
        return
    rows = known(run.history, "val/accuracy", "val/accuracy_p_wrong")
    if len(rows) < 2:
        return
    gaps = [row["val/accuracy"] - row["val/accuracy_p_wrong"] for row in rows]
    if max(gaps) - gaps[-1] > 0.1:
        text = f"Between the instructions it was {max(gaps):.2f} at its widest and is {gaps[-1]:.2f} now."
        yield Finding("bad", "The gap is closing", text)
    first, wrong = (row["val/accuracy_p_wrong"] for row in (rows[0], rows[-1]))
    right = rows[-1]["val/accuracy"]
    if wrong > right / 2 or wrong >= max(first, 0.1):
        text = f"Under p_wrong accuracy went from {first:.2f} to {wrong:.2f}, beside {right:.2f} under "
        text += "p_correct: the model does not learn to be wrong when asked."
        yield Finding("bad", "p_wrong is not falling", text)


def _test(run: SavedRun) -> Iterator[Finding]:
    base, total = run.history[0]["test/accuracy"], len(run.answers)
    if base == 0:
        text = "The base answers no test row right, so relabeling had nothing to work from."
        yield Finding("bad", "The base is missing", text)
    if not total:
        return
    targets, before = targets_of(run.answers), wilson(base, total)
    common = max(targets, key=lambda target: target.rows)
    share = common.rows / total
    if base and len(targets) < total / MIN_ROWS and before[0] <= share:
        text = f"{base:.3f} of the test rows, where always answering {common.name} gives {share:.3f}: "
        yield Finding("note", "The base is near chance", text + "little for relabeling to work from.")
    if lost := [f"{t.name} ({t.rows} rows)" for t in targets if t.rows >= MIN_ROWS and not t.accuracy]:
        text = f"All test rows with these targets are wrong, whatever else was learned: {_few(lost)}."
        yield Finding("bad", "Lost answers" if len(lost) > 1 else "A lost answer", text)
    test = sum(row["correct"] for row in run.answers) / total
    after, change = wilson(test, total), f"Test accuracy went from {base:.3f} to {test:.3f} on {total:,} rows"
    if after[0] > before[1]:
        yield Finding("good", "Training helped", f"{change}, intervals apart.")
    elif after[1] < before[0]:
        yield Finding("bad", "Training hurt", f"{change}, intervals apart.")
    else:
        yield Finding("note", "No change that shows", f"{change}: so few cannot tell the two apart.")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
