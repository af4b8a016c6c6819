"""python -m hir compare: the grid, the numbers by hand, and real runs small enough to take seconds each."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hir.__main__ import interrupt_on_signals, main, read_options
from hir.config.load import save_config
from hir.tools.compare import Options, build_cells
from hir.tools.runs import Cell
from hir.training.settings import load_run_config
from tests.command_line import ROOT, SMALL


def cells_of(*arguments: str) -> list[Cell]:
    return build_cells(*read_options(Options, arguments, takes_settings=True))


# Grid


def test_grid_is_the_product_of_tasks_methods_values_and_seeds() -> None:
    tasks = "tasks=object_counting,word_sorting"
    cells = cells_of(tasks, "seeds=2", "method.alpha=0,1", "training.lr=1e-3", "out=o")
    assert len(cells) == 2 * 2 * 2
    assert [cell.config.seed for cell in cells] == [1] * 4 + [2] * 4
    assert cells[1].folder == Path("o/object_counting/hir/method.alpha=1/seed1")
    assert cells[1].arm == {"task": "object_counting", "method": "hir", "label": "hir, method.alpha=1"}
    assert cells[1].name == "object_counting: hir, method.alpha=1, seed 1"
    assert cells[1].config == load_run_config(["method.alpha=1", "training.lr=1e-3"])


def test_lists_mappings_and_sentences_are_one_value() -> None:
    settings = "task.settings={max_answer: 5, max_items: 3}"
    wrong = "instructions.wrong=Solve it, wrongly."
    (cell,) = cells_of("seeds=7,", "evaluation.tasks=word_sorting,mine", settings, wrong, "out=o")
    assert cell.folder == Path("o/object_counting/hir/seed7")
    assert cell.config.evaluation.tasks == ["word_sorting", "mine"]
    assert cell.config.instructions.wrong == "Solve it, wrongly."


def test_variants_change_several_keys_by_name(tmp_path: Path) -> None:
    file = tmp_path / "variants.yaml"
    file.write_text("default: {}\nno contrast: {method.alpha: 0, buffer.max_wrong_fraction: null}\n")
    default, bare = cells_of("seeds=1", f"variants={file}", "out=o")
    assert default.config == load_run_config(["seed=1"])
    assert bare.arm["label"] == "hir, no contrast"
    assert bare.folder == Path("o/object_counting/hir/no_contrast/seed1")
    assert (bare.config.method["alpha"], bare.config.buffer.max_wrong_fraction) == (0, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seeds=1"], "out= is missing"),
        (["out=o", "word_sorting", "object_counting"], "'object_counting' is not key=value"),
        *((["out=o", f"seeds={text}"], "seeds must be") for text in ("0", "00", "1..5", "1,,2")),
        (["out=o", "method.alhpa=1"], "did you mean method.alpha?"),
        (["out=o", "taks=a"], "did you mean task?"),
        (["out=o", "method=hir"], "use methods="),
        (["out=o", "task.name=word_sorting"], "use tasks="),
        *((["out=o", text], "tasks, methods and out must be names") for text in ("out=", "methods=hir,")),
        (["out=o", "methods=hir,hri"], "method.name=hri"),
        (["out=o", "methods=hir,hir"], "two runs would lie in o/object_counting/hir/seed1"),
        (["out=o", "method.alpha=0,x"], "method.alpha must be a number in [0, inf), not 'x'"),
        (["out=file/o", "seeds=1"], "Not a directory: 'file/o/object_counting/hir'"),
        (["out=o", "jobs=0"], "jobs must be an integer in [1, 1000]"),
        (["out=o", "variants=nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["out=o", f"variants={ROOT}/conf/sweep/quickstart.yaml"], "must map names to settings"),
    ],
)
def test_mistakes_end_with_2(arguments: list[str], words: str, refused: Callable[..., None]) -> None:
    Path("file").touch()
    refused(words, "compare", *arguments)


# Results of made-up runs


def make_up(cell: Cell, test: float, *accuracies: float) -> None:
    """The folder of a finished run with these validation accuracies, 10 samples and 2 updates each."""
    cell.folder.mkdir(parents=True)
    save_config(cell.config, cell.folder / "config.yaml")
    rows = [f"{i},{10 * i},{2 * i},{3 * i},{value},0.25" for i, value in enumerate(accuracies)]
    head = "iteration,samples,updates,seconds,val/accuracy,val/accuracy_p_wrong"
    (cell.folder / "metrics.csv").write_text("\n".join([head, *rows, ""]))
    used = {"samples": 20, "updates": 4, "seconds": {"sampling": 2.0, "training": 4.0}}
    summary = {"base": {"accuracy": 0.5}, "test": {"accuracy": test}, **used}
    (cell.folder / "summary.json").write_text(json.dumps(summary))


def test_results_are_those_worked_out_by_hand(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refused: Callable[..., None],
) -> None:
    arguments = [f"out={tmp_path / 'out'}", "seeds=4", "method.alpha=0,1", "jobs=1"]
    monkeypatch.setattr("hir.tools.runs.ROOT", tmp_path)  # without a train.py: what is run fails
    cells = cells_of(*arguments)
    first, second = cells[::2], cells[1::2]
    make_up(first[0], 0.8, 0.5, 0.8, 0.9)
    make_up(first[1], 0.9, 0.5, 0.5, 0.7)
    make_up(first[2], 1.0, 0.5, 0.7, 0.9)
    make_up(second[0], 0.5, 0.5, 0.5, 0.8)
    make_up(second[2], 0.5, 0.5, 0.5, 0.5)
    make_up(second[3], 0.5, 0.5, 0.5, 0.6)
    monkeypatch.setattr("sys.argv", ["hir", "compare", *arguments])
    assert main(["compare", *arguments]) == 1
    printed = capsys.readouterr()
    # 4.303 x 0.1 / sqrt(3) = 0.248, by Student's t.
    assert "| hir, method.alpha=0 | 3     | 0.500 | 0.900 ± 0.248 | –" in printed.out
    assert printed.err == "error: runs failed: 2; the same command tries them again\n"
    text = (tmp_path / "out/results.md").read_text()
    assert text.splitlines()[3] == f"python -m hir compare {' '.join(arguments)}"
    assert [" ".join(line.split()) for line in text.splitlines() if line.startswith("| ")][2:] == [
        "| hir, method.alpha=0 | 3 | 0.500 | 0.900 ± 0.248 | – | 0.250 | 20 | 4 | 6 |",
        # Of seeds 1 and 3, which both have, differences -0.3 and -0.5: 12.706 x 0.1414 / sqrt(2) = 1.271.
        "| hir, method.alpha=1 | 3 | 0.500 | 0.500 ± 0.000 | -0.400 ± 1.271 | 0.250 | 20 | 4 | 6 |",
    ]
    assert re.findall(r"^\*\*Failed\*\*: (.*): `.*train.py.*`$", text, re.MULTILINE) == [
        f"object_counting: hir, method.alpha={alpha}, seed {seed}" for alpha, seed in ((1, 2), (0, 4))
    ]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert len(results["cells"]) == 6 and results["command"] == text.splitlines()[3]
    assert results["cells"][0]["curve"] == [[0, 0.5], [10, 0.8], [20, 0.9]]
    assert (tmp_path / "out/accuracy_object_counting.png").read_bytes().startswith(b"\x89PNG")
    words = "alpha=0/seed1 holds a run with other settings: choose another out"
    refused(words, "compare", *arguments, "training.lr=0.5")


# A real run


STOPPED = """
import os, signal, sys, time
sys.path[0] = {root!r}
from lightning.pytorch import Callback
from hir.config.load import load_config
from train import train

