"""hir/callbacks/wandb.py: runs without a network, read back with wandb's own reader."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb
from lightning.pytorch.utilities import rank_zero_only
from wandb.util import get_core_path

from hir.callbacks.wandb import RunLogger, WandbReport
from hir.config.load import load_config, to_dict
from hir.config.schema import Config
from hir.trainer import run_folder
from tests.command_line import SMALL, run

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef" * 2 + "01234567"
"""No real key; wandb takes it for one by its length."""


def without_account(home: Path, **variables: str) -> dict[str, str]:
    """Variables under which wandb finds no key, settings or server, and keeps its files in a folder."""
    own = {f"WANDB_{kind}_DIR": str(home / kind) for kind in ("DATA", "CACHE", "CONFIG")}
    return {**own, "HOME": str(home), "WANDB_BASE_URL": "http://127.0.0.1:9", **variables}


def records(folder: Path) -> list[list[dict]]:
    """What each finished part of a run holds, by the program behind `wandb leet inspect --json`."""
    parts = []
    for file in sorted((folder / "wandb").glob("*run-*-*/*.wandb")):
        options = ["leet", "inspect", "--no-observability", "--json", "--run-file", file, file.parent]
        done = subprocess.run([get_core_path(), *options], capture_output=True, text=True, check=True)
        parts.append([json.loads(line) for line in done.stdout.splitlines()])
    return parts


def history(part: list[dict]) -> list[dict]:
    return [record["history"]["item"] for record in part if record["type"] == "history"]


@pytest.fixture(scope="module")
def logged(environment, tmp_path_factory):
    """A finished run of two iterations in W&B's offline mode: its folder, what it printed, its records."""
    folder = tmp_path_factory.mktemp("runs") / "logged"
    account = without_account(tmp_path_factory.mktemp("home"), WANDB_MODE="offline", WANDB_API_KEY=KEY)
    arguments = ["trainer.max_epochs=2", "logger=wandb", "wandb.tags=a,b", "wandb.log_checkpoint=true"]
    done = run({**environment, **account}, *SMALL, *arguments, f"run_dir={folder}")
    assert (done.returncode, done.stderr) == (0, "")
    (part,) = records(folder)
    return folder, done.stdout, part


def test_one_line_says_that_the_run_is_offline_and_how_to_upload_it(logged):
    folder, output, _ = logged
    lines = [line for line in output.splitlines() if "wandb" in line]
    assert lines == [f"wandb   offline; to upload it later: wandb sync {folder}/wandb"]


