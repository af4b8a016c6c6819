"""The pages for those who fork the project are followed to the letter, in a copy of it.

A page's blocks say by themselves what they are:

- a fence below a line that ends in "`PATH`:" is that file;
- ```sh is run, in order, and must succeed;
- ```text is the output of the ```sh before it, where "..." is the rest of a line, or, alone, any lines;
- a fence without a language is a command that takes too long for a test: its configuration is loaded.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from hir.__main__ import read_options
from hir.config.load import load_config
from hir.tools.compare import Options, build_cells
from tests.command_line import ROOT, copy_project


class Block(NamedTuple):
    line: int
    path: str | None  # of the file that it is
    language: str
    text: str


def read_blocks(page: str) -> list[Block]:
    assert page.count("\n```") % 2 == 0, "a fence is open"
    blocks = []
    for fence in re.finditer(r"([^\n]*)\n+```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        above, language, text = fence.groups()
        path = re.search(r"`([\w./-]+\.\w+)`:$", above)
        line = page[: fence.start(2)].count("\n") + 1
        blocks.append(Block(line, path and path[1], language, text))
    return blocks


def matches(shown: str, output: str) -> bool:
    """Whether the lines shown stand in the output, one below the other but for what "..." leaves out."""
    pattern = "^"
    for line in shown.splitlines():
        rest_of_line = ".*".join(map(re.escape, re.split(r"\.{3}(?!\.)", line)))
        pattern += r"(?:.*\n)*?" if line == "..." else rf"{rest_of_line}[ ]*\n"
    return re.search(pattern, output, re.MULTILINE) is not None


def follow(blocks: list[Block], folder: Path, environment: dict[str, str]) -> None:
    """Write the files and run the commands; fails at the first block that is not as the page says."""
    output = ""
    for line, path, language, text in blocks:
        if path:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        elif language == "sh":
            command = ["sh", "-e", "-c", text]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"line {line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            output = done.stdout
        elif language == "text":
            assert matches(text, output), f"line {line}: shown\n{text}\nbut it was\n{output}"
        else:
            assert not language, f"line {line}: a block of {language} that is no file"


def long_commands(page: str) -> list[list[str]]:
    """The words of the commands that are not run: those in fences without a language, and in the text."""
    fenced = [block.text for block in read_blocks(page) if not block.language]
    prose = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    lines = [line for text in fenced for line in text.replace("\\\n", " ").splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    lines = [re.sub(r"^torchrun .* train\.py ", "python train.py ", line) for line in lines]
    programs = ("python train.py ", "python -m hir compare ")
    return [shlex.split(line, comments=True) for line in lines if line.startswith(programs)]


def load_commands(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Load the configurations of the long commands as the copy has them; returns how many commands."""
    monkeypatch.setattr("hir.config.load.CONF", folder / "conf")
    # A method that the page writes stands in its copy alone.
    monkeypatch.setattr("hir.tools.runs.load_run_config", load_config)
    commands = [words for words in long_commands(page) if "--help" not in words]
    for words in commands:
        if words[1] == "train.py":
            # Runs that the page speaks of do not exist here.
            load_config([word for word in words[2:] if not word.startswith(("resume=", "config="))])
        else:
            # One seed: its configurations are those of the others.
            given = [re.sub(r"^seeds=.*", "seeds=1", word) for word in words[4:]]
            cells = build_cells(*read_options(Options, given, takes_settings=True))
            assert all(cell.config for cell in cells)
    return len(commands)


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize(("name", "num_long"), [("new_task", 4), ("new_method", 1), ("feedback", 4)])
def test_a_page_works_to_the_letter(
    name: str, num_long: int, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text()
    folder = copy_project(tmp_path / "hir")
    # This interpreter's programs first, as after `source .venv/bin/activate`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    alone = {"PATH": path, "PYTEST_ADDOPTS": "", "PYTHONPATH": ""}
    follow(read_blocks(page), folder, environment | alone)
    assert load_commands(page, folder, monkeypatch) == num_long


def test_commands_that_are_too_long_to_run_can_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for page, least in {"README": 6, "docs/hardware": 3, "docs/wandb": 1, "docs/results": 2}.items():
        assert load_commands((ROOT / f"{page}.md").read_text(), ROOT, monkeypatch) >= least, page


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"
