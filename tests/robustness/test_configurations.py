"""Configurations, arguments, sweep files, variants and comparisons that are broken, or made to do harm.

Each is read, or refused in one line, in seconds and 500 MB.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hir.config.load import flat, load_config, save_config
from hir.errors import UserError
from hir.tools import compare, runs, sweep
from hir.tools.arguments import read_options
from hir.training.settings import load_run_config
from tests.command_line import run

MEMORY, SECONDS = 500_000_000, 30
"""Bounds of a case; the seconds are many, for a machine may be busy."""


@contextmanager
def bounds() -> Iterator[None]:
    """Ends what hangs or eats memory."""

    def give_up(*_: Any) -> None:
        raise AssertionError(f"nothing in {SECONDS} s")

    before, (soft, hard) = signal.signal(signal.SIGALRM, give_up), resource.getrlimit(resource.RLIMIT_AS)
    signal.alarm(SECONDS)
    try:
        if sys.platform == "linux":
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def nested(depth: int, left: str = "[", right: str = "]") -> str:
    return left * depth + right * depth


def laughs(levels: int, width: int) -> str:
    """Aliases that multiply."""
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(["a0: &a0 lol", *lines])


def references(levels: int, width: int) -> str:
    """Interpolations that multiply."""
    lines = [f"  k{n}: '{f'${{trainer.k{n - 1}}}' * width}'" for n in range(1, levels)]
    return "\n".join(["trainer:", "  k0: lol", *lines])


HUGE, DEEP = "9" * 5000, "\n".join(" " * n + "a:" for n in range(400))

VALUES = [
    *"""1e999 .inf -.inf .nan 1e-999 0b_ 0x_ 017 0o17 ??? ~ yes 2020-01-01 12:30:45 *a [ ] } ' " | > % @ `
    --- ... !!float ! {} ${ ${} ${seed} ${trainer} ${trainer.x} ${nowhere} ${oc.env:NOWHERE} ${oc.env:HOME}
    ${nobody:1} ${oc.decode:x} ${oc.create:'[['} \\${seed} <<: {1:2} {[1]:2} {null:2} {'':2}""".split(),
    nested(500), nested(5000), nested(100_000), nested(600, "{a: ", "}"), "[" * 60_000, "{" * 60_000,
    "- " * 5000, HUGE, f"-{HUGE}", f"0x{'f' * 5000}", f"0b{'1' * 20_000}", f"1{'_0' * 5000}",
    "1" + ":59" * 3000, "!!omap [a: 1]", "!!set {a}", "!!pairs [a: 1]", "!!binary aGk=", "!!binary é",
    "!!timestamp x", "!!int x", "!!bool maybe", "!!null x", "!!python/none x",
    "!!python/object/apply:os.system [touch canary]", "!!python/object/new:os.system [touch canary]",
    "!!python/name:os.system", "!!python/module:antigravity", "!!python/object/apply:pathlib.Path [x]",
    "!mine x", "!<tag:x> y", "!!str 1", "&a [*a]", "&a {b: *a}",
    "[&a [x,x,x,x,x,x,x,x],&b [*a,*a,*a,*a,*a,*a,*a,*a],&c [*b,*b,*b,*b,*b,*b,*b],[*c,*c,*c,*c,*c,*c]]",
    nested(300, "${", "}"), f"${{oc.env:N,{nested(3000)}}}", "$" * 1000, "{'a[': 2}", "--- a\n--- b",
    "a: b: c", "? a", "{a: 1, a: 2}", '"\\0"', '"\\ud800"', '"\\x1b[31m"', "x" * 100_000, "é\u2028\u202e",
]  # fmt: skip
"""Values in YAML, each put in the place of a number, a text, a list, and of a mapping and below it."""

KEYS = ("seed", "instructions.correct", "evaluation.tasks", "trainer.x", "trainer", "method")

FILES: list[str | bytes] = [
    *(f"seed: {value}" for value in VALUES), *(f"trainer: {{x: {value}}}" for value in VALUES), *VALUES, DEEP,
    b"", b"\0", b"\xef\xbb\xbfseed: 1", "seed: 1".encode("utf-16"), random.Random(1).randbytes(1000),
    "# nothing", "seed 1", "- seed", "x" * 300_000, "\n" * 300_000, "a:\n" * 50_000, "- " * 90_000,
    "%TAG !a! x\n" * 15_000, "&a " * 60_000, "? " * 90_000, "[x, " * 40_000, laughs(5, 10), laughs(9, 10),
    laughs(30, 2), references(5, 2), references(12, 2), references(40, 2), references(6, 8),
    "seed: ${task.seed}\ntask: {seed: '${seed}'}",
    f"trainer: {{k: 1, a: '{'${trainer.k}' * 8}{'x' * 190_000}', b: '{'${trainer.a}' * 7}'}}", "files: 3",
    "trainer: {a: ['${trainer.a}']}", "files: {model: null}", "files: {model: [tiny]}", "files: {1: 2}",
    "files: {model: ../../etc/passwd}", "files: {task: 3, method: {a: b}}", "method: {name: 3}", "method: []",
    "method: {name: [a]}", "method: {name: null}", "relabel: {name: null}", "feedback: {name: 1}",
    "config: x", f"trainer: {{{'a.' * 1000}b: 1}}", f"task.settings.{'a.' * 90}b: 1", "trainer.: 1",
    "trainer..x: 1", "'': 1", "trainer.a[b: 1", "trainer.a[0]: 1", "trainer[x]: 1", "trainer.max_epochs.x: 1",
    f"{'x' * 1000}: 1", 'run_dir: "\\0"', 'task: {data_dir: "a\\0b"}', f"task: {{data_dir: {'x' * 300}}}",
]  # fmt: skip

ARGUMENTS = [
    *(f"{key}={value}" for key in KEYS for value in VALUES if len(value) < 120_000), "=", "--", "-", "a",
    *(f"config={path}" for path in ("", ".", "/dev/zero", "/dev/tty", "/etc/passwd", "x" * 300, "x/" * 3000)),
    *(f"resume={path}" for path in ("", ".", "/dev/zero", "x" * 300, "a\0b")),
    "experiment=", "model=..", "task=", "experiment=../config", "method=", "method=..", "method=a..b",
    f"method={'a.' * 90}", "method=a.\0", f"trainer.{'a.' * 50_000}b=1", f"trainer.{'x' * 60_000}=1",
    f"{'x' * 60_000}=1", "trainer.=1", "trainer..=1", "trainer.[=1", "trainer.]=1", "trainer.\0=1",
    "evaluation.tasks=[a,\udc80]", f"run_dir={'x/' * 3000}", *(f"{key}=\udc80" for key in KEYS),
]  # fmt: skip

SWEEP = "program: train.py\nmethod: {}\nmetric: {{name: val/accuracy}}\nparameters: {{{}}}\n"
GRIDS = [
    *VALUES[1::3], *(f"{{values: {value}}}" for value in VALUES[2::3]), "{min: 0, max: 1000000000000}", "[]",
    f"{{min: 0, max: 1{'0' * 30}}}", f"{{min: 0, max: 1{'0' * 400}}}", "{min: 3, max: 1}",
    "{min: .nan, max: 1}", "{min: 0, max: .inf}", "{values: []}", "{values: {}}", "{values: 1}", "null",
    "{distribution: [], value: 1}", "{distribution: q_uniform, min: 0, max: 9, q: 0}",
    "{distribution: q_uniform, min: 0, max: 1, q: 1e-300}",
    ", ".join(["{values: [0,1,2,3,4,5,6,7,8]}", *(f"x{n}: {{min: 0, max: 8}}" for n in range(9))]),
]  # fmt: skip
DRAWS = [
    *(f"run_cap: {value}" for value in (*VALUES[::3], 10**12, 0, -1)), "command: 5", "command: {a: b}",
    "run_cap: 2\nearly_terminate: {type: hyperband, min_iter: 0}",
    "run_cap: 2\nearly_terminate: {type: hyperband, min_iter: 1, eta: 0}",
    f"run_cap: 2\nearly_terminate: {{type: hyperband, min_iter: 1{'0' * 30}}}",
]  # fmt: skip
SWEEPS = [
    *(SWEEP.format("grid", f"trainer.x: {text}") for text in GRIDS),
    *(SWEEP.format("grid", text) for text in ("1: {value: 1}", "'': {value: 1}", "a=b: {value: 1}", "", "x")),
    *(SWEEP.format("random", "seed: {min: 1, max: 9}") + text for text in DRAWS),
    *(SWEEP.format("random", f"training.lr: {text}") + "run_cap: 3" for text in GRIDS[-12:]), "", "[]",
    "{}", "x", "program: other.py", "parameters: {}", laughs(9, 10), laughs(30, 2), DEEP, nested(9000),
]  # fmt: skip

VARIANTS = [
    *(f"x: {value}" for value in VALUES[::2]), *(f"x: {{trainer.x: {value}}}" for value in VALUES[1::2]), "",
    "[]", "x", "1: {2: 3}", "x: {seed: 1}", f"{'x' * 300}: {{method.alpha: 0}}", "/etc: {method.alpha: 1}",
    DEEP, "a: null\n'a ': null", laughs(9, 10),
    "".join(f"v{n}: {{method.alpha: {n}}}\n" for n in range(20_000)),
]  # fmt: skip

COMPARISONS = [
    *"""seeds=999999999 seeds=0 seeds= seeds=-1 seeds=, seeds=\u0663 jobs=999999999 jobs=.inf reach=.nan out=
    -- = reach=1e999 out=${x} out=??? tasks= methods= methods=../.. variants=/dev/zero variants= variants=.
    seed=1 a config=/dev/zero training.lr=1e999 trainer.x=[[[[ trainer.x={1:2} tasks=/etc/passwd""".split(),
    "out=a\0b", f"seeds={HUGE}", f"seeds=1,{HUGE}", f"jobs={HUGE}", f"tasks={'a,' * 50_000}",
    f"methods={'hir,' * 50_000}", f"tasks={'x' * 300}", f"instructions.correct={'x' * 300},y",
    f"training.lr={'1,' * 50_000}", f"variants={'x' * 300}", f"trainer.{'a.' * 5000}=1,2",
    f"trainer.x={nested(50_000)}",
]  # fmt: skip


def sweep_of(path: Path) -> None:
    sweep.Sweep(*read_options(sweep.Options, [str(path)], takes_settings=True))


def cells_of(*arguments: str) -> None:
    options, of_train = read_options(compare.Options, ["out=o", "seeds=2", *arguments], takes_settings=True)
    runs.slots(options.jobs, compare.build_cells(options, of_train))


DOORS: dict[str, tuple[list[Any], Callable[[Any], object]]] = {
    "file": (FILES, lambda path: load_run_config([f"config={path}"])),
    "argument": (ARGUMENTS, lambda argument: load_run_config([argument])),
    "sweep": (SWEEPS, sweep_of),
    "variants": (VARIANTS, lambda path: cells_of(f"variants={path}")),
    "compare": (COMPARISONS, cells_of),
}
"""Cases and what takes each: its file, or itself."""


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind in DOORS for n in range(len(DOORS[kind][0]))]
)
def test_one_line_or_let_in(kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, door = DOORS[kind]
    case = cases[number]
    monkeypatch.chdir(tmp_path)
    if kind in ("file", "sweep", "variants"):
        (tmp_path / "f.yaml").write_bytes(case if isinstance(case, bytes) else case.encode())
        case = tmp_path / "f.yaml"
    with bounds():
        try:
            door(case)
        except UserError as error:
            assert str(error).isprintable() and 0 < len(str(error)) < 1000
    assert {path.name for path in tmp_path.iterdir()} <= {"f.yaml"}  # nothing ran, nothing was written


@pytest.mark.parametrize("argument", ["config=FILE", f"trainer={'[' * 100_000}", f"seed={HUGE}"])
def test_the_command_line_ends_with_2(argument: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(f"trainer: {nested(50_000)}")
    done = run(environment, argument.replace("FILE", str(tmp_path / "f.yaml")))
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


# Whatever it is

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from([*KEYS, "files", "training", "training.lr", "feedback.name", "task.settings"])
TREES = st.dictionaries(NAMES | st.text(), JSON, max_size=4).map(yaml.safe_dump)
ANYTHING = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])


def said_or_kept(argument: str, folder: Path) -> None:
    """A configuration that is let in can be written down and read again."""
    try:
        config = load_config([argument])
    except UserError as error:
        assert str(error).isprintable()
    else:
        save_config(config, folder / "kept.yaml")
        again = load_config([f"config={folder / 'kept.yaml'}", f"run_dir={config.run_dir or ''}"])
        assert repr(flat(asdict(again))) == repr(flat(asdict(config)))  # nan is nan; an empty mapping is lost


@ANYTHING
@given(text=st.text() | TREES)
def test_any_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(text.encode(errors="surrogatepass"))
    said_or_kept(f"config={tmp_path / 'f.yaml'}", tmp_path)


@ANYTHING
@given(key=NAMES | st.text(), text=st.text() | TREES | JSON.map(str))
def test_any_argument(key: str, text: str, tmp_path: Path) -> None:
    said_or_kept(f"{key}={text}", tmp_path)
