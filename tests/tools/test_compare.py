"""hir/compare: the grid, the numbers by hand, and real runs small enough to take seconds each."""

from __future__ import annotations

import fcntl
import json
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hir.config.load import load_config, save_config
from hir.errors import UserError
from hir.tools.compare.__main__ import main
from hir.tools.compare.grid import Cell, budget_warnings, parse_arguments, parse_seeds
from hir.tools.compare.report import chart
from hir.tools.compare.results import (
    Reached,
    aggregate,
    area,
    first_reached,
    interval,
    median_reached,
    paired_differences,
    read_result,
    t_quantile,
)
from hir.tools.compare.runner import _stop, is_finished, log_file, slots, stuck
from tests.command_line import ROOT, SMALL

# Numbers


@pytest.mark.parametrize(
    ("df", "t"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (30, 2.042), (120, 1.980)]
)
def test_t_quantile_is_that_of_the_tables(df: int, t: float) -> None:
    assert t_quantile(df) == pytest.approx(t, abs=5e-4)


def test_interval_is_t_times_the_standard_error() -> None:
    # Mean 0.9, standard deviation 0.1: 4.3027 x 0.1 / sqrt(3).
    assert interval([0.8, 0.9, 1.0]) == pytest.approx(0.24841, abs=1e-5)
    assert interval([0.5, 0.5]) == 0
    assert interval([0.7]) is None


def test_area_is_the_mean_height_over_samples() -> None:
    # 100 samples at 0.4 on average, then 200 at 0.8.
    assert area([(0, 0.2), (100, 0.6), (300, 1.0)]) == pytest.approx(200 / 300)
    assert area([(0, 0.2)]) is None


HISTORY = [
    {"iteration": 0, "samples": 0, "updates": 0, "seconds": 0.0, "val/accuracy": 0.2},
    {"iteration": 1, "samples": 100, "updates": 5, "seconds": 2.5, "val/accuracy": 0.9},
    {"iteration": 2, "samples": 200, "updates": 10, "seconds": 4.0},
    {"iteration": 3, "samples": 300, "updates": 15, "seconds": 6.0, "val/accuracy": 0.8},
    {"iteration": 4, "samples": 400, "updates": 20, "seconds": 8.5, "val/accuracy": 1.0},
]


def test_first_reached_is_the_first_evaluation_at_or_above() -> None:
    assert first_reached(HISTORY, 0.9) == Reached(100, 5, 2.5)
    assert first_reached(HISTORY, 0.95) == Reached(400, 20, 8.5)
    assert first_reached(HISTORY, 0.1) == Reached(0, 0, 0.0)
    assert first_reached(HISTORY[:1], 0.9) is None


def test_a_run_that_did_not_get_there_counts_as_later_than_all_others() -> None:
    early, late = Reached(100, 5, 2.0), Reached(400, 20, 8.0)
    assert median_reached([None, late, early]) == late
    assert median_reached([early, late]) == Reached(250, 12.5, 5.0)
    assert median_reached([early, None]) is None


# Grid


def test_grid_is_the_product_of_tasks_methods_values_and_seeds() -> None:
    arguments = [
        "tasks=object_counting,word_sorting",
        "seeds=2",
        "method.alpha=0,1",
        "training.lr=1e-3",
        "out=o",
    ]
    cells = parse_arguments(arguments).cells
    assert len(cells) == 2 * 2 * 2
    assert [cell.seed for cell in cells] == [1] * 4 + [2] * 4
    assert cells[1].folder == Path("o/object_counting/hir/method.alpha=1/seed1")
    assert cells[1].arm == ("object_counting", "hir, method.alpha=1")
    assert cells[1].arguments == (
        "task=object_counting", "method=hir", "method.alpha=1", "training.lr=1e-3", "seed=1",
    )  # fmt: skip
    assert cells[1].config.method.alpha == 1 and cells[1].config.training.lr == 1e-3