class Stop(Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1 and not module.config.resume:
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(600)

train(load_config(sys.argv[1:]), time.perf_counter(), [Stop()])
"""
"""A train.py whose runs, but for resumed ones, end the program that started them after an iteration."""


@pytest.mark.slow(seconds=20)
def test_broken_off_the_same_command_goes_on(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HIR_CACHE", environment["HIR_CACHE"])
    (tmp_path / "train.py").write_text(STOPPED.format(root=str(ROOT)))
    monkeypatch.setattr("hir.tools.runs.ROOT", tmp_path)
    monkeypatch.setattr("hir.tools.runs.PATIENCE", 3.0)
    arguments = [*SMALL, "trainer.max_epochs=2", f"out={tmp_path / 'out'}", "seeds=3,", "jobs=1"]
    (cell,) = cells_of(*arguments)
    checkpoint, summary = cell.folder / "checkpoints" / "last.ckpt", cell.folder / "summary.json"
    before = signal.getsignal(signal.SIGTERM)
    interrupt_on_signals()
    try:
        assert main(["compare", *arguments]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "interrupted\n"
    assert checkpoint.exists() and not summary.exists() and not (tmp_path / "out/results.md").exists()

    assert main(["compare", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("object_counting: hir, seed 3: base 0.") and printed.err == ""
    assert "resume  after iteration 1" in cell.log.read_text()
    assert json.loads(summary.read_text())["samples"] == 2 * 32 * 4
