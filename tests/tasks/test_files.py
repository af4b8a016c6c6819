"""The downloader, whose URLs lead to a file and to sockets of this machine."""

import hashlib
import json
import os
import socket
import tarfile
import threading
from io import BytesIO
from pathlib import Path

import pytest

from hir.config.schema import TaskConfig
from hir.errors import UserError
from hir.files import atomic_write, cache_dir
from hir.tasks.base import load_task
from hir.tasks.files import CHECKSUMS, PACKAGE, SOURCES, download

NAME = "date_understanding"
GOOD = json.dumps({"examples": [{"input": f"{i} + 1?", "target": str(i + 1)} for i in range(30)]}).encode()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that both sources have for one task, and an empty cache."""
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path = tmp_path / "served.json"
    path.write_bytes(GOOD)
    for files in SOURCES.values():
        monkeypatch.setitem(files, NAME, (path.as_uri(), hashlib.sha256(GOOD).hexdigest()))
    return path


def files() -> list[str]:
    return sorted(str(p.relative_to(cache_dir())) for p in cache_dir().rglob("*") if p.is_file())


def test_a_file_is_fetched_once_and_again_if_broken(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = download("bbh", NAME)
    assert path.read_bytes() == GOOD and files() == [f"tasks/bbh/{NAME}.json"]
    assert capsys.readouterr().err == f"downloading {served.as_uri()}\n"
    assert download("bbh", NAME) == path and capsys.readouterr().err == ""
    path.write_bytes(GOOD[:-1])
    assert download("bbh", NAME).read_bytes() == GOOD and capsys.readouterr().err


@pytest.mark.parametrize("mode", ["gone", "other", "cut"])
def test_a_failure_is_one_line_and_leaves_nothing(
    served: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    url, sha256 = SOURCES["bbh"][NAME]
    message = "No such file"
    if mode == "gone":
        served.unlink()
    elif mode == "other":
        served.write_bytes(GOOD.replace(b"1", b"2"))
        message = f"{len(GOOD)} bytes came with another sha256 than "
    else:
        server = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setitem(SOURCES["bbh"], NAME, (url, sha256))
        threading.Thread(target=answer_half, args=[server]).start()
        message = "IncompleteRead(4 bytes read"
    with pytest.raises(UserError) as error:
        download("bbh", NAME)
    assert str(error.value).startswith(f"could not download {url}: ") and message in str(error.value)
    assert str(error.value).endswith("; task.data_dir=DIR reads local files instead")
    assert "\n" not in str(error.value) and files() == []


def test_bigbench_comes_from_the_package_index_where_github_cannot_be_reached(
    served: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "simple" / "bigbench"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(f'<a href="{PACKAGE}">{PACKAGE}</a>')
    with tarfile.open(folder / PACKAGE, "w:gz") as archive:
        for *_, path in map(str.split, CHECKSUMS.strip().splitlines()):
            member = tarfile.TarInfo(f"bigbench-1.0.0/bigbench/benchmark_tasks/{path}/task.json")
            member.size = len(GOOD)
            archive.addfile(member, BytesIO(GOOD))
    for name in SOURCES["bigbench"]:
        url, sha256 = "http://127.0.0.1:9/task.json", hashlib.sha256(GOOD).hexdigest()
        monkeypatch.setitem(SOURCES["bigbench"], name, (url, sha256))
    for variable, value in {"INDEX_URL": (tmp_path / "simple").as_uri(), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{variable}", value)
    with pytest.raises(UserError, match=f"{PACKAGE} came with another sha256 than 1bb398a5512c"):
        download("bigbench", NAME)
    assert files() == []
    packed = hashlib.sha256((folder / PACKAGE).read_bytes()).hexdigest()
    monkeypatch.setattr("hir.tasks.files.PACKAGE_SHA256", packed)
    assert download("bigbench", NAME).read_bytes() == GOOD and len(files()) == 12
    assert f"asking the package index for {PACKAGE}" in capfd.readouterr().err


def answer_half(server: socket.socket) -> None:
    with server, server.accept()[0] as connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nhalf")


def test_a_task_comes_from_either_source(served: Path) -> None:
    tasks = [load_task(TaskConfig(name=NAME, source=source), seed=0) for source in ("bbh", "bigbench")]
    assert {(len(task.train), len(task.validation), len(task.test)) for task in tasks} == {(21, 3, 6)}
    assert files() == [f"tasks/bbh/{NAME}.json", f"tasks/bigbench/{NAME}.json"]


def test_the_papers_tasks_are_pinned_in_both_formats_and_come_over_https() -> None:
    bbh, bigbench = SOURCES["bbh"], SOURCES["bigbench"]
    assert set(bbh) == set(bigbench) and len(bbh) == 12
    pinned = [*bbh.values(), *bigbench.values()]
    assert all(url.startswith("https://raw.githubusercontent.com/") for url, _ in pinned)
    assert len({sha256 for _, sha256 in pinned if len(sha256) == 32}) == 24


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    atomic_write(path, b"old")
    with pytest.raises(TypeError):
        atomic_write(path, "text")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"^{path}/below cannot be written: File exists$"):
        atomic_write(path / "below", b"new")
    assert path.read_bytes() == b"old" and [*path.parent.iterdir()] == [path]