def test_lists_mappings_and_sentences_are_one_value() -> None:
    arguments = [
        "seeds=7,",
        "evaluation.tasks=word_sorting,mine",
        "task.settings={max_answer: 5, max_items: 3}",
        "instructions.wrong=Solve it, wrongly.",
        "out=o",
    ]
    (cell,) = parse_arguments(arguments).cells
    assert cell.folder == Path("o/object_counting/hir/seed7")
    assert cell.config.evaluation.tasks == ["word_sorting", "mine"]
    assert cell.config.instructions.wrong == "Solve it, wrongly."


def test_variants_change_several_keys_by_name(tmp_path: Path) -> None:
    file = tmp_path / "variants.yaml"
    file.write_text("default: {}\nno contrast: {method.alpha: 0, buffer.max_wrong_fraction: null}\n")
    default, bare = parse_arguments(["seeds=1", f"variants={file}", "out=o"]).cells
    assert default.config == load_config(["seed=1"])
    assert bare.arm == ("object_counting", "hir, no contrast")
    assert bare.folder == Path("o/object_counting/hir/no_contrast/seed1")
    assert (bare.config.method.alpha, bare.config.buffer.max_wrong_fraction) == (0, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {task.data_dir: 2024-01-01}", "task.data_dir holds what is no value of train.py"),
        ("a: {task.data_dir: 2024-13-01}", "cannot be read: month must be in 1..12"),
        ("a: {task.settings: &x [*x]}", "task.settings holds what is no value of train.py"),
        ("a: {1: 2}", "unknown key 1"),
        ("[a]", "must map names to settings"),
    ],
)
def test_odd_variants_are_a_line_each(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "variants.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        parse_arguments(["seeds=1", f"variants={file}", "out=o"])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_seeds_are_a_number_or_a_list() -> None:
    assert parse_seeds("3") == [1, 2, 3]
    assert parse_seeds("3,7,9") == [3, 7, 9]
    assert parse_seeds("7,") == [7]
    for text in ("", "0", "a", "1..5", "-1", "1,,2"):
        with pytest.raises(UserError, match="seeds must be"):
            parse_seeds(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seeds=1"], "out=DIR is missing"),
        (["out=o", "method.alhpa=1"], "did you mean method.alpha?"),
        (["out=o", "taks=a"], "did you mean tasks?"),
        (["out=o", "seeds"], "'seeds' is not key=value"),
        (["out=o", "method=hir"], "use methods="),
        (["out=o", "methods=hir,hri"], "unknown method 'hri'"),
        (["out=o", "methods=hir,hir"], "two runs would lie in o/object_counting/hir/seed1"),
        (["out=o", "method.alpha=0,x"], "method.alpha must be a number, not 'x'"),
        (["out=o", "jobs=0"], "jobs must be an integer of at least 1"),
        (["out=o", "reach=90"], "reach must be an accuracy"),
        (["out=o", "variants=nowhere.yaml"], "variants=nowhere.yaml cannot be read"),
    ],
)
def test_mistakes_exit_2_with_one_line_and_leave_nothing(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1 and words in message
    assert not any(tmp_path.iterdir())


def test_different_budgets_are_one_warning_that_names_them() -> None:
    shared = [
        "seeds=2",
        "sampling.max_queries=10",
        "training.num_updates=3",
        "training.batch_size=8",
        "out=o",
    ]
    cells = parse_arguments([*shared, "sampling.num_samples=2,4"]).cells
    assert budget_warnings(cells) == [
        "object_counting: budgets differ, so this is no fair comparison: samples an iteration "
        "20 (hir, sampling.num_samples=2), 40 (hir, sampling.num_samples=4)"
    ]
    equal = parse_arguments([*shared, "method.alpha=0,1"]).cells
    assert budget_warnings(equal) == []
    assert budget_warnings([equal[0], replace(cells[0], method="none")]) == []


def test_runs_share_gpus_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = parse_arguments(["seeds=1", "trainer.accelerator=auto", "out=o"]).cells
    on_cpu = parse_arguments(["seeds=1", "out=o"]).cells
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def shares(jobs: int | None, cells: tuple[Cell, ...]) -> list[tuple[str, str]]:
        return [(slot["CUDA_VISIBLE_DEVICES"], slot["OMP_NUM_THREADS"]) for slot in slots(jobs, cells)]

    assert shares(None, on_gpu) == [("2", "2"), ("5", "2"), ("7", "2")]
    assert shares(2, on_gpu) == [("2,7", "4"), ("5", "4")]
    assert shares(4, on_gpu) == [("2", "2"), ("5", "2"), ("7", "2"), ("2", "2")]
    assert shares(None, on_cpu) == [("2,5,7", "1")] * 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trainer.num_nodes=2"], "trainer.num_nodes=2: runs are started on this machine alone"),
        (["trainer.devices=2", "jobs=2"], "jobs=2 x trainer.devices=2 is more than the 3 GPUs there are"),
        (["trainer.devices=4"], "jobs=1 x trainer.devices=4 is more than the 3 GPUs there are"),
    ],
)
def test_what_this_machine_cannot_run_is_refused_before_anything_starts(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    arguments = ["seeds=1", "trainer.accelerator=auto", *arguments, f"out={tmp_path / 'out'}"]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {words}") and message.count("\n") == 1
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    if "num_nodes" not in words:
        assert slots(None, parse_arguments(arguments).cells)
    (cell,) = parse_arguments(arguments).cells
    make_up(cell, 0.5, [0.5, 0.5])  # a run made elsewhere, whose results are collected here
    assert main(arguments) == 0


# Results of made-up runs


def make_up(cell: Cell, test: float, accuracies: list[float]) -> None:
    """The folder of a finished run with these validation accuracies, 10 samples and 2 updates each."""
    cell.folder.mkdir(parents=True)
    save_config(cell.config, cell.folder / "config.yaml")
    rows = [f"{i},{10 * i},{2 * i},{3 * i},{value},0.25" for i, value in enumerate(accuracies)]
    (cell.folder / "metrics.csv").write_text(
        "\n".join(["iteration,samples,updates,seconds,val/accuracy,val/accuracy_p_wrong", *rows, ""])
    )
    summary = {
        "iterations": cell.config.trainer["max_epochs"],
        "base": {"accuracy": 0.5},
        "test": {"accuracy": test},
        "seconds": {"total": 9.0, "sampling": 2.0, "training": 4.0},
        "samples": 10 * (len(accuracies) - 1),
        "updates": 2 * (len(accuracies) - 1),
    }
    (cell.folder / "summary.json").write_text(json.dumps(summary))


def test_results_are_those_worked_out_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["seeds=3", "method.alpha=0,1", "reach=0.8", f"out={tmp_path / 'out'}"]
    cells = parse_arguments(arguments).cells
    for cell, test in zip(cells[::2], [0.8, 0.9, 1.0], strict=True):
        make_up(cell, test, [0.5, 0.7, 0.9])
    for cell, last in zip(cells[1::2], [0.8, 0.5, 0.6], strict=True):
        make_up(cell, 0.5, [0.5, 0.5, last])
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("nothing left to do\n") and printed.err == ""
    assert "hir, method.alpha=0 3/3 done 0.500 0.900 ± 0.248 20 0.700" in " ".join(printed.out.split())
    table = [line for line in (tmp_path / "out/results.md").read_text().splitlines() if line.startswith("| ")]
    assert table[2:] == [
        "| hir, method.alpha=0 | 3 | 0.500 | 0.900 ± 0.248 |  | 20 | 4 | 6 | 0.700 | 0.250 | 20 | 4 | 6 |",
        # Areas (0.5 + 0.65) / 2, 0.5 and (0.5 + 0.55) / 2; one of three got there, so the median did not.
        # Differences -0.3, -0.4 and -0.5, whose deviation is 0.1: 4.303 x 0.1 / sqrt(3) = 0.248.
        "| hir, method.alpha=1 | 3 | 0.500 | 0.500 ± 0.000 | -0.400 ± 0.248 | – (1 of 3) | – | – "
        "| 0.533 | 0.250 | 20 | 4 | 6 |",
    ]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert len(results["cells"]) == 6 and results["arguments"] == arguments
    assert results["cells"][0]["curve"] == [[0, 0.5], [10, 0.7], [20, 0.9]]
    first, second = results["aggregates"]
    assert second["num_reached"] == 1
    assert first["difference"] is None and second["difference"] == pytest.approx(-0.4)
    assert (tmp_path / "out/accuracy_object_counting.png").read_bytes().startswith(b"\x89PNG")


def test_differences_are_between_the_same_seeds(tmp_path: Path) -> None:
    first, second = (
        parse_arguments([f"seeds={seeds}", f"out={tmp_path / name}"]).cells
        for seeds, name in (("1,2,3", "first"), ("1,3", "second"))
    )
    for cell, test in zip((*first, *second), (0.8, 0.9, 1.0, 0.5, 0.6), strict=True):
        make_up(cell, test, [0.5, 0.5])
    against, results = ([read_result(cell, 0.9) for cell in cells] for cells in (first, second))
    # 0.5 - 0.8 of seed 1 and 0.6 - 1.0 of seed 3; pairs by place, 0.6 - 0.9, would give a mean of -0.3.
    assert paired_differences(results, against) == pytest.approx([-0.3, -0.4])
    assert paired_differences(against, results) == pytest.approx([0.3, 0.4])
    assert aggregate(("object_counting", "hir"), results, against).difference == pytest.approx(-0.35)


def charted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes that are drawn from now on."""
    from matplotlib.figure import Figure

    drawn, original = [], Figure.add_subplot

    def add_subplot(figure: Any, *args: Any) -> Any:
        drawn.append(original(figure, *args))
        return drawn[-1]

    monkeypatch.setattr(Figure, "add_subplot", add_subplot)
    return drawn


def test_chart_tells_more_than_ten_arms_apart_and_takes_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.colors import to_hex

    (cell,) = parse_arguments(["seeds=1", f"out={tmp_path}"]).cells
    make_up(cell, 0.5, [0.5, 0.7])
    result = read_result(cell, 0.9)
    drawn = charted(monkeypatch)
    names = ["costs $a$", "half $", r"$\broken{$", *(f"arm {i}" for i in range(8))]
    assert chart("$x^$", {name: [result] for name in names}).startswith(b"\x89PNG")
    lines = drawn[0].get_lines()[:11]  # the last one is the base's
    looks = {(to_hex(line.get_color()), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == 11 and len({look[0] for look in looks}) == 10
    assert lines[0].get_linestyle() != lines[10].get_linestyle()
    legend = [text.get_text() for text in drawn[0].get_legend().get_texts()]
    assert legend[:3] == [r"costs \$a\$", r"half \$", r"\$\broken{\$"]  # which is drawn as it was


def checkpoint(cell: Cell, done: int, states: list[Any]) -> None:
    """A checkpoint after so many iterations."""
    path = cell.folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    weights = {"policy.x": torch.zeros(3)}
    torch.save({"epoch": done - 1, "optimizer_states": states, "state_dict": weights, "hir": {}}, path)


def test_a_summary_of_fewer_iterations_is_not_the_runs(tmp_path: Path) -> None:
    def finished(name: str, iterations: int, *arguments: str) -> bool:
        shared = ["seeds=1", "trainer.max_epochs=4", *arguments, f"out={tmp_path / name}"]
        (cell,) = parse_arguments(shared).cells
        make_up(cell, 0.5, [0.5] * 3)  # metrics.csv ends at iteration 2
        path = cell.folder / "summary.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"iterations": iterations}))
        return is_finished(cell)

    assert finished("whole", 4)
    assert not finished("extended", 2)  # broken off before an iteration was added
    assert finished("timed", 2, "trainer.max_time=00:00:01:00")  # which ended it
    assert not finished("extended in time", 1, "trainer.max_time=00:00:01:00")


def test_finished_weights_are_kept_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["seeds=2", "trainer.max_epochs=2", f"out={tmp_path}"]
    done, damaged = parse_arguments(arguments).cells
    for cell in (done, damaged):
        make_up(cell, 0.5, [0.5, 0.5, 0.5])
        (cell.folder / "summary.json").unlink()
        checkpoint(cell, 2, [{}])
    (damaged.folder / "checkpoints/last.ckpt").write_bytes(b"half a file")
    monkeypatch.setattr("subprocess.Popen", None)  # nothing is run
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert f"failed: {done.folder} has all 2 iterations but no summary.json of them" in printed.out
    assert f"python -m hir evaluate run={done.folder}" in printed.out
    assert f"last.ckpt cannot be read: delete {damaged.folder}" in printed.out
    assert printed.err == "error: 2 of 2 runs failed; the same command tries them again\n"
    for cell in (done, damaged):
        assert (cell.folder / "checkpoints/last.ckpt").exists() and (cell.folder / "metrics.csv").exists()
    assert main([*arguments, "commands=true"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"warning: {done.folder} has all 2 iterations")


def test_what_cannot_be_gone_on_with_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["seeds=3", "trainer.max_epochs=2", "jobs=1", f"out={tmp_path}"]
    resumed, sharded, begun = parse_arguments(arguments).cells
    for cell in (resumed, sharded, begun):
        make_up(cell, 0.5, [0.5, 0.5, 0.5])  # metrics.csv may be an iteration ahead of the checkpoint
        (cell.folder / "summary.json").unlink()
        (cell.folder / "wandb").mkdir()
    checkpoint(resumed, 1, [{}])
    checkpoint(sharded, 1, [])  # as DeepSpeed writes one
    started = []

    class Failing:
        returncode = 1

        def __init__(self, command: list[str], **kwargs: Any) -> None:
            folders = sum(cell.folder.exists() for cell in (resumed, sharded, begun))
            started.append((command[2:], folders))

        def poll(self) -> int:
            return 1

    monkeypatch.setattr("subprocess.Popen", Failing)
    assert stuck(resumed) is None and stuck(sharded) is None and stuck(begun) is None
    assert main(arguments) == 1
    capsys.readouterr()
    assert started == [
        ([f"resume={resumed.folder}"], 3),
        ([*sharded.arguments, f"run_dir={sharded.folder}"], 2),
        ([*begun.arguments, f"run_dir={begun.folder}"], 1),
    ]


def test_two_processes_do_not_run_the_same_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["seeds=1", f"out={tmp_path}"]
    (cell,) = parse_arguments(arguments).cells
    make_up(cell, 0.5, [0.5, 0.5])
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(arguments) == 2
        message = f"error: another process is running the runs in {tmp_path}\n"
        assert capsys.readouterr().err == message
        assert not (tmp_path / "results.md").exists()
        assert main([*arguments, "commands=true"]) == 0  # runs nothing
    assert main(arguments) == 0


def test_an_impatient_interrupt_still_ends_what_does_not_listen() -> None:
    deaf = "from signal import *; signal(SIGINT, SIG_IGN); print(1, flush=True); import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout and process.stdout.readline() == b"1\n"
    patient = process.wait

    def interrupted(timeout: float | None = None) -> int:
        if timeout is not None:
            raise KeyboardInterrupt
        return patient()

    process.wait = interrupted  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyboardInterrupt):
            _stop([process])
        assert process.poll() == -signal.SIGKILL
    finally:
        process.kill()
        process.stdout.close()


def test_commands_are_those_of_unfinished_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["seeds=3", "instructions.wrong=It's wrong.", f"out={tmp_path / 'my out'}"]
    done, broken_off, fresh = parse_arguments(arguments).cells
    for cell in (done, broken_off):
        make_up(cell, 0.5, [0.5, 0.5])
    (broken_off.folder / "summary.json").unlink()
    checkpoint(broken_off, 1, [{}])
    assert main([*arguments, "commands=true"]) == 0
    program = [sys.executable, str(ROOT / "train.py")]
    assert [shlex.split(line) for line in capsys.readouterr().out.splitlines()] == [
        [*program, f"resume={broken_off.folder}"],
        [*program, *fresh.arguments, f"run_dir={fresh.folder}"],
    ]
    assert not (tmp_path / "my out" / "results.md").exists() and not fresh.folder.exists()


def test_folder_of_another_configuration_is_refused_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["seeds=2", f"out={tmp_path / 'out'}"]
    other, _ = parse_arguments(arguments).cells
    make_up(other, 0.5, [0.5, 0.5])
    assert main([*arguments, "training.lr=0.5"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "training.lr=0.002, not 0.5: choose another out" in message and "seed1" in message
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "object_counting"}


@pytest.mark.parametrize("text", ["{}", "null", "[]", "{", '{"seconds": {"sampling": 2, "training": 4}}'])
def test_broken_files_of_a_finished_run_are_named(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["seeds=1", f"out={tmp_path}"]
    (cell,) = parse_arguments(arguments).cells
    make_up(cell, 0.5, [0.5, 0.5])
    (cell.folder / "summary.json").write_text(text)
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert (
        message.startswith(f"error: {cell.folder} holds a broken summary.json") and message.count("\n") == 1
    )


# Real runs


@pytest.mark.slow(seconds=40)
def test_broken_off_then_failed_then_done(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("HIR_CACHE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, environment[name])
    variants, out = tmp_path / "variants.yaml", tmp_path / "out"
    variants.write_text("default: {}\nbroken: {method.beta: 0}\n")
    shared = ["trainer.max_epochs=12", f"variants={variants}", f"out={out}", "seeds=3,", "jobs=1"]
    arguments = [*SMALL, *shared]
    cell, broken = parse_arguments(arguments).cells
    checkpoint, summary = cell.folder / "checkpoints" / "last.ckpt", cell.folder / "summary.json"
    checkpoint.parent.mkdir(parents=True)  # what a run killed at its first checkpoint leaves
    broken.folder.mkdir(parents=True)
    (broken.folder / "notes.txt").write_text("no run")  # which train.py will not write beside

    def interrupt(seconds: float) -> None:
        time.sleep(0.01)
        if checkpoint.exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            "hir.tools.compare.runner.time", SimpleNamespace(sleep=interrupt, monotonic=time.monotonic)
        )
        patch.setattr("hir.tools.compare.runner.PATIENCE", 3.0)  # less than the run would take to its end
        assert main(arguments) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on\n"
    assert checkpoint.exists() and not summary.exists() and not (out / "results.md").exists()

    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "resume  after iteration" in log_file(cell).read_text()
    lines = printed.out.splitlines()
    assert lines[0].startswith("[1/2] object_counting: hir, default, seed 3: base 0.")
    assert lines[1].startswith("[2/2] object_counting: hir, broken, seed 3 failed: error: run_dir=")
    assert "holds another run" in lines[1] and (broken.folder / "notes.txt").exists()
    assert printed.err == "error: 1 of 2 runs failed; the same command tries them again\n"
    text = (out / "results.md").read_text()
    assert "**Failed**: object_counting, hir, broken, seed 3: `error: run_dir=" in text
    assert "| hir, default | 1 |" in text and "| hir, broken |" not in text
    assert json.loads(summary.read_text())["samples"] == 12 * 32 * 4

    variants.write_text("default: {}\n")
    finished = summary.stat().st_mtime_ns
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("nothing left to do\n")
    assert summary.stat().st_mtime_ns == finished
    assert "Failed" not in (out / "results.md").read_text()
