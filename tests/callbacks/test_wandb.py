"""hir/callbacks/wandb.py: runs without a network, read back with wandb's own reader."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import wandb
from wandb.util import get_core_path

from hir.callbacks.wandb import WandbReport
from hir.config.load import flat, load_config
from hir.config.schema import Config
from hir.trainer import run_folder
from hir.training.run_folder import read_run
from tests.command_line import SMALL, run

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef" * 2 + "01234567"
"""No real key; wandb takes it for one by its length."""


def without_account(home: Path, **variables: str) -> dict[str, str]:
    """Variables under which wandb finds no key, settings or server, and keeps its files in a folder."""
    own = {f"WANDB_{kind}_DIR": str(home / kind) for kind in ("DATA", "CACHE", "CONFIG")}
    return {**own, "HOME": str(home), "WANDB_BASE_URL": "http://127.0.0.1:9", **variables}


def parts_of(folder: Path) -> list[dict[str, list[dict]]]:
    """Records by kind in each finished part of a run, by `wandb leet inspect --json`."""
    parts = []
    for file in sorted((folder / "wandb").glob("*run-*-*/*.wandb")):
        options = ["leet", "inspect", "--no-observability", "--json", "--run-file", file, file.parent]
        done = subprocess.run([get_core_path(), *options], capture_output=True, text=True, check=True)
        parts.append(defaultdict(list))
        for line in map(json.loads, done.stdout.splitlines()):
            parts[-1][line["type"]].append(line.get(line["type"]))
    return parts


@pytest.fixture(scope="module")
def logged(environment, tmp_path_factory):
    """A finished run of two iterations in W&B's offline mode, what it printed, and its records by kind."""
    folder = tmp_path_factory.mktemp("runs") / "logged"
    account = without_account(tmp_path_factory.mktemp("home"), WANDB_MODE="offline", WANDB_API_KEY=KEY)
    account["WANDB_TAGS"] = "a,b"
    arguments = ["trainer.max_epochs=2", "logger=wandb"]
    done = run({**environment, **account}, *SMALL, *arguments, f"run_dir={folder}")
    assert (done.returncode, done.stderr) == (0, "")
    (records,) = parts_of(folder)
    return read_run(folder), done.stdout, records


def test_a_run_logs_its_configuration_and_its_key_lands_in_no_file(logged):
    saved, output, records = logged
    lines = [line for line in output.splitlines() if "wandb" in line]
    assert lines == [f"wandb   offline; to upload it later: wandb sync {saved.folder}/wandb"]
    files = [path for path in saved.folder.rglob("*") if path.is_file()]
    assert len(files) > 10 and not [path for path in files if KEY.encode() in path.read_bytes()]
    config = {name: value for part in records["config"] for name, value in part["update"].items()}
    own = json.loads(json.dumps(flat(asdict(replace(saved.config, run_dir=str(saved.folder))))))
    assert len(own) > 60 and {name: config[name] for name in own} == own
    (start,) = records["run"]
    assert (start["project"], start["display_name"], start["tags"]) == ("hir", "logged", ["a", "b"])


def test_a_row_for_the_base_and_each_iteration_is_drawn_against_its_samples(logged):
    saved, _, records = logged
    axes = {metric["name"]: metric.get("step_metric") for metric in records["metric"]}
    assert axes["val/accuracy"] == axes["test/accuracy"] == axes["fraction_correct"] == "samples"
    assert "train/loss" not in axes  # against W&B's step, that is rows
    end = {"samples": saved.summary["samples"], "test/accuracy": saved.summary["test"]["accuracy"]}
    media = ("_", "rollouts", "learning_curve")
    rows = [row["item"] for row in records["history"]]
    found = [{name: row[name] for name in row if not name.startswith(media)} for row in rows]
    assert found == [*saved.history, end]


def test_samples_summary_and_curve_are_logged(logged):
    saved, _, records = logged
    last = {name: value for part in records["summary"] for name, value in part.get("update", {}).items()}
    assert flat(saved.summary, "/").items() <= last.items()
    (files,) = (saved.folder / "wandb").glob("offline-run-*/files")
    table = json.loads((files / last["rollouts.path"]).read_text())
    assert [dict(zip(table["columns"], row, strict=True)) for row in table["data"]] == saved.samples
    curve = (files / last["learning_curve.path"]).read_bytes()
    assert curve == (saved.folder / "learning_curve.png").read_bytes()


