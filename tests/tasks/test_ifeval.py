"""IFEval's format, in rows made by hand; folders in HIR_TEST_DATA with its own files are read as well."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hir.errors import UserError
from hir.feedback.constraints import Constraints, check
from hir.tasks.ifeval import read_rows
from tests.command_line import SMALL, run

Row = dict[str, Any]


def row(*instructions: tuple[str, Row | None], **other: Any) -> Row:
    kinds, kwargs = [kind for kind, _ in instructions], [given for _, given in instructions]
    return {"key": 1, "prompt": "Write.", "instruction_id_list": kinds, "kwargs": kwargs, **other}


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "ifeval.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows), encoding="utf-8")
    return path


NO_COMMA = ("punctuation:no_comma", {})
CAPITALS, LETTERS = "change_case:capital_word_frequency", "keywords:letter_frequency"
NUMBER, NTH = "length_constraints:number_words", "length_constraints:nth_paragraph_first_word"
MARK = {"letter": "#", "let_relation": "at least", "let_frequency": 4}
# As some copies of the public file have it: each row names the arguments of all kinds.
NULLS: Row = dict.fromkeys(("num_words", "relation", "keywords", "num_bullets", "prompt_to_repeat"))


def test_rows_become_queries_with_constraints(tmp_path: Path) -> None:
    words = (NUMBER, {**NULLS, "relation": "at least", "num_words": 3})
    german = ("language:response_language", {"language": "de"})
    keywords = ("keywords:existence", {**NULLS, "keywords": ["ink", "Tinte"]})
    both = row(words, ("punctuation:no_comma", NULLS), prompt=" Über Tinte. ")
    first, second = read_rows(write(tmp_path, both, "", row(keywords, german)))
    assert (first.query, first.targets, second.query) == ("Über Tinte.", (), "Write.")
    assert [c.text for c in first.constraints] == ["write at least 3 words", "use no comma"]
    assert [c.text for c in second.constraints] == ["use the keywords ink, Tinte", "write in the language de"]
    verdicts = Constraints()([first, first, second], ["one, two", "one two three", "Tinte and ink, I say"])
    assert [verdict.met for verdict in verdicts] == [(False, False), (True, True), (True, False)]


def test_what_the_public_file_combines_is_read(tmp_path: Path) -> None:
    """Two bounds of one number, a demand twice, null for no arguments, a mark for a letter, and a row that
    nobody can meet: it has a prompt repeated that says what is forbidden."""
    said = (("less than", 4), ("at least", 1))
    less, least = ({"capital_relation": relation, "capital_frequency": n} for relation, n in said)
    repeat = ("combination:repeat_prompt", {"prompt_to_repeat": "Say no, {x}."})
    never = ("keywords:forbidden_words", {"forbidden_words": ["no"]})
    bounds = row((CAPITALS, less), (CAPITALS, least), NO_COMMA, ("punctuation:no_comma", None))
    bounded, repeated = read_rows(write(tmp_path, bounds, row((LETTERS, MARK), repeat, never)))
    assert [check(c, "SEE it NOW") for c in bounded.constraints] == [True, True, True]
    assert bounded.constraints[0].text == "write less than 4 words in capitals"
    assert repeated.constraints[1].text == "first repeat: Say no, {x}."


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        *((text, "line 2: no JSON in UTF-8: ") for text in ("{", "[" * 100_000)),
        (row(NO_COMMA, prompt="\ud800"), "line 2: no JSON in UTF-8: .* surrogates not allowed"),
        *((row(NO_COMMA, prompt=text), "line 2: an object with a text 'prompt'") for text in (" ", 3, None)),
        ("[1]", "line 2: an object with a text 'prompt'"),
        (row(), "line 2: 'instruction_id_list' must be a list of names"),
        *((row(NO_COMMA, instruction_id_list=ids), "'instruction_id_list' must") for ids in ("a", [["a"]])),
        *((row(NO_COMMA, kwargs=given), "'kwargs' must be a list of 1 objects") for given in ([], {}, ["a"])),
        (row(("punctuation:no_commas", {})), r"no instruction is called .*: did you mean punc"),
        (row(("punctuation:no_comma", {"n": 1})), r"the arguments of .*no_comma are \[\], not \['n'\]"),
        (row((NUMBER, {"num_words": 1})), r"the arguments of .* are \['relation', 'num_words'\], not"),
        (row((NUMBER, {"num_words": 1, "relation": "about"})), "relation of .* cannot be 'about'"),
        *((row((NUMBER, {"num_words": n, "relation": "less than"})), "cannot be") for n in (-1, "2")),
        *((row(("keywords:existence", {"keywords": k})), "cannot be") for k in ([], [1], [""], "cat")),
        (row(("startend:end_checker", {"end_phrase": 3})), "end_phrase of .* cannot be 3"),
        (row((NTH, {"num_paragraphs": 2, "nth_paragraph": 0, "first_word": "a"})), "nth_paragraph .* be 0"),
    ],
)  # fmt: skip
def test_a_broken_row_is_refused_in_one_line(tmp_path: Path, broken: Any, message: str) -> None:
    path = write(tmp_path, row(NO_COMMA), broken)
    with pytest.raises(UserError, match=message) as error:
        read_rows(path)
    assert str(error.value).startswith(f"{path}: line 2: ") and "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ifeval.jsonl"
    for content, said in ((b"\xff\xfe{}", "cannot be read as text in UTF-8"), (b"\n \n", "has no rows")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"ifeval.jsonl.*{said}"):
            read_rows(path)


def test_the_files_of_others_are_read_whole() -> None:
    folders = os.environ.get("HIR_TEST_DATA", "").split(os.pathsep)
    for path in [p for folder in folders if folder for p in Path(folder).rglob("*input_data*.jsonl")]:
        assert len(read_rows(path)) == sum(line.strip() != "" for line in path.read_text("utf-8").split("\n"))


@pytest.mark.slow(seconds=30)
def test_a_run_shows_what_is_missed_and_both_instructions(
    environment: dict[str, str], tmp_path: Path
) -> None:
    never = ("startend:end_checker", {"end_phrase": "Über alle Wipfel"})  # which nothing ends with
    write(tmp_path, *(row(NO_COMMA, never, prompt=f"Write {i}.") for i in range(20)))
    folder, small = tmp_path / "run", ["sampling.max_new_tokens=8", "evaluation.samples_every=1"]
    task = ["task=ifeval", f"task.data_dir={tmp_path}", *SMALL[3:], "task.num_train=14", *small]
    done = run(environment, *task, "trainer.max_epochs=1", f"run_dir={folder}")
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "judge   the task's own" in done.stdout
    goal, missed = "Do all: use no comma; end with: Über alle Wipfel", "end with: Über alle Wipfel"
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]
    found = {(s["missed"], s["instruction"], s["relabeled_instruction"]) for s in samples}
    assert found <= {
        (missed, goal, "Do all: use no comma"),
        (f"use no comma; {missed}", goal, goal.replace("Do all", "Do not do all")),
    }
    assert f"{missed}\n         asked as {goal}\n         trained as Do " in done.stdout
    assert run(environment, "report", f"run={folder}", program="-m hir").returncode == 0
    page = (folder / "report.html").read_text("utf-8")
    assert f"<td>{samples[0]['missed']}</td>" in page and goal in page
