"""The downloader against a real server on this machine."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hir.config.schema import TaskConfig
from hir.errors import UserError
from hir.files import atomic_write, cache_dir
from hir.tasks.base import load_task
from hir.tasks.download import SOURCES, download

NAME = "date_understanding"
GOOD = json.dumps(
    {"examples": [{"input": f"What is {i}+1?", "target": str(i + 1)} for i in range(30)]}
).encode()


class Server(ThreadingHTTPServer):
    """Serves GOOD for every path, in the way that ``mode`` says."""

    mode = "good"
    num_requests = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.num_requests += 1
        if self.server.mode == "slow":
            time.sleep(1.0)
            return
        self.send_response(404 if self.server.mode == "missing" else 200)
        self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        self.wfile.write(GOOD[:100] if self.server.mode == "cut" else GOOD)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server that has one task of each source, and an empty cache."""
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as running:
        for source, files in SOURCES.items():
            url = f"http://127.0.0.1:{running.server_port}/{source}.json"
            monkeypatch.setitem(files, NAME, (url, hashlib.sha256(GOOD).hexdigest()))
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def files() -> list[str]:
    return sorted(str(p.relative_to(cache_dir())) for p in cache_dir().rglob("*") if p.is_file())


def test_a_file_is_fetched_once_and_again_where_it_is_broken(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    path = download("bbh", NAME)
    assert path.read_bytes() == GOOD and files() == [f"tasks/bbh/{NAME}.json"]
    assert capsys.readouterr().err == f"downloading {SOURCES['bbh'][NAME][0]}\n"
    assert download("bbh", NAME) == path
    assert server.num_requests == 1 and capsys.readouterr().err == ""
    path.write_bytes(GOOD[:-1])
    assert download("bbh", NAME).read_bytes() == GOOD
    assert server.num_requests == 2


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("missing", "HTTP Error 404"),
        ("slow", "timed out"),
        ("cut", "IncompleteRead"),
        ("other", f"{len(GOOD)} bytes came with another sha256 than 0000..."),
        ("none", "Connection refused"),
        ("cache", "Not a directory"),
    ],
)
def test_a_failure_is_one_line_and_leaves_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str, message: str
) -> None:
    url, _ = SOURCES["bbh"][NAME]
    server.mode = mode
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # a port that does not listen refuses connections
        if mode == "none":
            url = f"http://127.0.0.1:{held.getsockname()[1]}/"
            monkeypatch.setitem(SOURCES["bbh"], NAME, (url, ""))
        elif mode == "other":
            monkeypatch.setitem(SOURCES["bbh"], NAME, (url, "0000"))
        elif mode == "cache":
            (tmp_path / "file").write_text("")
            monkeypatch.setenv("HIR_CACHE", str(tmp_path / "file"))
        with pytest.raises(UserError) as error:
            download("bbh", NAME, timeout=0.2)
    if mode == "missing":
        error.value.__cause__.close()  # type: ignore[union-attr]  # it is an open response
    assert str(error.value).startswith(f"could not download {url}: ") and message in str(error.value)
    assert str(error.value).endswith("; task.data_dir=DIR reads local files instead")
    assert "\n" not in str(error.value) and files() == []


def test_load_task_downloads_from_either_source(server: Server) -> None:
    task = load_task(TaskConfig(name=NAME), seed=0)
    assert (len(task.train), len(task.validation), len(task.test)) == (21, 3, 6)
    assert load_task(TaskConfig(name=NAME, source="bigbench"), seed=0).test == task.test
    assert files() == [f"tasks/bbh/{NAME}.json", f"tasks/bigbench/{NAME}.json"]


def test_the_papers_tasks_are_pinned_in_both_formats_and_come_over_https() -> None:
    bbh, bigbench = SOURCES["bbh"], SOURCES["bigbench"]
    assert set(bbh) == set(bigbench) and len(bbh) == 12
    pinned = [*bbh.values(), *bigbench.values()]
    assert all(url.startswith("https://raw.githubusercontent.com/") for url, _ in pinned)
    assert len({sha256 for _, sha256 in pinned if len(sha256) == 64}) == 24
    name = "logical_deduction_five_objects"
    assert bbh[name][0].endswith(f"/9ee07bd481feebf959a6b59d61ea57bdcf30964d/bbh/{name}.json")
    assert bigbench[name][0].endswith("/benchmark_tasks/logical_deduction/five_objects/task.json")


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    atomic_write(path, b"old")
    with pytest.raises(TypeError):
        atomic_write(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]
