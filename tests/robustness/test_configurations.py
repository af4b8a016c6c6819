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

    before = signal.signal(signal.SIGALRM, give_up)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
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


def answer(door: Callable[[], object]) -> str:
    """What comes out: the one line of a refusal, empty where it is let in."""
    with bounds():
        try:
            door()
        except UserError as error:
            message = str(error)
            assert message.isprintable() and 0 < len(message) < 1000
            return message
    return ""


def nested(depth: int, left: str = "[", right: str = "]") -> str:
    return left * depth + right * depth


def laughs(levels: int, width: int = 10) -> str:
    """Aliases that multiply."""
    lines = ["a0: &a0 lol"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def references(levels: int, width: int = 2) -> str:
    """Interpolations that multiply."""
    lines = [f"  k{n}: '{f'${{trainer.k{n - 1}}}' * width}'" for n in range(1, levels)]
    return "\n".join(["trainer:", "  k0: lol", *lines])


def indented(depth: int) -> str:
    return "\n".join(" " * n + "a:" for n in range(depth))


HUGE = "9" * 5000

VALUES = [
    nested(500), nested(5000), nested(100_000), nested(600, "{a: ", "}"), "[" * 60_000, "{" * 60_000,
    "- " * 5000, HUGE, f"-{HUGE}", f"0x{'f' * 5000}", f"0b{'1' * 20_000}", f"1{'_0' * 5000}",
    "1" + ":59" * 3000, "0b_", "0x_", "1e999", ".inf", "-.inf", ".nan", "1e-999", "???", "~", "yes", "on",
    "2020-01-01", "12:30:45", "0o17", "017", "!!omap [a: 1]", "!!set {a}", "!!pairs [a: 1]", "!!binary aGk=",
    "!!binary é", "!!timestamp x", "!!int x", "!!float x", "!!bool maybe", "!!null x", "!!python/none x",
    "!!python/object/apply:os.system [touch canary]", "!!python/object/new:os.system [touch canary]",
    "!!python/name:os.system", "!!python/module:antigravity",
    "!!python/object/apply:subprocess.Popen [[touch, canary]]", "!!python/object/apply:pathlib.Path [x]",
    "!mine x", "!<tag:x> y", "! x", "!!str 1", "*a", "&a [*a]", "&a {b: *a}", "&a [&b [*a]]",
    "[&a [x,x,x,x,x,x,x,x],&b [*a,*a,*a,*a,*a,*a,*a,*a],&c [*b,*b,*b,*b,*b,*b,*b],[*c,*c,*c,*c,*c,*c]]",
    "${seed}", "${trainer}", "${trainer.x}", "${nowhere}", "${oc.env:NOWHERE}", "${oc.env:HOME}",
    "${oc.create:'[[['}", "${oc.decode:x}", "${nobody:1}", "${", "${}", nested(300, "${", "}"),
    f"${{oc.env:N,{nested(3000)}}}", "\\${seed}", "$" * 1000, "{1: 2}", "{[1]: 2}", "{null: 2}", "{true: 2}",
    "{'': 2}", "{a.b: 2}", "{'a[': 2}", "[", "]", "}", "'", '"', "|", ">", "%", "@", "`", "# x", "---",
    "--- a\n--- b", "...", "a: b: c", "? a", "<<: 1", "{a: 1, a: 2}", '"\\0"', '"\\ud800"',
    '"\\ud83d\\ude00"', '"\\x1b[31m"', "x" * 100_000, "é\u2028\u202e", "\t",
]  # fmt: skip
"""Values in YAML, each put in the place of a number, a text, a list, and below a mapping."""

KEYS = ("seed", "instructions.correct", "evaluation.tasks", "trainer.x", "trainer", "method")

FILES: list[str | bytes] = [
    *(f"seed: {value}" for value in VALUES), *(f"trainer: {{x: {value}}}" for value in VALUES), *VALUES, b"",
    b"\0", b"\xff\xfe", b"\xef\xbb\xbfseed: 1", "seed: 1".encode("utf-16"), random.Random(1).randbytes(1000),
    b"\x80" * 1000, "# nothing", "seed 1", "- seed", "seed: 1\nseed: 2", "x" * 300_000, "\n" * 300_000,
    "a:\n" * 50_000, "- " * 90_000, "".join(f"k{n}: {n}\n" for n in range(15_000)), "%TAG !a! x\n" * 15_000,
    "&a " * 60_000, "? " * 90_000, "[x, " * 40_000, indented(60), indented(400), laughs(5), laughs(9),
    laughs(12, 2), laughs(30, 2), references(5), references(12), references(40), references(6, 8),
    references(300, 1), "a: &a {b: *a}", "seed: ${task.seed}\ntask: {seed: '${seed}'}",
    "trainer: {a: '${trainer}'}", "trainer: {a: ['${trainer.a}']}",
    f"trainer: {{k: 1, a: '{'${trainer.k}' * 8}{'x' * 190_000}', b: '{'${trainer.a}' * 7}'}}", "files: 3",
    "files: [tiny]", "files: {model: null}", "files: {model: [tiny]}", "files: {model: ../../etc/passwd}",
    "files: {task: 3, method: {a: b}}", "files: {1: 2}", "files: {model: '\0'}", "method: {name: 3}",
    "method: []", "method: {name: [a]}", "method: {name: null}", "method: {1: 2}", "relabel: {name: null}",
    "feedback: {name: 1}", f"trainer: {{{'a.' * 1000}b: 1}}", f"task.settings.{'a.' * 90}b: 1", "trainer.: 1",
    "trainer..x: 1", "'': 1", "trainer.a[b: 1", "trainer.a[0]: 1", "trainer[x]: 1",
    "trainer: {max_epochs: {x: 1}}", "trainer.max_epochs.x: 1", f"{'x' * 1000}: 1", "run_dir: '\0'",
    'run_dir: "\\0"', 'task: {data_dir: "a\\0b"}', "resume: x", "config: x",
]  # fmt: skip

ARGUMENTS = [
    *(f"{key}={value}" for key in KEYS for value in VALUES if len(value) < 120_000), "config=", "config=.",
    "config=/dev/zero", "config=/dev/stdin", "config=/proc/self/mem", "config=/etc/passwd",
    f"config={'x' * 300}", f"config={'x/' * 3000}", "config=a\0b", "resume=", "resume=.", "resume=/dev/null",
    f"resume={'x' * 300}", "resume=a\0b", "experiment=", "experiment=../config", "model=..", "task=",
    "method=", "method=..", "method=a..b", f"method={'a.' * 90}", "method=a.\0", "sampling=\udcff", "=", "--",
    "-", "a", "=x", f"trainer.{'a.' * 50_000}b=1", f"trainer.{'x' * 60_000}=1", f"{'x' * 60_000}=1",
    "trainer.=1", "trainer..=1", "trainer.[=1", "trainer.]=1", "trainer.\0=1", "instructions.correct=\udc80",
    "evaluation.tasks=[a,\udc80]", "trainer.x=\udc80", "seed=\udc80", f"run_dir={'x' * 300}",
    f"task.data_dir={'x' * 5000}",
]  # fmt: skip

SWEEP = "program: train.py\nmethod: {method}\nmetric: {{name: val/accuracy}}\nparameters: {{{parameters}}}\n"

SWEEPS = [
    *(f"{SWEEP.format(method='random', parameters='seed: {value: 1}')}\nrun_cap: {value}" for value in VALUES[::3]),
    *(SWEEP.format(method="grid", parameters=f"trainer.x: {value}") for value in VALUES[1::3]),
    *(SWEEP.format(method="grid", parameters=f"trainer.x: {{values: {value}}}") for value in VALUES[2::3]),
    *(SWEEP.format(method="grid", parameters=text) for text in (
        ", ".join(f"trainer.x{n}: {{values: [0,1,2,3,4,5,6,7,8]}}" for n in range(10)),
        ", ".join(f"trainer.x{n}: {{min: 0, max: 999}}" for n in range(3)),
        "seed: {min: 0, max: 1000000000000}", f"seed: {{min: 0, max: 1{'0' * 30}}}",
        f"seed: {{min: 0, max: 1{'0' * 400}}}", "seed: {min: 3, max: 1}", "seed: {min: .nan, max: 1}",
        "seed: {min: 0, max: .inf}", "seed: {values: []}", "seed: {values: {}}", "seed: {values: 1}",
        "seed: null", "seed: []", "1: {value: 1}", "'': {value: 1}", "a=b: {value: 1}", "",
        "seed: {distribution: q_uniform, min: 0, max: 9, q: 0}", "seed: {distribution: [], value: 1}",
        "seed: {distribution: q_uniform, min: 0, max: 1, q: 1e-300}", "task: {value: '\\0'}",
        "x.y: {value: 1}",
    )),
    *(SWEEP.format(method="random", parameters=text) + "run_cap: 3" for text in (
        "training.lr: {min: .nan, max: 1}", "training.lr: {min: 0, max: .inf}",
        "training.lr: {min: 1e308, max: -1}",
        "training.lr: {distribution: log_uniform_values, min: 0, max: 1}", "seed: {min: 0, max: 1e30}",
    )),
    *(SWEEP.format(method="random", parameters="seed: {min: 1, max: 9}") + text for text in (
        "run_cap: 1000000000000", "run_cap: 0", "run_cap: -1", "command: 5", "command: {a: b}",
        "command: [[a]]", "run_cap: 2\nearly_terminate: {type: hyperband, min_iter: 0}",
        "run_cap: 2\nearly_terminate: {type: hyperband, min_iter: 1, eta: 0}",
        f"run_cap: 2\nearly_terminate: {{type: hyperband, min_iter: 1{'0' * 30}}}",
    )),
    "", "[]", "{}", "x", "program: other.py", "parameters: {}", laughs(9), laughs(30, 2), indented(500),
    nested(9000),
]  # fmt: skip

VARIANTS = [
    *(f"x: {value}" for value in VALUES[::2]), *(f"x: {{trainer.x: {value}}}" for value in VALUES[1::2]), "",
    "[]", "x", "1: {2: 3}", "x: {seed: 1}", f"{'x' * 300}: {{method.alpha: 0}}", "x: {method.alpha: [[[]]]}",
    "/etc: {method.alpha: 1}", "..: {method.alpha: 1}", "a: null\n'a ': null", laughs(9), indented(500),
    nested(9000), "".join(f"v{n}: {{method.alpha: {n}}}\n" for n in range(20_000)),
]  # fmt: skip

COMPARISONS = [
    "seeds=999999999", f"seeds={HUGE}", f"seeds=1,{HUGE}", "seeds=0", "seeds=", "seeds=-1", "seeds=,",
    "seeds=\u0663", "jobs=999999999", f"jobs={HUGE}", "jobs=.inf", "reach=.nan", "reach=1e999", "out=${x}",
    "out=???", "out=a\0b", f"tasks={'a,' * 50_000}", f"methods={'hir,' * 50_000}", "tasks=", "methods=",
    "methods=../..", "tasks=/etc/passwd", f"tasks={'x' * 300}", f"instructions.correct={'x' * 300},y",
    f"training.lr={'1,' * 50_000}", "variants=/dev/zero", "variants=", f"variants={'x' * 300}", "variants=.",
    f"trainer.{'a.' * 5000}=1,2", "config=/dev/zero", "=", "seed=1", "training.lr=1e999", "trainer.x=[[[[",
    f"trainer.x={nested(50_000)}", "trainer.x={1: 2}", "--", "a", "out=",
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

CASES = [(kind, number) for kind, (cases, _) in DOORS.items() for number in range(len(cases))]


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_one_line_or_let_in(kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, door = DOORS[kind]
    case = cases[number]
    monkeypatch.chdir(tmp_path)
    if kind in ("file", "sweep", "variants"):
        (tmp_path / "f.yaml").write_bytes(case if isinstance(case, bytes) else case.encode())
        case = tmp_path / "f.yaml"
    answer(lambda: door(case))
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
NAMES = st.sampled_from(
    [*KEYS, "files", "training", "training.lr", "relabel", "feedback.name", "task.settings"]
)
TREES = st.dictionaries(NAMES | st.text(), JSON, max_size=4).map(
    lambda tree: yaml.safe_dump(tree, allow_unicode=True)
)
ANYTHING = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


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
