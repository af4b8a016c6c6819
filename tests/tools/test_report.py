"""The HTML report, on runs written here by hand and one real run."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hir.config.load import merge_layers, save_config
from hir.tools.report.__main__ import main
from hir.tools.report.charts import ticks
from hir.tools.report.findings import findings, targets_of, wilson
from hir.tools.report.html import element, table
from hir.tools.report.page import labels
from hir.tools.report.settings import settings_of
from hir.training.run_folder import read_run
from tests.command_line import run

CORRECT, WRONG = "Solve the question with correct answer.", "Solve the question with wrong answer."
ATTACK = '</td></svg></style><script src="https://evil.example/x.js">alert("1")</script>'


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


def write_run(
    folder: Path,
    *arguments: str,
    rows: list[tuple[float | None, ...]] = GOOD,
    base: float = 0.2,
    given: list[dict[str, Any]] | None = TEN,
    query: str = "How many?",
) -> Path:
    """A run of 64 samples an iteration; ``given=None`` leaves it unfinished."""
    folder.mkdir(parents=True)
    save_config(merge_layers(["trainer.max_epochs=2", *arguments]), folder / "config.yaml")
    names = "iteration,samples,updates,seconds,test/accuracy,fraction_correct,fraction_unique,"
    lines = [names + "val/accuracy,val/accuracy_p_wrong,train/loss"]
    for i, row in enumerate(rows):
        first = base if i == 0 else None
        values = (i, 64 * i, 3 * i, 2.5 * i, first, *row, 1 / i if i else None)
        lines.append(",".join("" if value is None else str(value) for value in values))
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    logged = [("2", True, CORRECT), ("3", False, WRONG), ("3", False, WRONG), ("", False, None)]
    keys = ("iteration", "query", "output", "correct", "relabeled_instruction", "target")
    samples = [(i, query, *sample, "2") for i in range(1, len(rows)) for sample in logged]
    with (folder / "samples.jsonl").open("w") as file:
        file.writelines(json.dumps(dict(zip(keys, sample, strict=True))) + "\n" for sample in samples)
    if given is not None:
        (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
        accuracy = sum(row["correct"] for row in given) / len(given)
        seconds = {"total": 100.0, "sampling": 10.0, "training": 60.0, "setup": 20.0, "evaluation": 5.0}
        summary = {"iterations": len(rows) - 1, "test": {"accuracy": accuracy}, "seconds": seconds}
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


class Page(HTMLParser):
    """Checks that every tag is closed in order, and keeps the ids, attributes, tags and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.parts: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []
        assert set(self.ids.values()) <= {1}
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "input"):
            self.open.append(tag)
        self.tags[tag] += 1
        self.attributes += attrs
        self.ids.update(value for name, value in attrs if name == "id" and value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def report(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def page_of(folder: Path) -> Page:
    assert report(f"run={folder}") == 0
    return Page(folder / "report.html")


def titles(folder: Path) -> list[tuple[str, str]]:
    return [(finding.level, finding.title) for finding in findings(read_run(folder))]


def test_wilson_interval() -> None:
    # 8 of 10, z^2 = 3.8415: middle (0.8 + 0.19207) / 1.38415 = 0.71674,
    # half 1.95996 / 1.38415 * sqrt(0.16 / 10 + 3.8415 / 400) = 1.41601 * 0.16001 = 0.22658
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    # 0 of 10: 0 to 0.38415 / 1.38415
    assert wilson(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson(10, 10) == pytest.approx((0.72247, 1), abs=1e-5)


def test_answers_by_target() -> None:
    given = answers(t10={"10": 1, "9": 2}, t9={"9": 3, "what": 1})
    given.append(
        {"query": "q", "target": "9.", "output": "nine", "correct": True}
    )  # judged right all the same
    given.append({"query": "q", "target": "(10)", "output": " 9 ", "correct": False})
    nine, ten = targets_of(given)
    assert (nine.name, nine.rows, nine.right, nine.outputs) == ("9", 5, 4, {"9": 4, "other": 1})
    assert (ten.name, ten.rows, ten.right, ten.outputs) == ("10", 4, 1, {"9": 3, "10": 1})
    assert ten.accuracy == 0.25


def test_an_answer_that_only_looks_right_is_another() -> None:
    (target,) = targets_of([{"query": "q", "target": "2", "output": "(2", "correct": False}])
    assert target.right == 0 and target.outputs == {"other": 1}


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
def test_findings(tmp_path: Path, changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = titles(write_run(tmp_path / "run", **changes))
    alarming = [finding for finding in found if finding[0] == "bad"]
    assert [finding for finding in expected if finding not in found] == []
    assert alarming == [finding for finding in expected if finding[0] == "bad"]


def test_a_method_without_p_wrong_is_not_blamed_for_it(tmp_path: Path) -> None:
    rows = [(None, None, 0.25, 0.25), (0.9, 0.5, 0.9, 0.9)]
    folder = write_run(tmp_path / "run", "method=farl", rows=rows)
    assert ("bad", "p_wrong is not falling") in titles(folder)  # its samples say that it trains p_wrong
    (folder / "samples.jsonl").write_text("")
    assert ("bad", "p_wrong is not falling") not in titles(folder)


def test_page_of_a_run(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", "seed=3", "method.alpha=0.5"))
    # 8 of 10 right, as in test_wilson_interval.
    assert "0.200 → 0.800 test accuracy, 10 rows; 95 % interval 0.490 to 0.943" in page.text
    assert "2 of 10 test rows are wrong." in page.text
    assert "2 4 1 · 5 0.800" in page.text and "3 · 4 1 5 0.800" in page.text  # target, 2, 3, other, rows
    assert "3 ghost 1 qt3" in page.text  # a confusion with its example
    assert "object_counting 0.200 0.800 +0.600 10" in page.text
    assert "python train.py seed=3 method.alpha=0.5 trainer.max_epochs=2" in page.text
    assert "method.alpha 0.5 0.25 Weight of the contrastive instruction loss." in page.text
    assert "✓ right 2 p_correct" in page.text and "✗ wrong 3 × 2 p_wrong" in page.text
    assert "✗ wrong (empty) not trained on" in page.text
    # 100 s in all, of which 95 s are named.
    assert "training 1 min 0 s 60%" in page.text and "other 5.0 s 5%" in page.text
    assert "validation, under p_wrong, iteration 1, 64 answers: 0.125" in page.text  # a tooltip
    assert page.tags["svg"] >= 5 and page.tags["script"] == 0


def test_data_is_escaped(tmp_path: Path) -> None:
    given = [{"query": ATTACK, "target": ATTACK, "output": ATTACK + "\ud800", "correct": False}] * 5
    arguments = [f"instructions.correct={ATTACK}", f"run_dir={ATTACK}"]
    folder = write_run(tmp_path / "a<b>&amp;", *arguments, given=given, query=ATTACK)
    page = page_of(folder)
    assert page.tags["script"] == 0 and page.tags["style"] == 1
    assert page.text.count('<script src="https') >= 5
    assert "<script" not in page.source
    assert report(f"run={folder}", f"run={write_run(tmp_path / 'b')}", f"to={tmp_path / 'two.html'}") == 0
    assert Page(tmp_path / "two.html").tags["script"] == 0


def test_attributes_and_cells_are_escaped() -> None:
    assert element("p", "<", title='">') == '<p title="&quot;&gt;">&lt;</p>'
    assert "<td>&lt;td&gt;x</td>" in table(["a", "b"], [["1", "<td>x"]], "c")


def test_nothing_is_loaded(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run"))
    assert not re.search(r"//|url\(|@import", page.source.replace("<!doctype html>", ""))
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "data", "style", "action"}
    style = re.search("<style>(.*)</style>", page.source, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert ("content", policy) in page.attributes


def test_an_unfinished_run(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", given=None))
    assert "0.250 → 1.000 validation accuracy so far" in page.text
    assert f"python train.py resume={tmp_path / 'run'}" in page.text
    assert "Test answers" not in page.text


def test_a_run_that_had_ended_and_goes_on(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", "trainer.max_epochs=30")  # its summary is of 2 iterations
    with (folder / "metrics.csv").open("a") as file:
        file.write("3,192,9,7.5,,0.9,0.4,0.75,0.125,0.25\n")
    page = page_of(folder)
    assert "0.250 → 0.750 validation accuracy so far" in page.text
    assert "The run has not ended 3 of 30 iterations are here" in page.text
    assert "Test answers" not in page.text and "0.800" not in page.text  # of the 2 iterations' model


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", rows=GOOD[:1], given=None))
    assert "– → 0.250 validation accuracy so far" in page.text


def test_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "hir/seed1", given=answers(t2={"2": 5}, t3={"2": 5}))
    write_run(tmp_path / "farl/seed1", "method=farl", "task.num_train=100")
    write_run(tmp_path / "words/seed1", "task=word_sorting", given=None)
    assert report("run=hir/seed1,farl/seed1", "run=words/seed1", "run=hir/seed1") == 0
    page = Page(tmp_path / "report.html")
    assert "3 runs side by side" in page.text
    # Wilson of 5 of 10: 0.5 -+ 1.95996 / 1.38415 * sqrt(0.25 / 10 + 3.8415 / 400) = 0.5 -+ 0.2634
    assert "All: model tiny, seed 1." in page.text
    assert "hir object_counting hir 0.200 0.500 0.237–0.763 1.000 0.000 128" in page.text
    assert "task.name object_counting object_counting word_sorting" in page.text
    assert "task.num_train null 100 null" in page.text and "method.alpha" not in page.text
    assert "hir 1.00 0.00 lost farl 0.80 0.80" in page.text  # accuracy by target
    assert "words, iteration 2, 128 answers: 1" in page.text  # a tooltip
    # Each of the four charts has a line of its own dash for each run, and so has the legend.
    assert sum(value == "2 3" for name, value in page.attributes if name == "stroke-dasharray") == 6


def test_names_of_runs() -> None:
    assert labels([Path("/o/hir/seed1"), Path("/o/farl/seed1")]) == ["hir", "farl"]
    assert labels([Path("/o/hir/seed1"), Path("/o/hir/seed2")]) == ["seed1", "seed2"]
    assert labels([Path("/o/a/x/1"), Path("/o/a/y/1"), Path("/o/b/x/1")]) == ["a/x", "a/y", "b/x"]


def test_long_runs_stay_small(tmp_path: Path) -> None:
    rows = [GOOD[0], *[(0.5, 0.5, 0.5, 0.1)] * 1000]
    page = page_of(write_run(tmp_path / "run", rows=rows, query="word " * 300))
    assert len(page.source) < 800_000
    assert "Shown are 143 of 1000 iterations." in page.text  # every 7th, for 4000 samples are 6.25 x 640
    assert "Iteration 1000" in page.text


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], "python train.py"),
        (["method=ppo", "seed=3", "training.lr=0.01"], "python train.py method=ppo seed=3 training.lr=0.01"),
        (["task=penguins_in_a_table", "task.source=bbh"], None),
        (["model.path=some/folder", "trainer.devices=2"], None),
        (["instructions.others=[a b, c]", "instructions.wrong=it's ${x}: no"], None),
        (["experiment=paper", "task.settings.max_answer=5"], None),
    ],
)
def test_command_repeats_the_run(tmp_path: Path, arguments: list[str], command: str | None) -> None:
    config = merge_layers(arguments)
    found = settings_of(config, tmp_path).command
    assert command in (None, found)
    assert "config=" not in found
    assert merge_layers(shlex.split(found)[2:]) == config


def test_a_run_that_no_arguments_give_is_repeated_from_its_file(tmp_path: Path) -> None:
    config = merge_layers([])
    del config.trainer["accelerator"]  # a default that no argument takes away
    found = settings_of(config, tmp_path)
    assert found.command == f"python train.py config={tmp_path / 'config.yaml'}"
    assert found.changed == {"trainer.accelerator": ("not set", "cpu")}


def test_ticks_are_round() -> None:
    assert ticks(0, 1, 4) == [0, 0.25, 0.5, 0.75, 1]
    assert ticks(0, 28672, 5) == [0, 5000, 10000, 15000, 20000, 25000]
    assert ticks(-0.3, 0.21, 3) == [-0.2, 0, 0.2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run=DIR is missing"),
        (["run=RUN", "from=x"], "'from=x' is not run=DIR or to=FILE.html"),
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


def test_a_damaged_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run")  # tests/test_runs.py has the kinds of damage
    (folder / "summary.json").write_text("null")
    assert report(f"run={folder}") == 2
    assert f"{folder / 'summary.json'} is damaged" in capsys.readouterr().err
    assert not (folder / "report.html").exists()


@pytest.mark.slow
def test_a_real_run_on_the_command_line(finished: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    done = run(environment, f"run={folder}", program="-m hir report")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"written to {folder / 'report.html'}\n" and done.stderr == ""
    page = Page(folder / "report.html")
    assert "answers sampled 384 updates 9" in page.text  # 3 times 32 queries x 4 samples
    sections = re.findall("<h2>(.*?)</h2>", page.source)
    assert sections == [
        "Training",
        "Test answers",
        "Terms of the loss",
        "Samples and what they were trained under",
        "Tasks",
        "Time",
        "Configuration",
        "All numbers",
    ]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert report("--help") == 0
    assert "run=DIR" in capsys.readouterr().out
