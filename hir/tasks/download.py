"""Downloading the paper's 12 tasks from their public repositories, at pinned commits, into the cache."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hir.errors import UserError
from hir.files import atomic_write, cache_dir
from hir.tasks.bigbench import parse_rows

BASE_URL = "https://raw.githubusercontent.com"
BBH = "suzgunmirac/BIG-Bench-Hard/9ee07bd481feebf959a6b59d61ea57bdcf30964d/bbh"
BIGBENCH = "google/BIG-bench/092b196c1f8f14a54bbc62f24759d43bde46dd3b/bigbench/benchmark_tasks"
MAX_BYTES = 32 * 2**20

BBH_SHA256 = {
    "date_understanding": "0148d4ac5fca05b2f82373e5fef7208e15363b9c6079493034d77b3dab496bf5",
    "geometric_shapes": "07be68a124420caa2ebc0b2c858ad79fc55c5c8806170e496e1e17ebfb11f31c",
    "logical_deduction_five_objects": "d2df31394b903b7f0e085d42a69572a092987856eac076799017d70ef266fa8f",
    "logical_deduction_seven_objects": "2896c7e3482eea318dd37bcc370d24ec3cc91e8374c1784287b5dbd38a529e33",
    "logical_deduction_three_objects": "e590fae72e3a6041fbd23bd8ff6b74baf44ca563f6ba40a041c55e7b867c1681",
    "object_counting": "8acef14dbbdd40d2326ef7755750b6b5fe919fef06276af1bab3f1c297f022ff",
    "penguins_in_a_table": "bb87ee449698eee51215e025a453b1bcb2f5e6589c2063b2c79e68b8f0655228",
    "reasoning_about_colored_objects": "0a8850cf95166020fce7a78244026ceedd7ea839302471512b4f8744e85a6a49",
    "tracking_shuffled_objects_five_objects": "2063a46a4fb484236ed4310523606543a3e1dd4a4dc34eda65d407910ece25a5",  # noqa: E501
    "tracking_shuffled_objects_seven_objects": "b59fd05b850c37cf57cb514ae1e6975c00b1638ade2291722056b2af3c54084d",  # noqa: E501
    "tracking_shuffled_objects_three_objects": "546cc7bf10c6a01a6a4c17ae28a4966485f21f29fd5d111f37858ec78e354f6b",  # noqa: E501
    "word_sorting": "2a6132d2c99f00d0d2eb1113ac6b4a918bd969d863c48749210d969713db8d43",
}
"""Checksum of each BIG-Bench Hard file; its keys are the 12 tasks of the paper."""

# Folder in BIG-bench and, where known, the number of rows.
BIGBENCH_FILES: dict[str, tuple[str, int | None]] = {
    "date_understanding": ("date_understanding", None),
    "geometric_shapes": ("geometric_shapes", None),
    "logical_deduction_five_objects": ("logical_deduction/five_objects", 500),
    "logical_deduction_seven_objects": ("logical_deduction/seven_objects", 700),
    "logical_deduction_three_objects": ("logical_deduction/three_objects", 300),
    "object_counting": ("object_counting", 1000),
    "penguins_in_a_table": ("penguins_in_a_table", None),
    "reasoning_about_colored_objects": ("reasoning_about_colored_objects", 2000),
    "tracking_shuffled_objects_five_objects": ("tracking_shuffled_objects/five_objects", 1250),
    "tracking_shuffled_objects_seven_objects": ("tracking_shuffled_objects/seven_objects", 1750),
    "tracking_shuffled_objects_three_objects": ("tracking_shuffled_objects/three_objects", 750),
    "word_sorting": ("word_sorting", 1900),
}

BIGBENCH_SHA256 = {
    "logical_deduction_five_objects": "552dec4d5067bdbe033e78e80fdf1f5a8061d17b385379b8ec5104fa17d07918",
}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository and what is known of its content."""

    path: str
    """Path below the base URL."""
    sha256: str | None = None
    """Checksum; null: that of the first download counts from then on."""
    num_rows: int | None = None


def remote_file(source: str, name: str) -> RemoteFile:
    """Where the task lies in ``source`` (bbh or bigbench)."""
    if source == "bbh":
        return RemoteFile(f"{BBH}/{name}.json", BBH_SHA256[name])
    folder, num_rows = BIGBENCH_FILES[name]
    return RemoteFile(f"{BIGBENCH}/{folder}/task.json", BIGBENCH_SHA256.get(name), num_rows)


def download(source: str, name: str, base_url: str | None = None, timeout: float = 30.0) -> Path:
    """The task's file in the cache, fetched if it is not there or not what it was.

    ``timeout`` in seconds bounds each wait for the server and, times ten, the whole fetch. ``base_url`` is
    for tests. Raises UserError, with the cache as it was, for a failed fetch or unexpected content.
    """
    file = remote_file(source, name)
    path = cache_dir() / "tasks" / source / f"{name}.json"
    lock = path.with_suffix(".sha256")
    url = f"{base_url or BASE_URL}/{file.path}"
    try:
        expected = file.sha256 or (lock.read_text().strip() if lock.exists() else None)
        if expected and path.exists() and _sha256(path.read_bytes()) == expected:
            return path
        content = _fetch(url, timeout)
        found = _sha256(content)
        if expected is not None and found != expected:
            origin = f" that {lock} keeps" if file.sha256 is None else ""
            raise _failed(url, f"its sha256 is {found[:12]}..., not the {expected[:12]}...{origin}")
        try:
            num_rows = len(parse_rows(content, "the file"))
        except UserError as error:
            raise _failed(url, str(error)) from error
        if file.num_rows not in (None, num_rows):
            raise _failed(url, f"it holds {num_rows} examples, not {file.num_rows}")
        if file.sha256 is None:
            atomic_write(lock, f"{found}\n".encode())
        atomic_write(path, content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failed(url, str(error) or type(error).__name__) from error
    return path


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The pinned addresses redirect nowhere; following one could leave https."""

    def redirect_request(self, *args: Any) -> None:
        return None


def _fetch(url: str, timeout: float) -> bytes:
    deadline = time.monotonic() + 10 * timeout
    content = bytearray()
    try:
        response = urllib.request.build_opener(_NoRedirect).open(url, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()  # It is an open response.
        raise
    with response:
        length = response.headers.get("Content-Length")
        while chunk := response.read1(2**16):
            content += chunk
            if len(content) > MAX_BYTES:
                raise _failed(url, f"it is larger than {MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise _failed(url, f"it took longer than {10 * timeout:g} seconds")
    # read1 takes an early end of the connection for the end of the file.
    if length is not None and len(content) != int(length):
        raise _failed(url, f"the connection was cut after {len(content)} of {length} bytes")
    return bytes(content)


def _failed(url: str, reason: str) -> UserError:
    reason = " ".join(reason.split())
    return UserError(f"could not download {url}: {reason}; task.data_dir=DIR reads local files instead")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
