"""Whatever a task file holds, it gives rows that can be trained on, or one line that says what is wrong."""

import copy
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hir.config.schema import TaskConfig
from hir.errors import UserError
from hir.feedback.answers import exact_match, multiple_choice, normalise_answer, option_letter, read_choice
from hir.records import Example
from hir.tasks.base import load_task
from hir.tasks.bigbench import listed_options, scenario

LISTED = "Which is {}?\nOptions:\n(A) one\n(B) two"
FORMATS: dict[str, dict[str, Any]] = {
    "hard": {"examples": [{"input": LISTED.format(i), "target": "(B)"} for i in range(6)]},
    "free": {"examples": [{"input": f"{i}?", "target": ["one", 1]} for i in range(6)]},
    "bigbench": {
        "task_prefix": "Choose.",
        "metrics": ["multiple_choice_grade"],
        "examples": [{"input": f"{i}?", "target": "x", "target_scores": {"x": 1, "y": 0}} for i in range(6)],
    },
}


def answer(path: Path) -> str:
    """What is wrong with a file in one line, or "" if it can be trained on."""
    try:
        task = load_task(TaskConfig(name=path.stem, data_dir=str(path.parent)), seed=0)
    except UserError as error:
        line = str(error)
        assert line.isprintable() and len(line) < 600, line
        return line
    for row in task.rows:
        json.dumps([row.query, *row.targets, *row.options], ensure_ascii=False).encode()
        assert row.query.strip() and row.targets
        for target in row.targets:
            assert target.strip() and task.verify(row, target), row
    return ""


def write(folder: Path, content: Any) -> Path:
    path = folder / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def many(count: int, **keys: Any) -> bytes:
    rows = [{"input": f"{i}?", "target": "t", **keys} for i in range(count)]
    return json.dumps({"examples": rows}).encode()


DEEP = b"[" * 100_000
RAW: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cannot be read as JSON"),
    "cut in half": (many(100)[:1000], "cannot be read as JSON"),
    "a list": (b"[]", "has no examples"),
    "a text as example": (b'{"examples": ["text"]}', "has no examples"),
    "deep and closed": (b'{"examples":' + DEEP + b"]" * 100_000 + b"}", "recursion"),
    "deep target": (many(3, target="@").replace(b'"@"', b"[" * 500 + b"]" * 500), "target is not a text"),
    "4,000 digits": (many(3, target="@").replace(b'"@"', b"9" * 4000), ""),
    "a score of 4,000 digits": (many(3, target_scores={"a": "@"}).replace(b'"@"', b"9" * 4000), ""),
    "NaN": (many(3, target="@").replace(b'"@"', b"NaN"), "no target"),
    "infinity": (many(3, target="@").replace(b'"@"', b"1e999"), "target is not a text"),
    "UTF-16": (json.dumps(FORMATS["hard"]).encode("utf-16"), "in UTF-8"),
    "half a pair": (many(3, input="\ud800"), "surrogates not allowed"),
    "half a pair in a prefix": (many(3)[:-1] + b', "task_prefix": "\\ud800"}', "surrogates not allowed"),
    "a byte order mark": (b"\xef\xbb\xbf" + many(3), ""),
    "702 options": (many(3, target_scores={str(i): int(i == 700) for i in range(702)}), ""),
    "a long wrong target": (many(3, target={"a" * 9_999_999: "\x1b\0"}), "target is not a text but"),
    "equal options": (many(3, input="?\nOptions:\n(A) \x1b\n(B) \x1b", target="A"), "duplicate options"),
    "no such option": (many(3, input=LISTED, target_scores={"\x1b" * 999: 1}), "is not among the options"),
}


@pytest.mark.parametrize("name", RAW)
def test_a_hostile_file_is_refused_for_what_it_is(tmp_path: Path, name: str) -> None:
    content, said = RAW[name]
    line = answer(write(tmp_path, content))
    assert line.startswith(str(tmp_path / "x.json")) and said in line if said else not line


