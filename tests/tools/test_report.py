"""The HTML report and what it warns of, on runs written here by hand and one real run."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hir.__main__ import main
from hir.config.load import load_config, save_config
from hir.tools.report import drawing
from hir.training.findings import findings, targets_of, wilson
from hir.training.run_folder import SavedRun
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


def saved_run(
    folder: Path,
    *arguments: str,
    rows: list[tuple[float | None, ...]] = GOOD,
    base: float = 0.2,
    given: list[dict[str, Any]] | None = TEN,
    query: str = "How many?",
) -> SavedRun:
    """A run of 64 samples an iteration; ``given=None`` leaves it unfinished."""
    names = ("fraction_correct", "fraction_unique", "val/accuracy", "val/accuracy_p_wrong", "train/loss")
    history = []
    for i, row in enumerate(rows):
        measured = dict(zip(names, (*row, 1 / i if i else None), strict=True)) | (
            {} if i else {"test/accuracy": base}
        )
        counts = {"iteration": i, "samples": 64 * i, "updates": 3 * i, "seconds": 2.5 * i}
        history.append(counts | {name: value for name, value in measured.items() if value is not None})
    logged = [("2", True, CORRECT), ("3", False, WRONG), ("3", False, WRONG), ("", False, None)]
    keys = ("iteration", "query", "output", "correct", "relabeled_instruction", "target")
    samples = [
        dict(zip(keys, (i, query, *sample, "2"), strict=True))
        for i in range(1, len(rows))
        for sample in logged
    ]
    summary = None
    if given is not None:
        accuracy = sum(row["correct"] for row in given) / len(given)
        seconds = {"total": 100.0, "sampling": 10.0, "training": 60.0, "setup": 20.0, "evaluation": 5.0}
        summary = {"iterations": len(rows) - 1, "test": {"accuracy": accuracy}, "seconds": seconds}
    config = load_config(["trainer.max_epochs=2", *arguments])
    return SavedRun(folder, config, history, samples, given or [], summary)


def write_run(folder: Path, *arguments: str, **changes: Any) -> Path:
    """The files of such a run."""
    saved = saved_run(folder, *arguments, **changes)
    folder.mkdir(parents=True)
    save_config(saved.config, folder / "config.yaml")
    columns = list(dict.fromkeys(name for row in reversed(saved.history) for name in row))
    lines = [columns, *([str(row.get(name, "")) for name in columns] for row in saved.history)]
    (folder / "metrics.csv").write_text("".join(",".join(line) + "\n" for line in lines))
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in saved.samples))
    if saved.summary:
        (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in saved.answers))
        (folder / "summary.json").write_text(json.dumps(saved.summary))
    return folder


class Page:
    """A page that must be well-formed, as strictly as XML has it, with no id twice: its elements and text."""

    def __init__(self, path: Path) -> None:
        self.source = path.read_text(encoding="utf-8")
        self.elements = list(ElementTree.fromstring(self.source).iter())
        self.tags = Counter(element.tag.rpartition("}")[2] for element in self.elements)
        ids = [element.attrib["id"] for element in self.elements if "id" in element.attrib]
        assert len(set(ids)) == len(ids)
        self.text = " ".join(" ".join(self.elements[0].itertext()).split())

    def rows(self, caption: str) -> list[list[str]]:
        """The text of a table's cells."""
        (table,) = (e for e in self.elements if e.tag == "table" and e.findtext("caption") == caption)
        return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]


def report(*arguments: object) -> int:
    return main(["report", *map(str, arguments)])


def page_of(*folders: Path) -> Page:
    to = folders[0].parent / "page.html"
    assert report(*(f"run={folder}" for folder in folders), f"to={to}") == 0
    return Page(to)


def titles(saved: SavedRun) -> list[tuple[str, str]]:
    return [(finding.level, finding.title) for finding in findings(saved)]


