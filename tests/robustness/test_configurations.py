"""Configurations, arguments, variants and comparisons that are broken, or made to do harm.

Each is read, or refused in one line, in seconds and 500 MB.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hir.__main__ import read_options
from hir.config.load import flat, load_config, save_config
from hir.errors import UserError
from hir.tools import compare, runs
from hir.training.settings import load_run_config

MEMORY, SECONDS = 500_000_000, 30
"""Bounds of a case; the seconds are many, for a machine may be busy."""


@pytest.fixture
def bounds() -> Iterator[None]:
    """Ends what hangs or eats memory."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"nothing in {SECONDS} s"))
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    signal.alarm(SECONDS)
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def nested(depth: int, left: str = "[", right: str = "]") -> str:
    return left * depth + right * depth


def laughs(levels: int, width: int) -> str:
    """Aliases that multiply."""
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(["a0: &a0 lol", *lines])


HUGE, DEEP = "9" * 5000, "\n".join(" " * n + "a:" for n in range(400))

VALUES = [
    *"""1e999 -.inf .nan 0b_ ??? ~ 2020-01-01 *a [ } ' | % @ --- !!float ! ${ ${} ${seed} ${trainer.x}
    ${nowhere} ${oc.env:NOWHERE} ${nobody:1} ${oc.create:'[['} <<: {[1]:2} {null:2} {'':2}""".split(),
    nested(500), nested(100_000), nested(600, "{a: ", "}"), "- " * 5000, HUGE, f"0x{'f' * 5000}",
    "1" + ":59" * 3000, "!!set {a}", "!!binary aGk=", "!!timestamp x", "!!bool maybe", "!mine x",
    "!!python/object/apply:os.system [touch canary]", "!!python/name:os.system", "&a [*a]",
    "[&a [x,x,x,x,x,x,x,x],&b [*a,*a,*a,*a,*a,*a,*a,*a],&c [*b,*b,*b,*b,*b,*b,*b],[*c,*c,*c,*c,*c,*c]]",
    nested(500, "${", "}"), "$" * 1000, "--- a\n--- b", "{a: 1, a: 2}", '"\\0"', '"\\ud800"', '"\\x1b[31m"',
]  # fmt: skip
"""Values in YAML, each put in the place of a number, a text, a list, and of a mapping and below it."""

KEYS = ("seed", "instructions.correct", "evaluation.tasks", "trainer.x", "trainer", "method")

FILES: list[str | bytes] = [
    *(f"{key}: {value}" for key in ("seed", "trainer.x", "files") for value in VALUES), DEEP, b"\0",
    "seed: 1".encode("utf-16"), random.Random(1).randbytes(1000), "seed 1", "x" * 300_000, "a:\n" * 50_000,
    "%TAG !a! x\n" * 15_000, "? " * 90_000, "[x, " * 40_000, laughs(9, 10), laughs(30, 2),
    f"{'x' * 1000}: 1", "seed: ${task.seed}\ntask: {seed: '${seed}'}",
    "trainer: {a: ['${trainer.a}']}",
    "files: {model: [tiny]}", "files: {model: ../../etc/passwd}", "method: {name: [a]}", "method: []",
    f"trainer: {{{'a.' * 1000}b: 1}}", "trainer..x: 1", "trainer.a[b: 1", 'run_dir: "\\0"',
]  # fmt: skip

ARGUMENTS = [
    *(f"{key}={value}" for key in KEYS for value in [*VALUES, "\udc80"]), "=", "a", "resume=", "resume=a\0b",
    *(f"config={path}" for path in ("", ".", "/dev/zero", "/etc/passwd", "x" * 300)), "model=..",
    "method=a..b", "method=a.\0", "trainer..=1", "trainer.[=1", "trainer.\0=1", f"run_dir={'x/' * 3000}",
    f"trainer.{'a.' * 5_000}b=1", f"{'x' * 60_000}=1", f"trainer.{'x' * 60_000}=1",
    "evaluation.tasks=[a,\udc80]",
]  # fmt: skip

VARIANTS = [
    *(f"x: {{trainer.x: {value}}}" for value in VALUES[::2]), "1: {2: 3}", "/etc: {method.alpha: 1}", DEEP,
    "".join(f"v{n}: {{seed: {n}}}\n" for n in range(20_000)),
]  # fmt: skip
COMPARISONS = [
    *"seeds=999999999 jobs=999999999 jobs=.inf out= variants=/dev/zero trainer.x=[[[[".split(),
    f"seeds=1,{HUGE}", f"methods={'hir,' * 50_000}", f"seed={'x' * 300},y", f"trainer.{'a.' * 5000}=1,2",
]  # fmt: skip


def cells_of(*arguments: str) -> None:
    options, of_train = read_options(compare.Options, ["out=o", "seeds=2", *arguments], takes_settings=True)
    runs.slots(options.jobs, compare.build_cells(options, of_train))


DOORS: dict[str, tuple[list[Any], Callable[[Any], object]]] = {
    "file": (FILES, lambda path: load_run_config([f"config={path}"])),
    "argument": (ARGUMENTS, lambda argument: load_run_config([argument])),
    "variants": (VARIANTS, lambda path: cells_of(f"variants={path}")),
    "compare": (COMPARISONS, cells_of),
}
"""Cases and what takes each: its file, or itself."""


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind in DOORS for n in range(len(DOORS[kind][0]))]
)
def test_one_line_or_let_in(
    kind: str, number: int, bounds: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, door = DOORS[kind]
    case = cases[number]
    monkeypatch.chdir(tmp_path)
    if kind in ("file", "variants"):
        (tmp_path / "f.yaml").write_bytes(case if isinstance(case, bytes) else case.encode())
        case = tmp_path / "f.yaml"
    try:
        door(case)
    except UserError as error:
        assert str(error).isprintable() and 0 < len(str(error)) < 1000
    assert {path.name for path in tmp_path.iterdir()} <= {"f.yaml"}  # nothing ran, nothing was written


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from([*KEYS, "files", "training", "training.lr", "feedback.name", "task.settings"])
TEXTS = st.text() | JSON.map(str) | st.dictionaries(NAMES | st.text(), JSON, max_size=4).map(yaml.safe_dump)


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(key=NAMES | st.text() | st.none(), text=TEXTS)
def test_anything_is_refused_or_can_be_written_down_and_read_again(
    key: str | None, text: str, tmp_path: Path
) -> None:
    """As an argument, or without a key as a file."""
    path = tmp_path / "f.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        config = load_config([f"config={path}" if key is None else f"{key}={text}"])
    except UserError as error:
        assert str(error).isprintable()
    else:
        save_config(config, path)
        again = load_config([f"config={path}", f"run_dir={config.run_dir or ''}"])
        assert repr(flat(asdict(again))) == repr(flat(asdict(config)))  # nan is nan; an empty mapping is lost
