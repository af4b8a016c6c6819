"""The HTML report and what it warns of, on runs written here by hand and one real run."""

from __future__ import annotations

import base64
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hir.config.load import load_config
from hir.tools.report import page as page_of
from hir.training.run_folder import SavedRun, findings
from tests.command_line import run

CORRECT, WRONG = "Solve the question with correct answer.", "Solve the question with wrong answer."
ATTACK = '</td></svg></style><script src="https://evil.example/x.js">alert("1")</script>{{ 7 * 7 }}'


def answers(**outputs: dict[str, int]) -> list[dict[str, Any]]:
    """Test answers from target (t2 is 2) to output to count; an output equal to its target is right."""
    return [
        {"query": f"q{target}", "target": target[1:], "output": output, "correct": output == target[1:]}
        for target, counts in outputs.items()
        for output, count in counts.items()
        for _ in range(count)
    ]


# Right, unique, validation accuracy under p_correct and under p_wrong, after each iteration.
GOOD = [(None, None, 0.25, 0.25), (0.5, 0.75, 0.5, 0.125), (0.96, 0.3, 1.0, 0.0)]
TEN = answers(t2={"2": 4, "3": 1}, t3={"3": 4, "ghost": 1})
METRICS = ("fraction_correct", "fraction_unique", "val/accuracy", "val/accuracy_p_wrong")


def saved_run(
    *arguments: str,
    folder: str = "runs/one",
    rows: list[tuple[float | None, ...]] = GOOD,
    base: float = 0.1,
    given: list[dict[str, Any]] | None = TEN,
    query: str = "How many?",
) -> SavedRun:
    """A run of 64 samples an iteration; ``given=None`` leaves it unfinished."""
    history: list[dict[str, float]] = []
    for i, row in enumerate(rows):
        history.append({"iteration": i, "samples": 64 * i, "updates": 3 * i, "seconds": 2.5 * i})
        history[-1] |= {k: value for k, value in zip(METRICS, row, strict=True) if value is not None}
        history[-1] |= {"train/loss": 1 / i} if i else {"test/accuracy": base}
    keys = ("instruction", "iteration", "query", "output", "correct", "relabeled_instruction", "target")
    logged = [("2", True, CORRECT), ("3", False, WRONG), ("3", False, WRONG), ("", False, None)]
    logged = [(CORRECT, i, query, *sample, "2") for i in range(1, len(rows)) for sample in logged]
    samples = [dict(zip(keys, values, strict=True)) for values in logged]
    summary = None
    if given is not None:
        accuracy = sum(row["correct"] for row in given) / len(given)
        summary = {"test": {"accuracy": accuracy}, "seconds": {"total": 100.0}}
    config = load_config(["trainer.max_epochs=2", *arguments])
    return SavedRun(Path(folder), config, history, samples, given or [], summary)