SPECIAL = ["Options:\n(A) ", "\n(B) ", "A:", "Answer: ", "\u200b", "½", "1e5", "Q:", "\ud800", "(a)", "[A]"]
TEXTS = st.lists(st.sampled_from(SPECIAL) | st.text(st.characters(), max_size=5), max_size=6).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
unchecked = [HealthCheck.function_scoped_fixture]  # each example writes the one file anew
arbitrary = settings(max_examples=250, deadline=None, database=None, suppress_health_check=unchecked)


def places(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [(*at,), *(place for key, value in inner for place in places(value, (*at, key)))]


@arbitrary
@given(st.data())
def test_a_file_with_one_wrong_thing_gives_rows_or_a_line(tmp_path: Path, data: st.DataObject) -> None:
    content = [copy.deepcopy(FORMATS[data.draw(st.sampled_from(sorted(FORMATS)))])]
    *way, last = data.draw(st.sampled_from([place for place in places(content) if place]))
    part: Any = content
    for key in way:
        part = part[key]
    if isinstance(part, dict) and data.draw(st.booleans()):
        part[data.draw(TEXTS | st.sampled_from(["task_prefix", "target_scores", "target"]))] = part.pop(last)
    else:
        part[last] = data.draw(JSON)
    answer(write(tmp_path, content[0]))


@arbitrary
@given(TEXTS, st.lists(TEXTS, max_size=4), st.booleans())
def test_any_text_can_be_judged(text: str, options: list[str], lettered: bool) -> None:
    assert normalise_answer(normalise_answer(text)) is not None
    choice = read_choice(text, options, lettered)
    assert choice is None or 0 <= choice < len(options)
    scenario(listed_options(text)[0])
    for target in (text, *options):
        row = Example("?", (target,), tuple(options), lettered)
        assert {multiple_choice(row, text), exact_match(row, text)} <= {True, False}


def take_all(texts: list[str]) -> None:
    for text in texts:
        for whole in (text, f"x{text}z", f"Options:\n(A) a{text}\n(B) b\n{text}z"):
            scenario(listed_options(whole)[0])
            read_choice(whole, ("x", "y"))
            normalise_answer(f"$1{whole}")


KINDS = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace()]
KINDS += [*"()[]{}<>.,-\"'1aé", "\r\n", " \n", "\n\n\t", "1,", "1.", "A:", "(A)", "(A) x\n", "A. x\n", "x? "]
KINDS += ["Options:", "Options:\n", "answer ", "the, ", "½", " (", "choice \n", "(A", "[A]\n"]
LIST = "Options:\n" + "".join(f"({option_letter(i)}) x\n" for i in range(702))


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize(("kinds", "size"), [(KINDS, 100_000), ([*"\n \t(]{,1", "\r\n", LIST], 1_000_000)])
def test_reading_takes_a_time_linear_in_the_text(kinds: list[str], size: int) -> None:
    # In a child, for one regular expression cannot be interrupted; in the square of the size: for hours.
    texts = [kind * (size // len(kind)) for kind in kinds]
    child = multiprocessing.get_context("fork").Process(target=take_all, args=(texts,))
    child.start()
    child.join(120)
    hung = child.is_alive()
    child.kill()
    child.join()
    assert not hung and child.exitcode == 0


PLACES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "many files": lambda path: [path.with_name(f"{i}_{i}.json").touch() for i in range(10_000)],
}


@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_file_is_not_read(tmp_path: Path, name: str) -> None:
    PLACES[name](tmp_path / "x.json")
    assert "holds no file of task x" in answer(tmp_path / "x.json")


@pytest.mark.parametrize("folder", ["/dev/null", "n" * 300, "/n" * 3000, "~nobody-has-this-name", ""])
@pytest.mark.parametrize("name", ["x", "x" * 300, "../x", "/etc/passwd"])
def test_a_folder_that_cannot_be(folder: str, name: str) -> None:
    with pytest.raises(UserError, match=r"is not a folder|holds no file"):
        load_task(TaskConfig(name=name, data_dir=folder), seed=0)
