"""IFEval's format, in rows made by hand; folders in HIR_TEST_DATA with its own files are read as well."""

import inspect
import json
import os
import string
from pathlib import Path
from typing import Any

import pytest

from hir.errors import UserError
from hir.feedback.constraints import CHECKERS, Constraints, check
from hir.tasks.ifeval import TEXTS, read_rows

Row = dict[str, Any]


def row(*instructions: tuple[str, Row | None], **other: Any) -> Row:
    kinds, kwargs = [kind for kind, _ in instructions], [given for _, given in instructions]
    return {"key": 1, "prompt": "Write.", "instruction_id_list": kinds, "kwargs": kwargs, **other}


def write(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "ifeval.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows), encoding="utf-8")
    return path


NO_COMMA = ("punctuation:no_comma", {})
UPPER, LOWER = ("change_case:english_capital", {}), ("change_case:english_lowercase", {})
CAPITALS, TEN = "change_case:capital_word_frequency", {"capital_frequency": 10}
# As some copies of the public file have it: each row names the arguments of all kinds.
NULLS: Row = dict.fromkeys(("num_words", "relation", "keywords", "num_bullets", "prompt_to_repeat"))


def test_rows_become_queries_with_constraints(tmp_path: Path) -> None:
    words = ("length_constraints:number_words", {**NULLS, "relation": "at least", "num_words": 3})
    keywords = ("keywords:existence", {**NULLS, "keywords": ["ink", "Tinte"]})
    path = write(
        tmp_path, row(words, ("punctuation:no_comma", NULLS), prompt=" Über Tinte. "), "", row(keywords)
    )
    first, second = read_rows(path)
    assert (first.query, first.targets, second.query) == ("Über Tinte.", (), "Write.")
    assert [c.text for c in first.constraints] == ["write at least 3 words", "use no comma"]
    assert [c.text for c in second.constraints] == ["use the keywords ink, Tinte"]
    verdicts = Constraints()([first, first, second], ["one, two", "one two three", "Tinte and ink"])
    assert [verdict.met for verdict in verdicts] == [(False, False), (True, True), (True,)]


def test_every_kind_of_ifeval_has_a_text_of_its_arguments() -> None:
    for kind in (kind for kind in CHECKERS if not kind.startswith("words:")):
        names = {name for _, name, *_ in string.Formatter().parse(TEXTS[kind]) if name}
        assert names == {*list(inspect.signature(CHECKERS[kind]).parameters)[1:]}


def test_what_the_public_file_combines_is_read(tmp_path: Path) -> None:
    """Two bounds of one number, a demand twice, null for no arguments, a mark for a letter, and a row that
    nobody can meet: it has a prompt repeated that says what is forbidden."""
    less, least = (
        {"capital_relation": r, "capital_frequency": n} for r, n in (("less than", 4), ("at least", 1))
    )
    mark = ("keywords:letter_frequency", {"letter": "#", "let_relation": "at least", "let_frequency": 4})
    repeat = ("combination:repeat_prompt", {"prompt_to_repeat": "Say no, {x}."})
    never = ("keywords:forbidden_words", {"forbidden_words": ["no"]})
    bounds = row((CAPITALS, less), (CAPITALS, least), NO_COMMA, ("punctuation:no_comma", None))
    bounded, repeated = read_rows(write(tmp_path, bounds, row(mark, repeat, never)))
    assert [check(c, "SEE it NOW") for c in bounded.constraints] == [True, True, True]
    assert bounded.constraints[0].text == "write less than 4 words in capitals"
    assert repeated.constraints[1].text == "first repeat: Say no, {x}."


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{", "line 2: no JSON: "),
        ("[" * 100_000, "line 2: no JSON: "),
        ("[1]", "line 2: an object with a text 'prompt' is needed"),
        (row(NO_COMMA, prompt=" "), "an object with a text 'prompt'"),
        (row(NO_COMMA, prompt=3), "an object with a text 'prompt'"),
        (row(), "line 2: 'instruction_id_list' must be a list of names"),
        (row(NO_COMMA, instruction_id_list="punctuation:no_comma"), "'instruction_id_list' must be"),
        (row(NO_COMMA, instruction_id_list=[["a"]]), "'instruction_id_list' must be"),
        (row(NO_COMMA, kwargs=[]), "'kwargs' must be a list of 1 objects, one for each instruction"),
        (row(NO_COMMA, kwargs={}), "'kwargs' must be a list of 1 objects"),
        (row(NO_COMMA, kwargs=["a"]), "'kwargs' must be a list of 1 objects"),
        (row(("punctuation:no_commas", {})), r"no instruction is called .*: did you mean punc"),
        (row(("words:distinct", {})), "no instruction is called 'words:distinct'"),
        (row(("keywords:existence", {})), "the arguments of keywords:existence are keywords, not none"),
        (row(("keywords:existence", {"keywords": [1]})), r"keywords of .* must be texts, not \(1,\)"),
        (row((CAPITALS, {**TEN, "capital_relation": "some"})), "capital_relation of .* must be one of"),
        (row(UPPER, LOWER), "'write in capital letters only' and .* exclude each other"),
    ],
)  # fmt: skip
def test_a_broken_row_is_refused_in_one_line(tmp_path: Path, broken: Any, message: str) -> None:
    path = write(tmp_path, row(NO_COMMA), broken)
    with pytest.raises(UserError, match=message) as error:
        read_rows(path)
    assert str(error.value).startswith(f"{path}: line 2: ") and "\n" not in str(error.value)


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("langdetect")
    with pytest.raises(UserError, match=r"no language is called 'xx'"):
        read_rows(write(tmp_path, row(("language:response_language", {"language": "xx"}))))
    [read] = read_rows(write(tmp_path, row(("language:response_language", {"language": "de"}))))
    assert read.constraints[0].text == "write in German"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ifeval.jsonl"
    with pytest.raises(UserError, match="cannot be read as text in UTF-8"):
        read_rows(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="cannot be read as text in UTF-8"):
        read_rows(path)
    path.write_text("\n \n")
    with pytest.raises(UserError, match="ifeval.jsonl has no rows"):
        read_rows(path)


def test_the_files_of_others_are_read_whole() -> None:
    folders = os.environ.get("HIR_TEST_DATA", "").split(os.pathsep)
    for path in [p for folder in folders if folder for p in Path(folder).rglob("*input_data*.jsonl")]:
        assert len(read_rows(path)) == sum(line.strip() != "" for line in path.read_text("utf-8").split("\n"))
