"""A function of the user's as the judge."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.judge import near
from hir.errors import UserError
from hir.feedback.base import Feedback, Match, build_feedback
from hir.records import Constraint, Example, Verdict
from tests.command_line import SMALL, run

ROWS = [Example("How many?", ("3",)), Example("How many now?", ("4",))]
OUTPUTS = ["3", "5"]


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Feedback]:
    """Makes feedback of the source of a module's function ``judge``, or of what the function returns."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source: str, **settings: Any) -> Feedback:
        if not re.match("def|import|raise|judge", source):
            imports = "import numpy, torch\nfrom hir.records import Verdict\n"
            source = f"{imports}def judge(rows, outputs):\n    return {source}\n"
        name = f"mine{abs(hash(source))}"
        (tmp_path / f"{name}.py").write_text(source)
        settings = {"name": "function", "function": f"{name}:judge", **settings}
        return build_feedback(settings, Match())

    return make


@pytest.mark.parametrize(
    ("returned", "verdicts"),
    [
        ("[r.targets[0] == o for r, o in zip(rows, outputs)]", [Verdict(True, 1.0), Verdict(False, 0.0)]),
        ("numpy.array([0.8, 0.79])", [Verdict(True, 0.8), Verdict(False, 0.79)]),
        ("torch.tensor([True, False])", [Verdict(True, 1.0), Verdict(False, 0.0)]),
        ("[Verdict(True, 0.5, met=None, note='ok'), Verdict(False, 0.0, judged=False)]",
         [Verdict(True, 0.5, note="ok"), Verdict(False, 0.0, judged=False)]),
    ],
)  # fmt: skip
def test_truths_scores_and_verdicts_are_taken(
    asking: Callable[..., Feedback], returned: str, verdicts: list[Verdict]
) -> None:
    given = asking(returned, threshold=0.8)(ROWS, OUTPUTS)
    assert given == verdicts
    row = Example(
        "Go on.", ("-",), constraints=(Constraint("Be brief.", "length"), Constraint("Shout.", "case"))
    )
    assert asking("[Verdict(True, 1.0, met=numpy.ones(2))]")([row], ["-"])[0].met == (True, True)
    assert {*map(type, (part for v in given for part in (v.correct, v.score)))} == {bool, float}  # for JSON


@pytest.mark.parametrize(
    ("source", "said"),
    [
        *((f"[1.0] * {n}", f"returned {n} verdicts on 2 outputs") for n in (1, 3)),
        ("[1, numpy.float32('nan')]", "returned nan: it must be true or false, a score from 0 to 1"),
        *((f"[{score}, 1]", f"returned {score}") for score in (1.01, -0.1, "'yes'", None)),
        ("[Verdict(True, 2.0), 1]", "returned Verdict(correct=True, score=2.0"),
        ("[Verdict(True, 1.0, met=(True,)), 1]", "a part a constraint"),  # the row has none
        ("None", "TypeError: 'NoneType' object is not iterable"),
        ("exit(0)", "SystemExit: 0"),
        ("rows[7]", "IndexError: list index out of range"),
        ("judge = 5", "TypeError: 'int' object is not callable"),
        ("def judge(rows): pass", "TypeError: judge() takes 1 positional argument but 2 were given"),
    ],
)
def test_what_a_function_returns_is_checked(asking: Callable[..., Feedback], source: str, said: str) -> None:
    feedback = asking(source)
    assert feedback([], []) == []  # about nothing it is not asked
    with pytest.raises(UserError, match=rf"feedback.function=mine\d+:judge.*{re.escape(said)}") as error:
        feedback(ROWS, OUTPUTS)
    assert "\n" not in str(error.value)
    if source == "rows[7]":
        assert re.search(r"mine\d+.py:4\)$", str(error.value))  # its own line


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def juge(): pass", "has no attribute 'judge'"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_what_cannot_be_imported_is_refused(asking: Callable[..., Feedback], source: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"feedback.function=mine\d+:judge.*{said}"):
        asking(source)
    for path in ("", "judge", ":judge", "examples.judge:"):
        with pytest.raises(UserError, match="feedback.function must be module:function"):
            asking(source, function=path)


def test_verdicts_that_are_none_may_be_few_but_not_most(asking: Callable[..., Feedback]) -> None:
    feedback = asking("[Verdict(False, 0.0, judged=o != 'out', note='no idea') for o in outputs]")
    assert [v.judged for v in feedback(ROWS[:1] * 8, ["3"] * 4 + ["out"] * 4)] == [True] * 4 + [False] * 4
    assert not any(v.judged for v in feedback(ROWS[:1] * 7, ["out"] * 7))
    with pytest.raises(UserError, match="judge failed on 5 of 8 answers: no idea"):
        feedback(ROWS[:1] * 8, ["3"] * 3 + ["out"] * 5)


def test_the_example_gives_a_quarter_less_for_each_that_a_number_is_away() -> None:
    outputs = ["4", "5", "2", "1", "-1", "four", "", " 4 ", "9" * 400, "9" * 99]
    # Away from 4: 0, 1, 2, 3, 5; two no numbers; 0; and two too large.
    assert near([ROWS[1]] * len(outputs), outputs) == [1, 0.75, 0.5, 0.25, 0, 0, 0, 1, 0, 0]


@pytest.mark.slow
def test_a_run_trains_each_answer_under_the_quality_that_a_function_saw(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    chosen = ["feedback.function=examples.judge:near", "relabel=graded", f"run_dir={folder}"]
    done = run(environment, *SMALL, *chosen, "trainer.max_epochs=1")
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "judge   function" in done.stdout
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    for sample in samples:
        away = abs(int(sample["output"]) - int(sample["target"])) if sample["output"].isdigit() else 4
        assert sample["instruction"] == "Solve the question with quality 5 of 5."
        assert sample["relabeled_instruction"] == f"Solve the question with quality {max(1, 5 - away)} of 5."
        assert sample["correct"] == (away == 0)
    refused = run(environment, "feedback.function=examples.judge:far", f"run_dir={folder}2")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "judge:far" in refused.stderr
    assert not Path(f"{folder}2").exists()


@pytest.mark.slow
def test_a_run_with_nothing_to_train_on_goes_on_and_says_so(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "strict.py").write_text("def never(rows, outputs):\n    return [0.0] * len(rows)\n")
    found = {**environment, "PYTHONPATH": str(tmp_path)}
    chosen = ["method=farl", "feedback.function=strict:never", f"run_dir={tmp_path / 'run'}"]
    done = run(found, *SMALL, *chosen, "trainer.max_epochs=2", "trainer.devices=2", "trainer.accelerator=cpu")
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "No correct sample: In 2 of 2 iterations, first in 1, nothing was right: take" in done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["updates"], summary["samples"]) == (0, 2 * 32 * 4)
