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
from hir.tasks import base
from hir.tasks import download as downloads
from hir.tasks.download import BBH_SHA256, BIGBENCH_FILES, download, remote_file

NAME = "date_understanding"
ROWS = [{"input": f"What is {i}+1?", "target": str(i + 1)} for i in range(30)]
GOOD = json.dumps({"examples": ROWS}).encode()
OTHER = json.dumps({"examples": ROWS[:20]}).encode()


class Server(ThreadingHTTPServer):
    """Serves ``content`` for every path, in the way that ``mode`` says."""

    content = GOOD
    mode = "good"
    num_requests = 0
    last_path = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.num_requests += 1
        self.server.last_path = self.path
        if self.server.mode == "redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            return
        if self.server.mode == "slow":
            time.sleep(1.0)
            return
        self.send_response(404 if self.server.mode == "missing" else 200)
        content = self.server.content
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:100] if self.server.mode == "cut" else content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(BBH_SHA256, NAME, hashlib.sha256(GOOD).hexdigest())
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def files() -> list[str]:
    return sorted(str(p.relative_to(cache_dir())) for p in cache_dir().rglob("*") if p.is_file())


def refused(server: Server, message: str, source: str = "bbh") -> None:
    """A download must fail with one line that says why and what else to do, and leave the cache alone."""
    before = files()
    with pytest.raises(UserError) as error:
        download(source, NAME, server.url, timeout=0.2)
    assert message in str(error.value)
    assert str(error.value).startswith(f"could not download {server.url}/")
    assert str(error.value).endswith("; task.data_dir=DIR reads local files instead")
    assert "\n" not in str(error.value)
    assert files() == before


def test_a_good_file_is_fetched_once(server: Server) -> None:
    path = download("bbh", NAME, server.url)
    assert path.read_bytes() == GOOD
    assert server.last_path.endswith(f"/9ee07bd481feebf959a6b59d61ea57bdcf30964d/bbh/{NAME}.json")
    assert download("bbh", NAME, server.url) == path
    assert server.num_requests == 1
    assert files() == [f"tasks/bbh/{NAME}.json"]


def test_a_corrupted_cache_file_is_fetched_again(server: Server) -> None:
    for source in ("bbh", "bigbench"):
        path = download(source, NAME, server.url)
        path.write_bytes(GOOD[:-1])
        assert download(source, NAME, server.url).read_bytes() == GOOD
    assert server.num_requests == 4


def test_wrong_hash(server: Server) -> None:
    server.content = OTHER
    refused(server, f"its sha256 is {hashlib.sha256(OTHER).hexdigest()[:12]}..., not the ")


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("missing", "HTTP Error 404"),
        ("cut", f"the connection was cut after 100 of {len(GOOD)} bytes"),
        ("slow", "timed out"),
        ("redirect", "HTTP Error 302"),
    ],
)
@pytest.mark.parametrize("source", ["bbh", "bigbench"])
def test_a_failed_fetch_leaves_nothing(server: Server, source: str, mode: str, message: str) -> None:
    server.mode = mode
    refused(server, message, source)
    assert files() == []


def test_no_server(server: Server) -> None:
    with socket.socket() as held:
        # A port that is bound but does not listen refuses connections.
        held.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match="could not download .*Connection refused.*task.data_dir=DIR"):
            download("bbh", NAME, f"http://127.0.0.1:{held.getsockname()[1]}", timeout=1.0)
    assert files() == []


def test_a_file_too_large(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MAX_BYTES", 1000)
    refused(server, "it is larger than 1000 bytes")


def test_the_first_sum_of_a_bigbench_file_is_locked(server: Server) -> None:
    path = download("bigbench", NAME, server.url)
    assert files() == [f"tasks/bigbench/{NAME}.json", f"tasks/bigbench/{NAME}.sha256"]
    path.unlink()
    server.content = OTHER
    refused(server, f"{NAME}.sha256 keeps", "bigbench")
    server.content = GOOD
    assert download("bigbench", NAME, server.url).read_bytes() == GOOD


def test_bigbench_rows_are_counted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BIGBENCH_FILES, NAME, (NAME, 31))
    refused(server, "it holds 30 examples, not 31", "bigbench")
    monkeypatch.setitem(BIGBENCH_FILES, NAME, (NAME, 30))
    assert download("bigbench", NAME, server.url).exists()


def test_a_page_that_is_no_task_is_refused(server: Server) -> None:
    server.content = b"<html>log in</html>"
    refused(server, "the file is not valid JSON", "bigbench")


def test_a_cache_that_cannot_be_written(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="Not a directory"):
        download("bbh", NAME, server.url)


def test_load_task_downloads(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "BASE_URL", server.url)
    task = base.load_task(TaskConfig(name=NAME), seed=0)
    assert (len(task.train), len(task.validation), len(task.test)) == (21, 3, 6)
    assert base.load_task(TaskConfig(name=NAME, source="bigbench"), seed=0).test == task.test


def test_the_table_holds_the_papers_tasks_over_https() -> None:
    assert downloads.BASE_URL.startswith("https://")
    assert set(BBH_SHA256) == set(BIGBENCH_FILES) and len(BBH_SHA256) == 12
    five = remote_file("bigbench", "logical_deduction_five_objects")
    assert five.path.endswith("bigbench/benchmark_tasks/logical_deduction/five_objects/task.json")
    assert five.sha256 is not None and five.num_rows == 500


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    atomic_write(path, b"old")
    with pytest.raises(TypeError):
        atomic_write(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIR_CACHE", "/somewhere")
    assert cache_dir() == Path("/somewhere")
    monkeypatch.delenv("HIR_CACHE")
    assert cache_dir() == Path.home() / ".cache" / "hir"
