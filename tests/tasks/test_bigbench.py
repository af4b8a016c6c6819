import json
from pathlib import Path
from typing import Any

import pytest

from hir.errors import UserError
from hir.feedback.answers import multiple_choice
from hir.records import Example
from hir.tasks.bigbench import read_rows, scenario


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(*rows: Any, **keys: Any) -> Path:
    path = Path("demo.json")
    path.write_text(json.dumps({"examples": rows, **keys}))
    return path


def parse(*rows: Any, **keys: Any) -> tuple[Example, ...]:
    read, left_out = read_rows(write(*rows, **keys))
    assert left_out == {}
    return read


LISTED = "Which?\nOptions:\n(A) one\n(B) two"
LONG = "Which?\nOptions:\n(A) one\nlong line\n(B) two"
LETTERS = "Which?\nOptions:\n(A) B\n(B) A"
SPACED = {"input": "?", "target_scores": {"a b": 1, "a  b": 0}}
RIGHT_IS_B = [
    *({"input": LISTED, "target": target} for target in ("(B)", "B", "b)", "two")),  # BIG-Bench Hard
    *({"input": LISTED, "target_scores": {"one": 0, key: 1}} for key in ("two", "(B)", "B")),  # BIG-bench
    {"input": "Which?", "target_scores": {"one": 0, "two": 1}},  # the scores' options follow the input
]


@pytest.mark.parametrize(
    ("row", "query", "options", "targets"),
    [
        *((row, LISTED, ("one", "two"), ("(B)",)) for row in RIGHT_IS_B),
        ({"input": LONG, "target": "(A)"}, LONG, ("one long line", "two"), ("(A)",)),
        ({"input": "Which?", "target_scores": {"one": 1, "two": 1}}, LISTED, ("one", "two"), ("(A)", "(B)")),
        ({"input": "Which?", "target_scores": {"B": 1, "A": 0}}, LETTERS, ("B", "A"), ("(A)",)),
        ({"input": LETTERS, "target_scores": {"B": 1, "A": 0}}, LETTERS, ("B", "A"), ("(A)",)),
        # The options are the question; two that differ in white space are two.
        ({"input": "", "target_scores": {"c": 0, "b": 1}}, "Options:\n(A) c\n(B) b", ("c", "b"), ("(B)",)),
        (SPACED, "?\nOptions:\n(A) a b\n(B) a  b", ("a b", "a  b"), ("(A)",)),
        # A number, true or false is its text.
        ({"input": "1+2", "target": ["three", 3, -1.5, True]}, "1+2", (), ("three", "3", "-1.5", "true")),
    ],
)
def test_a_row_becomes_a_query_options_and_targets(
    row: Any, query: str, options: tuple[str, ...], targets: tuple[str, ...]
) -> None:
    [read] = parse(row)
    assert (read.query, read.options, read.targets) == (query, options, targets)
    assert all(multiple_choice(read, target) for target in targets)


def test_prefixes_that_say_something_stay_in_bigbenchs_order() -> None:
    keys = {"task_prefix": "Name the language.\n", "example_input_prefix": "\nSentence: "}
    keys |= {"example_output_prefix": "\nLanguage:", "choice_prefix": "\n- "}
    [row] = parse({"input": "Bonjour.", "target_scores": {"French": 1, "Dutch": 0}}, **keys)
    assert row.query == "Name the language.\nSentence: Bonjour.\nOptions:\n(A) French\n(B) Dutch\nLanguage:"
    defaults = {"example_input_prefix": "\nQ: ", "example_output_prefix": "\nA: "}
    [row] = parse({"input": "List: b a", "target": "a b"}, task_prefix="Sort.\n", **defaults)
    assert row.query == "Sort.\nList: b a"


EXPLAINED = {"input": "Is 1 even?", "target": "No. It is odd.", "target_scores": {"Yes": 0, "No": 1}}


@pytest.mark.parametrize(
    ("keys", "choice"),
    [
        ({"preferred_score": "multiple_choice_grade", "metrics": ["multiple_choice_grade", "rouge"]}, True),
        ({"metrics": ["multiple_choice_grade"]}, True),
        ({"preferred_score": "exact_str_match", "metrics": ["multiple_choice_grade"]}, False),
        ({"metrics": ["rouge", "multiple_choice_grade"]}, False),
        ({}, False),
    ],
)
def test_the_preferred_score_says_what_is_judged(keys: dict[str, Any], choice: bool) -> None:
    [row] = parse(EXPLAINED, append_choices_to_input=False, **keys)
    assert (row.query, row.options) == ("Is 1 even?", ("Yes", "No") if choice else ())
    assert row.targets[0] == ("No" if choice else "No. It is odd.")
    verdicts = {"No.": choice, "No. It is odd": True, "Yes": False, "(B)": False, "No, odd": False}
    assert {answer: multiple_choice(row, answer) for answer in verdicts} == verdicts


