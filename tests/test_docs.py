"""The pages for those who fork the project are followed to the letter, in a copy of it.

A page's blocks say by themselves what they are:

- a fence below a line that ends in "`PATH`:" is that file;
- ```sh is run, in order, and must succeed;
- ```text is the output of the ```sh before it, where "..." is the rest of a line, or, alone, any lines;
- a fence without a language is a command that takes too long for a test: its configuration is loaded.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hir.config.load import load_config
from hir.errors import UserError
from hir.tools.arguments import read_options
from hir.tools.compare import Options, build_cells
from tests.checkout import activated, copy_project
from tests.command_line import ROOT


@dataclass(frozen=True)
class Block:
    """A fence of a page."""

    line: int
    language: str
    above: str
    """The last line before it that is not blank."""
    text: str

    @property
    def path(self) -> str | None:
        """The file that it is, None for any other block."""
        match = re.search(r"`([\w./-]+\.\w+)`:$", self.above)
        return match[1] if match else None


def read_blocks(page: str) -> list[Block]:
    blocks: list[Block] = []
    above, inside = "", None
    for number, line in enumerate(page.splitlines(), 1):
        if inside is None and line.startswith("```"):
            inside, language, start = list[str](), line[3:].strip(), number
        elif line == "```" and inside is not None:
            blocks.append(Block(start, language, above, "".join(f"{part}\n" for part in inside)))
            above, inside = "", None
        elif inside is not None:
            inside.append(line)
        elif line.strip():
            above = line
    assert inside is None, f"the fence of line {start} is open"
    return blocks


def matches(shown: str, output: str) -> bool:
    """Whether the lines shown stand in the output, one below the other but for what "..." leaves out."""
    lines = [
        r"(?:.*\n)*?"
        if line == "..."
        else ".*".join(map(re.escape, re.split(r"\.{3}(?!\.)", line))) + r"[ ]*\n"
        for line in shown.splitlines()
    ]
    return re.search("^" + "".join(lines), output, re.MULTILINE) is not None


def follow(blocks: list[Block], folder: Path, environment: dict[str, str]) -> None:
    """Write the files and run the commands; fails at the first block that is not as the page says."""
    output = None
    for block in blocks:
        where = f"line {block.line}"
        if block.path:
            assert ".." not in block.path and not block.path.startswith("/"), where
            (folder / block.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.path).write_text(block.text)
        elif block.language == "sh":
            command = ["sh", "-e", "-c", block.text]
            done = subprocess.run(
                command, cwd=folder, env=activated(environment), capture_output=True, text=True, timeout=900
            )
            assert done.returncode == 0, f"{where}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            output = done.stdout
        elif block.language == "text":
            assert output is not None, f"{where}: output of no command"
            assert matches(block.text, output), f"{where}: shown\n{block.text}\nbut it was\n{output}"
        else:
            assert block.language == "", f"{where}: a block of {block.language} that is no file"


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
    monkeypatch.setattr("hir.tools.runs.load", load_config)
    commands = [words for words in long_commands(page) if "--help" not in words]
    for words in commands:
        if words[1] == "train.py":
            # Runs that the page speaks of do not exist here.
            load_config([word for word in words[2:] if not word.startswith(("resume=", "config="))])
        else:
            # One seed: its configurations are those of the others.
            given = [re.sub(r"^seeds=.*", "seeds=1", word) for word in words[4:]]
            build_cells(*read_options(Options, given, takes_settings=True))
    return len(commands)


@pytest.mark.slow(seconds=50)
@pytest.mark.parametrize(("name", "num_long"), [("new_task", 4), ("new_method", 1)])
def test_a_page_works_to_the_letter(
    name: str, num_long: int, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text()
    folder = copy_project(tmp_path / "hir")
    follow(read_blocks(page), folder, environment)
    assert load_commands(page, folder, monkeypatch) == num_long


@pytest.mark.parametrize(
    ("page", "least"),
    [("README.md", 6), ("docs/hardware.md", 3), ("docs/wandb.md", 1), ("docs/results.md", 2)],
)
def test_commands_that_are_too_long_to_run_can_be_loaded(
    page: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_commands((ROOT / page).read_text(), ROOT, monkeypatch) >= least


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = page.read_text()
        titles = {
            re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        for link in re.findall(r"\]\(([^)]+)\)", text):
            if link.startswith("#"):
                assert link[1:] in titles, f"{page.name}: {link}"
            elif "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


PAGE = """
A file, `hir/made.py`:

```python
print("one")
print("two 0.31")
```

```sh
python hir/made.py
```

```text
one
two 0....
```
"""


def test_a_page_as_it_should_be(tmp_path: Path, environment: dict[str, str]) -> None:
    follow(read_blocks(PAGE), tmp_path, environment)
    assert (tmp_path / "hir/made.py").read_text() == 'print("one")\nprint("two 0.31")\n'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("python hir/made.py", "python hir/mode.py", "line 9: .*mode.py"),
        ("python hir/made.py", "false\ntrue", "line 9"),
        ("two 0....", "two 1....", "line 13: shown"),
        ("one\ntwo 0....", "two 0....\none", "line 13: shown"),
        ("\none\ntwo 0....", "\ntwo", "line 13: shown"),
        ("`hir/made.py`:", "`hir/made.py`.", "line 4: a block of python that is no file"),
        ("`hir/made.py`:", "`../made.py`:", "line 4"),
        ("```sh\n", "```\n", "line 13: output of no command"),
        ("two 0....\n```", "two 0....", "the fence of line 13 is open"),
    ],
)
def test_a_page_that_is_wrong_fails(
    old: str, new: str, message: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert PAGE.count(old) == 1
    with pytest.raises(AssertionError, match=f"(?s){message}"):
        follow(read_blocks(PAGE.replace(old, new)), tmp_path / "copy", environment)


@pytest.mark.parametrize(
    ("shown", "output", "found"),
    [
        ("a\nc\n", "a\nb\nc\n", False),
        ("a\n...\nc\n", "a\nb\nc\n", True),
        ("a\n...\nc\n", "a\nc\n", True),
        ("a...c\n", "a\nc\n", False),
        ("...\nc\n", "a\nb\nc\n", True),
        ("b\n", "ab\n", False),
        ("b\n", "a\nb   \n", True),
        ("a.b\n", "axb\n", False),
        ("a 0....\n", "a 0.12\n", True),
        ("a 0....\n", "a 1.12\n", False),
    ],
)
def test_shown_output(shown: str, output: str, found: bool) -> None:
    assert matches(shown, output) is found


def test_long_commands_are_those_of_plain_fences_and_of_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "Run `python train.py task=word_sorting\nseed=2` or `python train.py --help`:\n\n```\n"
    page += "python -m hir compare methods=hir,farl \\\n    seeds=2 out=here\nmake test\n```\n"
    page += "```sh\npython train.py seed=3\n```\n"
    assert long_commands(page) == [
        ["python", "-m", "hir", "compare", "methods=hir,farl", "seeds=2", "out=here"],
        ["python", "train.py", "task=word_sorting", "seed=2"],
        ["python", "train.py", "--help"],
    ]
    assert load_commands(page, ROOT, monkeypatch) == 2
    with pytest.raises(UserError, match="unknown key sedes"):
        load_commands(page.replace("seeds=2", "sedes=2"), ROOT, monkeypatch)
    with pytest.raises(UserError, match="seed"):
        load_commands(page.replace("seed=2", "seeed=2"), ROOT, monkeypatch)
