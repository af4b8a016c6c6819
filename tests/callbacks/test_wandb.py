"""hir/callbacks/wandb.py: real runs without a network, read back with wandb's own reader."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb
from wandb.sdk.mailbox import HandleAbandonedError
from wandb.util import get_core_path

from hir.callbacks.wandb import Progress, RunLogger, WandbReport
from hir.config.load import load_config, to_dict
from hir.config.schema import Config
from hir.errors import UserError
from tests.command_line import ROOT, SMALL, run
from train import run_folder

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef" * 2 + "01234567"
"""No real key; wandb takes it for one by its length."""


def without_account(environment: dict[str, str], home: Path, **variables: str) -> dict[str, str]:
    """An environment whose wandb finds no key, no settings and no server, and keeps its files in a folder."""
    clean = {name: text for name, text in environment.items() if not name.startswith("WANDB_")}
    own = {f"WANDB_{kind}_DIR": str(home / kind) for kind in ("DATA", "CACHE", "CONFIG")}
    return {**clean, **own, "HOME": str(home), "WANDB_BASE_URL": "http://127.0.0.1:9", **variables}


@cache
def records(part: Path) -> list[dict]:
    """What a finished part of a run holds, by the program behind `wandb leet inspect --json`."""
    (file,) = part.glob("*.wandb")
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", file, part]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def history(part: Path) -> list[dict]:
    return [record["history"]["item"] for record in records(part) if record["type"] == "history"]


def summary(part: Path) -> dict:
    values: dict = {}
    for record in records(part):
        if record["type"] == "summary":
            values |= record["summary"].get("update", {})
    return values


def parts(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("*run-*-*"))


def run_id(folder: Path) -> str:
    return json.loads((folder / "wandb/hir.json").read_text())["id"]


def table(part: Path) -> list[dict]:
    """The rows of the table that W&B shows: the one in the run's summary."""
    content = json.loads((part / "files" / summary(part)["rollouts.path"]).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def samples(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def logged(environment, tmp_path_factory):
    """A finished run of two iterations in W&B's offline mode: its folder and what it printed."""
    home = tmp_path_factory.mktemp("home")
    folder = tmp_path_factory.mktemp("runs") / "logged"
    done = run(
        without_account(environment, home, WANDB_MODE="offline", WANDB_API_KEY=KEY),
        *SMALL,
        "trainer.max_epochs=2",
        "logger=wandb",
        "wandb.tags=a,b",
        "wandb.log_checkpoint=true",
        f"run_dir={folder}",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, done.stdout


@pytest.fixture(scope="module")
def resumed(logged, environment, tmp_path_factory):
    """The run continued on two devices by a user with a terminal and no API key."""
    home = tmp_path_factory.mktemp("home")
    folder = shutil.copytree(logged[0], tmp_path_factory.mktemp("runs") / "resumed", symlinks=True)
    terminal, end = pty.openpty()
    arguments = [f"resume={folder}", "trainer.max_epochs=3", "trainer.devices=2"]
    done = subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        env=without_account(environment, home),
        stdin=end,
        stderr=end,
        stdout=subprocess.PIPE,
        text=True,
        timeout=200,
    )
    os.close(end)
    os.close(terminal)
    assert done.returncode == 0
    return folder, done.stdout


def test_the_whole_configuration_is_logged(logged):
    folder, _ = logged
    (part,) = parts(folder)
    config: dict = {}
    for record in records(part):
        if record["type"] == "config":
            config |= record["config"]["update"]
    saved = to_dict(replace(load_config([f"config={folder}/config.yaml"]), run_dir=str(folder)))
    assert {name: config[name] for name in saved} == json.loads(json.dumps(saved))
    (start,) = [record["run"] for record in records(part) if record["type"] == "run"]
    assert (start["project"], start["display_name"], start["tags"]) == ("hir", "logged", ["a", "b"])


def test_there_is_a_row_for_the_base_and_each_iteration(logged):
    folder, _ = logged
    (part,) = parts(folder)
    rows = history(part)
    assert [row["_step"] for row in rows] == [row["iteration"] for row in rows] == [0, 1, 2]
    expected = [
        {name: float(text) for name, text in row.items() if text}
        for row in csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    ]
    expected[-1]["test/accuracy"] = json.loads((folder / "summary.json").read_text())["test"]["accuracy"]
    media = ("_", "rollouts", "learning_curve")
    assert [{k: v for k, v in row.items() if not k.startswith(media)} for row in rows] == expected


def test_answers_are_drawn_against_samples_and_training_against_iterations(logged):
    (part,) = parts(logged[0])
    axes = {r["metric"]["name"]: r["metric"].get("step_metric") for r in records(part) if "metric" in r}
    assert axes["iteration"] is None
    for name in ("val/accuracy", "val/accuracy_p_wrong", "val/gap", "test/accuracy", "fraction_correct"):
        assert axes[name] == "samples"
    for name in ("samples", "updates", "seconds", "train/loss", "train/contrast", "samples_per_second"):
        assert axes[name] == "iteration"


def test_sampled_rows_are_one_table(logged):
    folder, _ = logged
    (part,) = parts(folder)
    assert [row.get("rollouts.nrows") for row in history(part)] == [None, 4, 8]
    assert table(part) == samples(folder)


def test_summary_curve_and_checkpoint_are_logged_at_the_end(logged):
    folder, _ = logged
    (part,) = parts(folder)
    last, result = summary(part), json.loads((folder / "summary.json").read_text())
    assert last["base/accuracy"] == result["base"]["accuracy"]
    assert last["test/accuracy"] == result["test"]["accuracy"]
    assert last["val/accuracy"] == result["val"]["accuracy"]
    assert last["seconds/training"] == result["seconds"]["training"]
    image = part / "files" / last["learning_curve.path"]
    assert image.read_bytes() == (folder / "learning_curve.png").read_bytes()
    artifacts = [record["artifact"] for record in records(part) if record["type"] == "artifact"]
    (checkpoint,) = [artifact for artifact in artifacts if artifact["type"] == "model"]
    sizes = {item["path"]: int(item["size"]) for item in checkpoint["manifest"]["contents"]}
    names = ("config.yaml", "checkpoints/last.ckpt")  # as resume= and hir.tools.evaluate want them
    assert sizes == {name: (folder / name).stat().st_size for name in names}


def test_the_output_says_where_it_is_and_how_to_upload_it(logged):
    folder, output = logged
    lines = [line for line in output.splitlines() if "wandb" in line]
    assert lines == [
        f"wandb   offline, in {folder}/wandb",
        f"wandb   to upload what is offline: wandb sync {folder}/wandb",
    ]


def test_the_api_key_lands_in_no_file(logged):
    files = [path for path in logged[0].rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_resumed_run_continues_in_w_and_b_without_repeating_an_iteration(logged, resumed):
    folder, _ = resumed
    first, second = parts(folder)  # two devices made one
    assert run_id(folder) == run_id(logged[0])
    assert second.name.endswith(run_id(folder))
    assert [row["iteration"] for row in history(second)] == [3]
    assert len(samples(folder)) == 12 and table(second) == samples(folder)


def test_without_a_key_one_line_says_that_the_run_is_offline(resumed):
    folder, output = resumed
    lines = [line for line in output.splitlines() if "wandb" in line]
    assert lines == [
        f"wandb   offline, in {folder}/wandb: no API key is configured (`wandb login` stores one)",
        f"wandb   to upload what is offline: wandb sync {folder}/wandb",
    ]


def test_wandb_is_imported_only_if_asked_for_and_can_be_disabled(environment, tmp_path):
    code = (
        "import sys, train, pathlib\n"
        "from hir.config.load import load_config\n"
        "from hir.quiet import quiet_libraries\n"
        "config = load_config([])\n"
        "quiet_libraries()  # only once Lightning is imported does that last\n"
        "train.build_trainer(config, pathlib.Path('nowhere'))\n"
        "assert 'wandb' not in sys.modules\n"
        "status = train.main(sys.argv[1:])\n"
        "assert 'wandb' in sys.modules\n"
        "sys.exit(status)\n"
    )
    folder = tmp_path / "run"
    arguments = [*SMALL, "trainer.max_epochs=1", "logger=wandb", f"run_dir={folder}"]
    program = tmp_path / "program.py"
    program.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}")
    disabled = without_account(environment, tmp_path / "home", WANDB_MODE="disabled")
    done = run(disabled, *arguments, program=str(program))
    assert (done.returncode, done.stderr) == (0, "")
    assert "wandb   disabled by WANDB_MODE" in done.stdout
    assert (folder / "summary.json").exists() and not (folder / "wandb").exists()


# In this process, without training


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a run's logger as a program of its own would."""
    for name, text in without_account(dict(os.environ), tmp_path / "home", WANDB_MODE="offline").items():
        monkeypatch.setenv(name, text)

    def start(config: Config, folder: Path = tmp_path / "run") -> RunLogger:
        wandb.teardown()  # what was read of the environment before
        logger = RunLogger(config, folder)
        assert logger.experiment is logger.experiment
        return logger

    yield start
    wandb.teardown()


def log(logger, iterations: list[int]) -> None:
    """Log rows as a run does that has a history of such iterations."""
    rows = [{"iteration": i, "samples": 10 * i, "val/accuracy": i / 10} for i in iterations]
    recorder = SimpleNamespace(history=rows, samples=[])
    trainer = SimpleNamespace(is_global_zero=True, logger=logger, should_stop=False, max_epochs=9)
    WandbReport(logger.config, recorder).on_train_start(trainer, None)


def test_a_run_that_had_no_w_and_b_before_is_logged_from_its_base(start, tmp_path):
    logger = start(Config(logger="wandb", resume="run"))
    log(logger, [0, 1, 2])
    logger.finish()
    (part,) = parts(tmp_path / "run")
    assert [row["iteration"] for row in history(part)] == [0, 1, 2]


def test_an_offline_part_that_was_killed_is_logged_anew(start, tmp_path):
    first = start(Config(logger="wandb"))
    log(first, [0])
    log(first, [0, 1])
    first.finish()
    killed = start(Config(logger="wandb", resume="run"))
    log(killed, [0, 1, 2, 3])
    again = start(Config(logger="wandb", resume="run"))  # wandb may not have written all of the part
    log(again, [0, 1, 2])
    again.finish()
    assert run_id(tmp_path / "run") == first.experiment.id
    assert [[row["iteration"] for row in history(part)] for part in parts(tmp_path / "run")] == [[0, 1], [2]]


def test_a_part_that_was_killed_and_uploaded_is_kept(start, tmp_path):
    killed = start(Config(logger="wandb"))
    log(killed, [0, 1])
    (part,) = parts(tmp_path / "run")
    (part / f"run-{killed.experiment.id}.wandb.synced").touch()
    again = start(Config(logger="wandb", resume="run"))
    log(again, [0, 1, 2])
    again.finish()
    assert part.exists() and killed.unsent() == parts(tmp_path / "run")[1:]
    assert [row["iteration"] for row in history(parts(tmp_path / "run")[1])] == [2]


def test_a_run_that_fails_before_its_first_iteration_leaves_nothing(start, tmp_path):
    logger = start(Config(logger="wandb"))
    log(logger, [0])
    logger.finalize("failed")
    assert not (tmp_path / "run").exists()
    later = start(Config(logger="wandb"))
    log(later, [0, 1])
    later.finalize("failed")
    assert [row["iteration"] for row in history(parts(tmp_path / "run")[0])] == [0, 1]


def test_a_damaged_note_of_the_progress_is_named(start, tmp_path):
    (tmp_path / "run/wandb").mkdir(parents=True)
    (tmp_path / "run/wandb/hir.json").write_text("{")
    with pytest.raises(UserError, match=r"hir\.json is damaged"):
        start(Config(logger="wandb", resume="run"))


def test_a_server_that_does_not_answer_is_given_up_and_named(start, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
    logger = start(Config(logger="wandb"))
    assert logger.experiment.offline and "127.0.0.1:9" in logger.problem and "\n" not in logger.problem
    log(logger, [0])
    logger.finish()
    (part,) = parts(tmp_path / "run")
    assert part.name.startswith("offline-run-")
    assert KEY not in logger.problem


@pytest.mark.parametrize(
    ("argument", "variables", "told"),
    [
        ("wandb.project=a/b", {}, "Invalid project name 'a/b'"),
        ("wandb.tags=['']", {}, "run_tags: Tag at index 0 is empty"),
        (f"wandb.tags={'x' * 70}", {}, "run_tags: .* is 70 characters"),
        ("wandb.name=n", {"WANDB_RUN_ID": "a/b"}, "Run ID cannot contain"),
        ("wandb.name=n", {"WANDB_MODE": "on"}, "mode: Input should be 'online'"),
        ("wandb.name=n", {"WANDB_INIT_TIMEOUT": "soon"}, "init_timeout: Input should be a valid number"),
        ("wandb.name=n", {"WANDB_BASE_URL": f"wandb.example/{KEY}"}, "base_url: Input should be a valid URL"),
        (
            "wandb.name=n",
            {"WANDB_HTTP_TIMEOUT": "1.5", "WANDB_MODE": "online", "WANDB_API_KEY": KEY},
            "int.* '1.5'",
        ),
    ],
)
def test_settings_that_wandb_refuses_are_told_in_one_line(
    start, tmp_path, monkeypatch, argument, variables, told
):
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(UserError, match=f"^wandb refuses its settings: .*{told}") as caught:
        start(load_config(["logger=wandb", argument]))
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert not (tmp_path / "run").exists()


class FakeRun:
    """A W&B run without W&B: notes the calls, and raises what it is given for them."""

    id, url, step, sweep_id, disabled = "r", "https://wandb.example/r", 0, None, False

    def __init__(self, folder: Path, offline: bool = False, **raises: Exception) -> None:
        self.sync_dir = str(folder / "wandb" / "run-r")
        self.offline = offline
        self.raises = raises
        self.calls: list[str] = []
        self.config = SimpleNamespace(keys={}.keys, update=lambda *arguments: None)
        self.summary = {}

    def __getattr__(self, name: str):
        def call(*arguments, **options):
            self.calls.append(f"{name} {options['timeout']}" if "timeout" in options else name)
            if name in self.raises:
                raise self.raises[name]
            return self  # log_artifact gives what is waited for

        return call


@pytest.fixture
def end(tmp_path, monkeypatch):
    """Logs the base and an iteration to a fake run and ends the training; gives the logger and its calls."""
    monkeypatch.setattr(wandb, "Image", lambda path: path)
    monkeypatch.setattr(wandb, "Artifact", lambda *_, **__: SimpleNamespace(add_file=lambda *_, **__: None))

    def end(run: FakeRun, **settings) -> tuple[RunLogger, list[str]]:
        config = load_config(["logger=wandb", *(f"wandb.{key}={value}" for key, value in settings.items())])
        logger = RunLogger(config, tmp_path / "run")
        logger._experiment, logger.progress = run, Progress("r", finished=False)
        rows = [{"iteration": i, "samples": i} for i in range(2)]
        summary = {"test": {"accuracy": 0.5}, "iterations": 1, "samples": 1, "updates": 1}
        recorder = SimpleNamespace(
            history=rows[:1], samples=[], folder=tmp_path / "run", summary=lambda: summary
        )
        trainer = SimpleNamespace(is_global_zero=True, logger=logger, should_stop=False, max_epochs=9)
        report = WandbReport(config, recorder)
        report.on_train_start(trainer, None)
        recorder.history = rows
        report.on_train_epoch_end(trainer, None)
        report.on_train_end(trainer, None)
        return logger, [call for call in run.calls if call != "define_metric"]

    return end


@pytest.mark.parametrize("error", [ConnectionResetError, wandb.Error, HandleAbandonedError])
def test_a_run_goes_on_without_w_and_b_when_its_process_is_lost(end, tmp_path, capsys, error):
    logger, calls = end(FakeRun(tmp_path / "run", log=error("Connection lost")))
    logger.log_metrics({"a": 1.0})
    logger.finalize("failed")
    assert calls == ["log"] and logger.experiment.calls[-1] == "log"
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["wandb   lost: Connection lost; the run goes on without it"]


def test_a_defect_of_ours_is_no_loss_of_w_and_b(end, tmp_path):
    with pytest.raises(KeyError):
        end(FakeRun(tmp_path / "run", log=KeyError("ours")))


@pytest.mark.parametrize("call", ["log_artifact", "finish"])
def test_w_and_b_may_be_lost_at_the_end(end, tmp_path, capsys, call):
    logger, calls = end(
        FakeRun(tmp_path / "run", **{call: ConnectionResetError("gone")}), log_checkpoint=True
    )
    assert calls[-1] == call and logger.lost and not logger.progress.finished
    assert capsys.readouterr().out.splitlines()[1:] == ["wandb   lost: gone; the run goes on without it"]


def test_what_is_not_uploaded_in_time_is_said(end, tmp_path, capsys):
    logger, calls = end(FakeRun(tmp_path / "run", finish=TimeoutError()))
    assert calls == ["log", "log", "log", "finish"] and logger.progress.finished
    command = f"wandb sync --include-online {tmp_path}/run/wandb/run-r"
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"wandb   not all was uploaded in time; later: {command}"
    ]


def test_the_checkpoint_alone_is_waited_for_long(end, tmp_path, capsys):
    _, calls = end(FakeRun(tmp_path / "run"), log_checkpoint=True)
    assert calls[3:] == ["log_artifact", "wait 3600", "finish"]
    _, calls = end(FakeRun(tmp_path / "run", wait=ValueError("over quota")), log_checkpoint=True)
    assert calls[3:] == ["log_artifact", "wait 3600", "finish"]
    _, calls = end(FakeRun(tmp_path / "run", offline=True), log_checkpoint=True)
    assert calls[3:] == ["log_artifact", "finish"]
    lines = [line for line in capsys.readouterr().out.splitlines() if "upload" in line]
    assert lines == ["wandb   the checkpoint was not uploaded: over quota"]


@pytest.mark.parametrize(
    ("resumed", "starting_step", "logged"), [(True, 2, 1), (True, 3, 2), (True, 4, 3), (False, 0, 3)]
)
def test_rows_that_a_killed_part_had_not_sent_are_logged_again(
    start, tmp_path, monkeypatch, resumed, starting_step, logged
):
    (tmp_path / "run/wandb").mkdir(parents=True)
    (tmp_path / "run/wandb/hir.json").write_text(
        '{"id": "r", "logged": 3, "part": "run-r", "finished": false}'
    )
    run, given = FakeRun(tmp_path / "run"), {}
    run.resumed, run.starting_step = resumed, starting_step

    def settings(**arguments):
        given.update(arguments)
        return SimpleNamespace(mode="offline")

    monkeypatch.setattr(wandb, "Settings", settings)
    monkeypatch.setattr(wandb, "setup", lambda settings: SimpleNamespace(settings=settings))
    monkeypatch.setattr(wandb, "init", lambda **arguments: given.update(arguments) or run)
    config = load_config(["logger=wandb", "wandb.log_checkpoint=true"])
    logger = start(replace(config, resume="run"))
    assert (logger.progress.logged, logger.progress.before) == (logged, logged)
    assert (given["id"], given["resume"], given["finish_timeout"]) == ("r", "allow", 120)


@pytest.mark.filterwarnings("ignore:unclosed file .*sweep.yaml:ResourceWarning")  # wandb leaves it open
def test_a_sweeps_agent_chooses_the_run_and_its_settings_are_kept(start, tmp_path, monkeypatch, capsys):
    (tmp_path / "sweep.yaml").write_text(
        "wandb_version: 1\ntask: {value: word_sorting}\nmethod.alpha: {value: 0.1}\nseed: {value: 3}\n"
    )
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "chosen1")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "sweep.yaml"))
    config = load_config(["logger=wandb", "task=word_sorting", "method.alpha=0.1", "seed=3"])
    logger = start(config)
    run = logger.experiment
    assert (run.id, run.sweep_id) == ("chosen1", "sweep1")
    assert run.config["task"] == "word_sorting" and run.config["task.name"] == "word_sorting"
    assert run.config["task.settings"] == config.task.settings
    assert run.config["method.alpha"] == run.config["method"]["alpha"] == 0.1
    assert run.config["seed"] == 3 and run.config["training"]["lr"] == config.training.lr
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("HIR_RUN_DIR", raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())  # which run_folder adds the folder to
    assert run_folder(config).name.endswith("-chosen1")