def test_an_explanation_beside_listed_options_is_right_as_it_stands() -> None:
    [row] = parse({**EXPLAINED, "target": ["No.", "No. It is odd."]})
    assert row.targets == ("(B)", "No. It is odd.") and row.query == "Is 1 even?\nOptions:\n(A) Yes\n(B) No"
    [row] = parse({**EXPLAINED, "target": ["Yes", 3, ""]})  # what the scores call wrong stays wrong
    assert row.targets == ("(B)", "3")
    only_scores = {"input": "x", "target_scores": {"y": 1, "z": 0}}
    [row] = parse(only_scores, append_choices_to_input=False)  # no target to be judged by
    assert row.query == "x\nOptions:\n(A) y\n(B) z"


@pytest.mark.parametrize("label", ["({})", "{})", "[{}]", "{}.", "{}:", "\n({})"])
@pytest.mark.parametrize(
    "tail", ["", "\nAnswer:", "\n\nA:", "\nThe answer is", "\nQ: Which?\nA:", "\n### Response:"]
)
@pytest.mark.parametrize("header", ["Options:\n", "Answer choices:\n"])
def test_a_cue_ends_the_list_of_options(header: str, label: str, tail: str) -> None:
    text = f"Which is 8?\n{header}{label.format('A').strip()} 1\n{label.format('B')} 8{tail}"
    [row] = parse({"input": text, "target": "B"})
    assert (row.query, row.options, row.targets) == (text.strip(), ("1", "8"), ("(B)",))
    assert row.group == "Which is 8?" and multiple_choice(row, "(B) 8")
    [row] = parse({"input": text, "target": "B", "group": 3})  # a number names a group as well as a text
    assert row.group == "3"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("Who asks?\nA: How are you?\nB: Fine.", "A"),
        ("A. Smith saw\nI. Jones.", "Smith"),
        ("(A) is here.\n(B) is there.\nQ: Where is A?", "here"),
        ("Which?\nA) one\nB) two", "A"),
        ("Add:\nA. 1", "1"),
        ("Sort: List: b a", "a b"),
        ("OK?\nOptions:\n- yes\n- no", "no"),
        ("Options:\n1. one\n2. two", "2"),
    ],
)
def test_lines_that_only_look_like_options_are_none(text: str, target: str) -> None:
    [row] = parse({"input": text, "target": target})
    assert (row.query, row.options, row.targets) == (text, (), (target,))


def test_an_order_that_gives_the_answer_away_is_permuted() -> None:
    rows = [{"input": f"Which is {i}?", "target_scores": {str(i): 1, "b": 0, "c": 0}} for i in range(30)]
    parsed = parse(*rows)
    assert {row.targets for row in parsed} == {("(A)",), ("(B)",), ("(C)",)}
    assert all(multiple_choice(row, str(i)) for i, row in enumerate(parsed))
    assert parse(*rows) == parsed
    assert parse(*rows[::-1])[::-1] == parsed


GOOD = {"input": "q", "target": "t"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"input": " \n", "target": "t"}, "empty input"),
        ({"input": 3, "target": "t"}, "input is not a text but 3"),
        ({"input": "q"}, "no target"),
        ({"input": "q", "target": ["t", ""]}, "empty target"),
        ({"input": "q", "target_scores": {"a": 0, "b": 0}}, "no correct option"),
        ({"input": "q", "target_scores": {"a": "1"}}, "target_scores is not an object of numbers"),
        ({"input": "q", "target_scores": {"": 1}}, "empty option"),
    ],
)
def test_a_broken_row_is_named(row: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(GOOD, row)
    assert str(error.value).startswith(f"demo.json: example 2 of 2: {message}")
    assert "\n" not in str(error.value)


def test_a_few_rows_that_cannot_be_used_are_left_out_and_named() -> None:
    rows = [GOOD] * 19 + [{"input": "q", "target": ""}]
    read, left_out = read_rows(write(*rows))
    assert len(read) == 19 and left_out == {20: "empty target"}
    with pytest.raises(UserError, match="^demo.json: example 20 of 20: empty target$"):
        read_rows(write(*rows), most=0.0)
    with pytest.raises(UserError, match="^demo.json: example 1 of 19: no target, and 1 more cannot be used$"):
        read_rows(write({"input": "q"}, *rows[2:]))


def test_scenario_is_the_text_without_its_question() -> None:
    for said, question in (
        ("Ann has a ball. They trade.", " At the end of the game, Bob has the"),
        ("The weight is 1.5 kg. We add: James, 12", "\nWho is old?"),
        ("On a shelf, there are two books. The red one is the leftmost.", ""),
        ("Sort these: List: b a", ""),
        ("Who?", ""),
    ):
        assert scenario(said + question) == said