def test_wilson_interval() -> None:
    # 8 of 10, z^2 = 3.8415: middle (0.8 + 0.19207) / 1.38415 = 0.71674,
    # half 1.95996 / 1.38415 * sqrt(0.16 / 10 + 3.8415 / 400) = 1.41601 * 0.16001 = 0.22658
    assert wilson(0.8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    # 0 of 10: 0 to 0.38415 / 1.38415
    assert wilson(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson(1, 10) == pytest.approx((0.72247, 1), abs=1e-5)


def test_answers_by_target() -> None:
    given = answers(t10={"10": 1, "9": 2}, t9={"9": 3, "what": 1})
    given.append(
        {"query": "q", "target": "9.", "output": "nine", "correct": True}
    )  # judged right all the same
    given.append({"query": "q", "target": "(10)", "output": " 9 ", "correct": False})
    nine, ten = targets_of(given)
    assert (nine.name, nine.rows, nine.accuracy, nine.outputs) == ("9", 5, 0.8, {"9": 4, "other": 1})
    assert (ten.name, ten.rows, ten.accuracy, ten.outputs) == ("10", 4, 0.25, {"9": 3, "10": 1})


def test_an_answer_that_only_looks_right_is_another() -> None:
    (target,) = targets_of([{"query": "q", "target": "2", "output": "(2", "correct": False}])
    assert target.accuracy == 0 and target.outputs == {"other": 1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"given": answers(t2={"2": 9, "3": 1})}, [("good", "Training helped"), ("good", "No warning sign")]),
        ({"given": answers(t2={"2": 9}, t3={"2": 4})}, []),  # four rows may be wrong by chance
        ({"given": answers(t2={"2": 9}, t3={"2": 5})}, [("bad", "A lost answer")]),
        ({"given": answers(t1={"2": 5}, t3={"2": 5}, t2={"2": 1})}, [("bad", "Lost answers")]),
        ({"base": 0.0}, [("bad", "The base is missing")]),
        ({"base": 0.5, "given": TEN * 4}, [("note", "The base is near chance")]),
        ({"base": 0.9, "given": answers(t2={"2": 2, "3": 8})}, [("bad", "Training hurt")]),
        ({"base": 0.8}, [("note", "No change that shows")]),
        ({"rows": [*GOOD, (0.0, 0.5, 1.0, 0.0)]}, [("bad", "No correct sample")]),
        ({"rows": [*GOOD, (math.nan, 0.3, 1.0, 0.0)]}, [("bad", "Not a number")]),
        # Unique samples over 1 of 4: 0.5 at first, 0.05 at the end.
        ({"rows": [GOOD[1], (0.8, 0.3, 0.9, 0.1)]}, [("bad", "Sampling has collapsed")]),
        ({"rows": [GOOD[1], (0.8, 0.4, 0.9, 0.1)]}, []),
        ({"rows": [*GOOD, (0.9, 0.3, 1.0, 0.2)]}, [("bad", "The gap is closing")]),
        ({"rows": [*GOOD, (0.9, 0.3, 1.0, 0.3)]},
         [("bad", "The gap is closing"), ("bad", "p_wrong is not falling")]),
        # Under p_wrong it fell from 0.35 to just above, and just below, half of 0.6; then it stayed at 0.25.
        ({"rows": [(None, None, 0.25, 0.35), (0.9, 0.3, 0.6, 0.31)]}, [("bad", "p_wrong is not falling")]),
        ({"rows": [(None, None, 0.25, 0.35), (0.9, 0.3, 0.6, 0.29)]}, []),
        ({"rows": [GOOD[0], (0.9, 0.3, 1.0, 0.25)]}, [("bad", "p_wrong is not falling")]),
        ({"rows": [*GOOD, (0.9, 0.3, 0.9, 0.0)]}, [("note", "It was better before")]),
        ({"given": None}, [("note", "The run has not ended")]),
    ],
)  # fmt: skip
def test_findings(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = titles(saved_run(Path("run"), **changes))
    alarming = [finding for finding in found if finding[0] == "bad"]
    assert [finding for finding in expected if finding not in found] == []
    assert alarming == [finding for finding in expected if finding[0] == "bad"]


def test_a_method_without_p_wrong_is_not_blamed_for_it() -> None:
    rows = [(None, None, 0.25, 0.25), (0.9, 0.5, 0.9, 0.9)]
    saved = saved_run(Path("run"), "method=farl", rows=rows)
    assert ("bad", "p_wrong is not falling") in titles(saved)  # its samples say that it trains p_wrong
    assert ("bad", "p_wrong is not falling") not in titles(replace(saved, samples=[]))


def test_page_of_a_run(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", "seed=3", "method.alpha=0.5"))
    # 8 of 10 right, as in test_wilson_interval.
    assert "base 0.200 → validation 1.000 → test 0.800" in page.text
    assert "95 % interval 0.490 to 0.943" in page.text
    assert (
        "task object_counting method hir model tiny feedback the task's own seed 3 iterations 2 of 2"
        in page.text
    )
    assert page.rows("Test rows by target and answer") == [
        ["target", "2", "3", "other", "rows", "accuracy"],
        ["2", "4", "1", "·", "5", "0.800"],
        ["3", "·", "4", "1", "5", "0.800"],
    ]
    wrong = page.rows("Most common wrong answers")
    assert wrong == [["target", "answer", "times"], ["2", "3", "1"], ["3", "ghost", "1"]]
    assert page.rows("First of 2 wrong answers to 10 test rows")[2] == ["qt3", "3", "ghost"]
    head = "query target answer verdict times trained under"
    first = f"How many? 2 2 ✓ right 1 {CORRECT} How many? 2 3 ✗ wrong 2 {WRONG}"
    last = "How many? 2 (empty) ✗ wrong 1 not trained on"
    assert f"Iteration 2 {head} {first} {last} Iteration 1 {head} {first} {last}" in page.text
    assert "seed 3 1" in page.text and "method.alpha 0.5 0.25" in page.text  # this run's and the default
    assert f"python train.py config={tmp_path / 'run/config.yaml'}" in page.text
    assert "● validation accuracy, under p_correct 1 ■ validation accuracy, under p_wrong 0" in page.text
    assert page.tags["svg"] == 3  # accuracies, shares of samples, the loss


def test_what_answers_hold_is_text(tmp_path: Path) -> None:
    given = [
        {"query": ATTACK * 99, "target": ATTACK, "output": f"{ATTACK}\0\x1b\ud800", "correct": False}
    ] * 5
    arguments = [f"instructions.correct={ATTACK}", f"run_dir={ATTACK}"]
    attacked = write_run(tmp_path / "a<b>&amp;$x$", *arguments, given=given, query=ATTACK)
    for page in (page_of(attacked), page_of(attacked, write_run(tmp_path / "b"))):
        assert page.tags["script"] == 0 and page.tags["style"] == 1 and "<script" not in page.source
        assert page.text.count(ATTACK) >= 5 and f"{ATTACK}\ufffd\ufffd\ufffd" in page.text
        assert len(page.source) < 300_000


def test_nothing_is_loaded(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run"), write_run(tmp_path / "other"))
    links = [
        v for e in page.elements for k, v in e.attrib.items() if re.search("href|src|data|action|^on", k)
    ]
    assert links and all(link.startswith("#") for link in links)
    assert "@import" not in page.source and set(re.findall(r"url\((.)", page.source)) <= {"#"}
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in [e.attrib for e in page.elements]


def test_a_drawing_is_the_same_each_time() -> None:
    first, second = (drawing("a-", [[(0, 0.5), (1, 1)], [(0, 0.2)]], (0, 1)) for _ in range(2))
    assert first == second and "metadata" not in first


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", rows=GOOD[:1], given=None))
    assert "base 0.200 → validation 0.250 task" in page.text
    assert f"python train.py resume={tmp_path / 'run'}" in page.text
    assert "wrong answers to" not in page.text


def test_a_run_that_had_ended_and_goes_on(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", "trainer.max_epochs=30")  # its summary is of 2 iterations
    with (folder / "metrics.csv").open("a") as file:
        file.write("3,192,9,7.5,,0.9,0.4,0.75,0.125,0.25\n")
    page = page_of(folder)
    assert "The run has not ended 3 of 30 iterations are here" in page.text
    assert "wrong answers to" not in page.text and "0.800" not in page.text  # of the 2 iterations' model


def test_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "hir/seed1", given=answers(t2={"2": 5}, t3={"2": 5}))
    write_run(tmp_path / "farl/seed1", "method=farl", "task.num_train=100")
    write_run(tmp_path / "words/seed1", "task=word_sorting", given=None)
    assert report("run=hir/seed1,farl/seed1", "run=words/seed1", "run=hir/seed1") == 0
    page = Page(tmp_path / "report.html")
    assert (
        "run hir/seed1 farl/seed1 words/seed1 task object_counting object_counting word_sorting" in page.text
    )
    # Wilson of 5 of 10: 0.5 -+ 1.95996 / 1.38415 * sqrt(0.25 / 10 + 3.8415 / 400) = 0.5 -+ 0.2634
    assert "test 0.500 0.800 – 95 % interval 0.237 to 0.763 0.490 to 0.943 –" in page.text
    # Area: (64 * 0.375 + 64 * 0.75) / 128.
    assert "answers to 0.9 128 128 128 area 0.562 0.562 0.562" in page.text
    assert "task.num_train null 100 null" in page.text and "method.alpha" not in page.text
    assert page.tags["svg"] == 5  # a chart for each metric, with a curve of each run
    assert page.text.count("● hir/seed1") == page.text.count("▲ words/seed1") == 5


def test_long_runs_stay_small(tmp_path: Path) -> None:
    rows = [GOOD[0], *[(0.5, 0.5, 0.5, 0.1)] * 1000]
    page = page_of(write_run(tmp_path / "run", rows=rows, query="word " * 300))
    assert len(page.source) < 800_000
    # 4000 samples are 6.7 x 600: every 7th iteration, and the last.
    assert page.tags["details"] == 143 and "Iteration 1000" in page.text and "Iteration 993" in page.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run= is missing: A run's folder"),
        (["run="], "run= names no folder"),
        (["run=RUN", "from=x"], "unknown key from: the keys are run, to"),
        (["run=nowhere"], "nowhere holds no run"),
        (["run=RUN", "to=nowhere/page.html"], "to=nowhere/page.html cannot be written"),
        (["run=RUN", "to=."], "to=. cannot be written"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_run(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    assert report(*(argument.replace("RUN", str(folder)) for argument in arguments)) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"error: {message}") and said.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_real_run_on_the_command_line(finished: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    done = run(environment, str(folder), program="-m hir report")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"written to {folder / 'report.html'}\n" and done.stderr == ""
    page = Page(folder / "report.html")
    assert "answers sampled 384 updates 9" in page.text  # 3 times 32 queries x 4 samples
    assert page.tags["details"] == 3