class Page:
    """A page that must be well-formed, as strictly as XML has it: its elements and text."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.elements = list(ElementTree.fromstring(source).iter())
        self.tags = Counter(element.tag for element in self.elements)
        self.text = " ".join(" ".join(self.elements[0].itertext()).split())
        links = [e.attrib["src"].split("data:image/png;base64,") for e in self.elements if e.tag == "img"]
        self.drawings = [base64.b64decode(drawing) for _, drawing in links]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"base": 0.79}, []),  # 8 of 10 are right
        ({"base": 0.8}, ["Training did not help"]),
        ({"rows": [*GOOD, (0.0, 0.5, 1.0, 0.0)]}, ["No correct sample"]),
        # Unique samples over 1 of 4 are 0.05. With 0.4 wrong 0.06 are the least, with 0.2 wrong 0.03.
        ({"rows": [GOOD[0], GOOD[1], (0.6, 0.3, 0.9, 0.1)]}, ["Sampling has collapsed"]),
        ({"rows": [GOOD[0], GOOD[1], (0.8, 0.3, 0.9, 0.1)]}, []),
        # Under p_wrong it fell from 0.35 to just above, and just below, half of 0.6; then it stayed at 0.25.
        ({"rows": [(None, None, 0.25, 0.35), (0.9, 0.3, 0.6, 0.31)]}, ["p_wrong is not falling"]),
        ({"rows": [(None, None, 0.25, 0.35), (0.9, 0.3, 0.6, 0.29)]}, []),
        ({"rows": [GOOD[0], (0.9, 0.3, 1.0, 0.25)]}, ["p_wrong is not falling"]),
        ({"rows": [*GOOD, (0.9, 0.3, 0.9, 0.0)]}, ["It was better before"]),
        ({"given": None}, []),
    ],
)  # fmt: skip
def test_findings(changes: dict[str, Any], expected: list[str]) -> None:
    assert [title for title, _ in findings(saved_run(**changes))] == expected


def test_what_is_partly_right_is_something_to_relabel_towards() -> None:
    for score, expected in ((0.1, []), (0.0, ["No correct sample"])):
        saved = saved_run("relabel=constraints", rows=[*GOOD, (0.0, 0.5, 1.0, 0.0)])
        saved.history[-1]["mean_score"] = score
        assert [title for title, _ in findings(saved)][:1] == expected


def test_a_method_without_p_wrong_is_not_blamed_for_it() -> None:
    saved = saved_run(rows=[(None, None, 0.25, 0.25), (0.9, 0.5, 0.9, 0.9)])
    assert [title for title, _ in findings(saved)] == ["p_wrong is not falling"]
    assert not [*findings(replace(saved, samples=[]))]  # which say what was trained


def test_page_of_a_run() -> None:
    page = Page(page_of(saved_run("seed=3", "method.alpha=0.5")))
    assert "runs/one iteration 2 samples 128 updates 6 seconds 5.0 fraction_correct 0.96" in page.text
    end = "train/loss 0.5 test accuracy 0.8 seconds total 100.0"
    assert f"val/accuracy 1.0 val/accuracy_p_wrong 0.0 {end}" in page.text
    assert "First of 2 wrong answers to 10 test rows query target output qt2 2 3 qt3 3 ghost" in page.text
    head = "instruction query target output correct missed relabeled_instruction"
    asked = f"{CORRECT} How many? 2"
    wrong = f"{asked} 3 false null {WRONG}"
    rows = f"{asked} 2 true null {CORRECT} {wrong} {wrong} {asked} (empty) false null null"
    samples = [f"Samples of iteration {i} {head} {rows}" for i in (2, 1)]
    assert " ".join(samples) in page.text
    assert "seed 3 1" in page.text and "method.alpha 0.5 0.25" in page.text  # this run's and the default
    assert page.tags["img"] == 5  # two accuracies, two shares of samples, the loss


def test_what_answers_hold_is_text_and_nothing_is_loaded() -> None:
    row = {"query": ATTACK * 99, "target": ATTACK, "output": ATTACK, "correct": False}
    arguments = [f"instructions.correct={ATTACK}", f"run_dir={ATTACK}"]
    attacked = saved_run(*arguments, folder="a<b>&amp;$x$", given=[row] * 5, query=ATTACK)
    page = Page(page_of(attacked))
    assert page.tags["script"] == 0 and "<script" not in page.source and page.text.count(ATTACK) >= 5
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert any(e.get("content") == policy for e in page.elements)  # so that no browser loads anything
    assert page.drawings and all(drawing.startswith(b"\x89PNG") for drawing in page.drawings)


def test_a_run_that_has_only_begun() -> None:
    page = Page(page_of(saved_run(rows=GOOD[:1], given=None)))
    assert "test/accuracy 0.1" in page.text and page.tags["img"] == 0
    assert "wrong answers to" not in page.text


def test_long_runs_stay_small() -> None:
    rows = [GOOD[0], *[(0.5, 0.5, 0.5, 0.1)] * 100]
    page = Page(page_of(saved_run(rows=rows, query="word " * 300)))
    assert len(page.source) < 500_000 and page.text.count("word") <= 4 * 25 * 300 / 5
    assert page.tags["details"] == 26 and "iteration 100" in page.text and "iteration 96" in page.text


@pytest.mark.slow
def test_a_real_run_on_the_command_line(
    finished: Path, tmp_path: Path, environment: dict[str, str], refused: Callable[..., None]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    done = run(environment, str(folder), program="-m hir report")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"written to {folder / 'report.html'}\n", "")
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert "samples 384 updates 9" in page.text  # 3 times 32 queries x 4 samples
    assert page.tags["details"] == 4
    for arguments, words in (
        ([], "run= is missing: A run's folder"),
        (["run=nowhere"], "nowhere holds no run"),
        (["run=run", "to=run/config.yaml"], "to must be a file NAME.html, not 'run/config.yaml'"),
        (["run=run", "to=run/config.yaml/a.html"], f"{tmp_path}/run/config.yaml/a.html cannot be written: "),
    ):
        refused(words, "report", *arguments)