def test_the_api_key_lands_in_no_file(logged):
    files = [path for path in logged[0].rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_the_whole_configuration_is_logged(logged):
    folder, _, part = logged
    config: dict = {}
    for record in part:
        if record["type"] == "config":
            config |= record["config"]["update"]
    saved = to_dict(load_config([f"config={folder}/config.yaml", f"run_dir={folder}"]))
    assert {name: config[name] for name in saved} == json.loads(json.dumps(saved))
    (start,) = [record["run"] for record in part if record["type"] == "run"]
    assert (start["project"], start["display_name"], start["tags"]) == ("hir", "logged", ["a", "b"])


def test_there_is_a_row_for_the_base_and_each_iteration(logged):
    folder, _, part = logged
    rows = history(part)
    assert [row["_step"] for row in rows] == [0, 1, 2]
    expected = [
        {name: float(text) for name, text in row.items() if text}
        for row in csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    ]
    expected[-1]["test/accuracy"] = json.loads((folder / "summary.json").read_text())["test"]["accuracy"]
    media = ("_", "rollouts", "learning_curve")
    assert [{k: v for k, v in row.items() if not k.startswith(media)} for row in rows] == expected


def test_answers_are_drawn_against_samples_and_training_against_iterations(logged):
    metrics = [record["metric"] for record in logged[2] if record["type"] == "metric"]
    axes = {metric["name"]: metric.get("step_metric") for metric in metrics}
    assert axes["val/accuracy"] == axes["test/accuracy"] == axes["fraction_correct"] == "samples"
    assert axes["samples"] == axes["seconds"] == axes["train/loss"] == "iteration"


def test_samples_summary_curve_and_checkpoint_are_logged(logged):
    folder, _, part = logged
    last: dict = {}
    for record in part:
        if record["type"] == "summary":
            last |= record["summary"].get("update", {})
    result = json.loads((folder / "summary.json").read_text())
    assert last["base/accuracy"] == result["base"]["accuracy"]
    assert last["test/accuracy"] == result["test"]["accuracy"]
    assert last["seconds/training"] == result["seconds"]["training"]
    (files,) = (folder / "wandb").glob("offline-run-*/files")
    table = json.loads((files / last["rollouts.path"]).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert rows == [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    curve = (files / last["learning_curve.path"]).read_bytes()
    assert curve == (folder / "learning_curve.png").read_bytes()
    artifacts = [record["artifact"] for record in part if record["type"] == "artifact"]
    (checkpoint,) = [artifact for artifact in artifacts if artifact["type"] == "model"]
    sizes = {item["path"]: int(item["size"]) for item in checkpoint["manifest"]["contents"]}
    names = ("config.yaml", "checkpoints/last.ckpt")  # as resume= and evaluate want them
    assert sizes == {name: (folder / name).stat().st_size for name in names}


# In this process, without training


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Starts a logger as a program of its own would; logs a history of so many iterations and one more."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, text in without_account(tmp_path / "home", WANDB_MODE="offline").items():
        monkeypatch.setenv(name, text)

    def log(config: Config, before: int, run: object = None) -> RunLogger:
        wandb.teardown()  # what was read of the environment before
        logger = RunLogger(config, tmp_path / "run")
        if run:
            logger._experiment, logger._started = run, True
        started = logger.experiment
        rows = [{"iteration": i, "samples": 10 * i, "val/accuracy": i / 10} for i in range(before + 2)]
        recorder = SimpleNamespace(history=rows[: before + 1], samples=[])
        trainer = SimpleNamespace(logger=logger, should_stop=False, max_epochs=9, current_epoch=before)
        report = WandbReport(config, recorder)
        report.on_train_start(trainer, None)
        recorder.history = rows
        report.on_train_epoch_end(trainer, None)
        logger.finalize("success")
        logger.finalize("failed")  # again, as after an interruption at the very end
        return started

    yield log
    wandb.teardown()


def iterations(folder: Path) -> list[list[int]]:
    return [[row["iteration"] for row in history(part)] for part in records(folder)]


def test_a_resumed_run_goes_on_in_w_and_b(log, tmp_path):
    """Offline, each start of the program makes a part of its own, of one id."""
    first = log(Config(logger="wandb"), before=0)
    second = log(Config(logger="wandb", resume="run"), before=1)
    assert second.id == first.id == (tmp_path / "run/wandb/id.txt").read_text()
    assert iterations(tmp_path / "run") == [[0, 1], [2]]


def test_a_run_that_had_no_w_and_b_before_is_logged_from_its_base(log, tmp_path):
    log(Config(logger="wandb", resume="run"), before=2)
    assert iterations(tmp_path / "run") == [[0, 1, 2, 3]]


@pytest.mark.parametrize("key", [None, KEY])
def test_without_a_key_or_a_server_one_line_says_why_the_run_is_offline(
    log, tmp_path, monkeypatch, capsys, key
):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
        monkeypatch.setenv("WANDB_BASE_URL", "http://me:secret@127.0.0.1:9")
    log(Config(logger="wandb"), before=0)
    output = capsys.readouterr()
    (line,) = output.out.splitlines()
    why = "127.0.0.1" if key else "no API key is configured (`wandb login` stores one)"
    assert line.startswith("wandb   offline: ") and why in line
    assert line.endswith(f"; to upload it later: wandb sync {tmp_path}/run/wandb")
    assert "secret" not in line + output.err and KEY not in line + output.err
    assert iterations(tmp_path / "run") == [[0, 1]]


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("WANDB_PROJECT", "a/b", "Invalid project name 'a/b'"),
        ("WANDB_RUN_ID", "a/b", "Run ID cannot contain"),
        ("WANDB_BASE_URL", f"wandb.example/{KEY}", "base_url Input should be a valid URL"),
    ],
)
def test_settings_that_wandb_refuses_turn_it_off_in_one_line(log, monkeypatch, capsys, variable, value, why):
    monkeypatch.setenv(variable, value)
    log(Config(logger="wandb"), before=0)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("wandb   off from here on: ") and why in line and KEY not in line


def test_it_can_be_disabled_and_other_ranks_have_none(log, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    log(Config(logger="wandb"), before=0)
    assert capsys.readouterr().out == "wandb   disabled by WANDB_MODE\n"
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    log(Config(logger="wandb"), before=0).log({"anything": 1})
    assert not (tmp_path / "run/wandb").exists()


class FakeRun:
    """A W&B run of a server, without either: notes the rows, and raises what it is given for a call."""

    step, starting_step, resumed = 0, 0, False

    def __init__(self, **raises: Exception) -> None:
        self.raises = raises
        self.calls: list[tuple[str, object]] = []
        self.summary = {"iteration": 2}

    def __getattr__(self, name: str):
        def call(value: object = None, **options: object) -> None:
            self.calls.append((name, value["iteration"] if name == "log" else options))
            if name in self.raises:
                raise self.raises[name]

        return call


def test_what_the_server_has_of_a_killed_run_is_not_logged_again(log):
    """The checkpoint is of iteration 1, W&B's last row of iteration 2, which is computed again."""
    fake = FakeRun()
    fake.resumed = True
    log(Config(logger="wandb", resume="run"), before=1, run=fake)
    assert not [call for call in fake.calls if call[0] == "log"]
    log(Config(logger="wandb", resume="run"), before=2, run=fake)
    assert [call for call in fake.calls if call[0] == "log"] == [("log", 3)]


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        ({"log": ConnectionResetError("gone")}, ["log"]),
        ({"log": KeyError("gone")}, ["log"]),
        ({"finish": TimeoutError("gone")}, ["log", "log", "log", "finish"]),  # the upload does not end
    ],
)
def test_a_run_goes_on_without_w_and_b_after_its_first_error(log, tmp_path, capsys, error, calls):
    fake = FakeRun(**error)
    log(Config(logger="wandb"), before=1, run=fake)
    assert [name for name, _ in fake.calls if name != "define_metric"] == calls
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("wandb   off from here on: ") and "gone" in line
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
    assert run.config["task"] == "word_sorting" and run.config["task.name"] == "word_sorting"
    assert run.config["task.settings"] == config.task.settings
    assert run.config["method.alpha"] == 0.1 and run.config["method.name"] == "hir"
    assert run.config["seed"] == 3 and run.config["training.lr"] == config.training.lr
    assert capsys.readouterr().err == ""
    assert run_folder(config).name.endswith("-chosen1")