# In this process, without training


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Reports as a program of its own would: a history of so many iterations and one more."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, text in without_account(tmp_path / "home", WANDB_MODE="offline").items():
        monkeypatch.setenv(name, text)

    def log(config: Config, before: int, run: object = None, rank: int = 0) -> object:
        wandb.teardown()  # what was read of the environment before
        rows = [{"iteration": i, "samples": 10 * i, "val/accuracy": i / 10} for i in range(before + 2)]
        recorder = SimpleNamespace(folder=tmp_path / "run", history=rows[: before + 1], samples=[])
        trainer = SimpleNamespace(current_epoch=before, is_global_zero=rank == 0)
        report = WandbReport(config, recorder)
        if run:
            report.run = run
        else:
            report.setup(trainer, None, "fit")
        started = report.run
        report.on_train_start(trainer, None)
        recorder.history = rows
        report.on_train_epoch_end(trainer, None)
        report.on_fit_end(trainer, None)
        report.on_exception(trainer, None, KeyboardInterrupt())  # an interruption at the very end
        return started

    yield log
    wandb.teardown()


def iterations(folder: Path) -> list[list[int]]:
    wandb.teardown()  # a run may finish before its service has written all
    return [[row["item"]["iteration"] for row in part["history"]] for part in parts_of(folder)]


def test_a_resumed_run_goes_on_in_w_and_b(log, tmp_path):
    """Offline, each start of the program makes a part of its own, of one id."""
    first = log(Config(logger="wandb", resume="run"), before=1)  # which had no W&B before
    second = log(Config(logger="wandb", resume="run"), before=2)
    assert second.id == first.id == (tmp_path / "run/wandb/id.txt").read_text()
    assert iterations(tmp_path / "run") == [[0, 1, 2], [3]]


UPLOAD = "; to upload it later: wandb sync RUN/wandb"
LOST = {"MODE": "online", "API_KEY": KEY, "BASE_URL": "http://me:secret@127.0.0.1:9", "HTTP_TIMEOUT": "1"}


@pytest.mark.parametrize(
    ("variables", "begins", "ends"),
    [
        ({"MODE": "online"}, "offline: no API key is configured (`wandb login` stores one)", UPLOAD),
        (LOST, "offline: ", UPLOAD),
        ({"BASE_URL": "wandb.example/secret"}, "off from here on: ValidationError: ", "RUN/wandb"),
        ({"MODE": "disabled"}, "disabled by WANDB_MODE", ""),
    ],
)
def test_one_line_without_a_secret_says_why_nothing_is_uploaded(
    log, tmp_path, monkeypatch, capsys, variables, begins, ends
):
    for name, text in variables.items():
        monkeypatch.setenv(f"WANDB_{name}", text)
    log(Config(logger="wandb"), before=0)
    output = capsys.readouterr()
    (line,) = output.out.replace(str(tmp_path / "run"), "RUN").splitlines()
    assert line.startswith(f"wandb   {begins}") and line.endswith(ends)
    assert "secret" not in line + output.err and KEY not in line + output.err
    assert iterations(tmp_path / "run") == ([[0, 1]] if ends == UPLOAD else [])


def test_other_ranks_have_none(log, tmp_path):
    assert log(Config(logger="wandb"), before=0, rank=1) is None
    assert not (tmp_path / "run/wandb").exists()


@pytest.mark.parametrize(("fails", "calls"), [("log", 1), ("finish", 3)])
def test_a_run_goes_on_without_w_and_b_after_its_first_error(
    log, tmp_path, monkeypatch, capsys, fails, calls
):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    run = Mock()
    getattr(run, fails).side_effect = ConnectionResetError(f"{KEY} is gone")
    log(Config(logger="wandb"), before=1, run=run)
    assert run.log.call_count == calls and run.finish.called == (fails == "finish")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("wandb   off from here on: ConnectionResetError: *** is gone; ")
    assert line.endswith(f"what it has so far is in {tmp_path}/run/wandb")


@pytest.mark.filterwarnings("ignore:unclosed file .*sweep.yaml:ResourceWarning")  # wandb leaves it open
def test_a_sweeps_agent_chooses_the_run_and_its_settings_are_kept(log, tmp_path, monkeypatch, capsys):
    (tmp_path / "sweep.yaml").write_text(
        "wandb_version: 1\ntask: {value: word_sorting}\nmethod.alpha: {value: 0.1}\nseed: {value: 3}\n"
    )
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "chosen1")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "sweep.yaml"))
    config = load_config(["logger=wandb", "task=word_sorting", "method.alpha=0.1", "seed=3"])
    run = log(config, before=0)
    assert (run.id, run.sweep_id) == ("chosen1", "sweep1")
    assert dict(run.config) == {"task": "word_sorting", **flat(asdict(config))}
    assert capsys.readouterr().err == ""
    assert run_folder(config).name.endswith("-chosen1")
