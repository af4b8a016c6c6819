"""Downloading the paper's 12 tasks from their public repositories, at pinned commits, into the cache.

A file is what its checksum says or it is refused, wherever it came from.
"""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.request
from pathlib import Path

from hir.errors import UserError
from hir.files import atomic_write, cache_dir, clear_leftovers


def _files(url: str, checksums: str) -> dict[str, tuple[str, str]]:
    """URL and sha256 by task, of lines "SHA256 PATH"; the path goes where the URL has {}."""
    lines = map(str.split, checksums.strip().splitlines())
    return {path.replace("/", "_"): (url.format(path), sha256) for sha256, path in lines}


SOURCES = {
    "bbh": _files(
        "https://raw.githubusercontent.com/suzgunmirac/BIG-Bench-Hard/"
        "9ee07bd481feebf959a6b59d61ea57bdcf30964d/bbh/{}.json",
        """
0148d4ac5fca05b2f82373e5fef7208e15363b9c6079493034d77b3dab496bf5 date_understanding
07be68a124420caa2ebc0b2c858ad79fc55c5c8806170e496e1e17ebfb11f31c geometric_shapes
d2df31394b903b7f0e085d42a69572a092987856eac076799017d70ef266fa8f logical_deduction_five_objects
2896c7e3482eea318dd37bcc370d24ec3cc91e8374c1784287b5dbd38a529e33 logical_deduction_seven_objects
e590fae72e3a6041fbd23bd8ff6b74baf44ca563f6ba40a041c55e7b867c1681 logical_deduction_three_objects
8acef14dbbdd40d2326ef7755750b6b5fe919fef06276af1bab3f1c297f022ff object_counting
bb87ee449698eee51215e025a453b1bcb2f5e6589c2063b2c79e68b8f0655228 penguins_in_a_table
0a8850cf95166020fce7a78244026ceedd7ea839302471512b4f8744e85a6a49 reasoning_about_colored_objects
2063a46a4fb484236ed4310523606543a3e1dd4a4dc34eda65d407910ece25a5 tracking_shuffled_objects_five_objects
b59fd05b850c37cf57cb514ae1e6975c00b1638ade2291722056b2af3c54084d tracking_shuffled_objects_seven_objects
546cc7bf10c6a01a6a4c17ae28a4966485f21f29fd5d111f37858ec78e354f6b tracking_shuffled_objects_three_objects
2a6132d2c99f00d0d2eb1113ac6b4a918bd969d863c48749210d969713db8d43 word_sorting
""",
    ),
    "bigbench": _files(
        "https://raw.githubusercontent.com/google/BIG-bench/"
        "092b196c1f8f14a54bbc62f24759d43bde46dd3b/bigbench/benchmark_tasks/{}/task.json",
        """
ff716f0e399109146db3a998281c39954907b78268a9b633a95582d63847822f date_understanding
39d326b8b77194140b7dce26eda153e33724edec45bc01893046671d35aaf21e geometric_shapes
552dec4d5067bdbe033e78e80fdf1f5a8061d17b385379b8ec5104fa17d07918 logical_deduction/five_objects
5e24146d600b1b2e2d8958e23851e7c958b1a7644a2540fa0de7fa3e51a68cf7 logical_deduction/seven_objects
5e3f4a7569cb70bb1469374d3d34fb7883445a9d5743e1a81fd8dcdaf6fcb40f logical_deduction/three_objects
ec6371b4d9078a871ef6962d4991d2318db0b399cca78a0c90678972bdb115d6 object_counting
f743ab0bd8d500798fc0ab83fdd3547b924e9c1acb15ca11b65ac228c0ab557a penguins_in_a_table
0e5dbba357356e5bf4d0a27dd80c8af76646979159f8f5b1918c6f1d03e54b5a reasoning_about_colored_objects
6f747716801cb688d6b9a509f309a15c934b7afe611535830a004ceeb0cd6285 tracking_shuffled_objects/five_objects
29126218e7354afda8f50ab2a44daaefdd63cc2bc23123c6b260b27dea3590a2 tracking_shuffled_objects/seven_objects
74b74d3c8827c0387a3f24ee9efa7edd90b2d53af3daacb9961341af66f750a0 tracking_shuffled_objects/three_objects
8633aac2c5e59b0580f17a702d78c3a8294092144c7bb1380192dd5bb4255f29 word_sorting
""",
    ),
}
"""The paper's 12 tasks in each format."""


def download(source: str, name: str) -> Path:
    """The task's file in the cache, fetched if it is not there or not what it should be.

    Raises UserError, with the cache as it was, if the file cannot be had or has another checksum.
    """
    url, expected = SOURCES[source][name]
    path = cache_dir() / "tasks" / source / f"{name}.json"
    try:
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == expected:
            return path
        print(f"downloading {url}", file=sys.stderr)
        with urllib.request.urlopen(url, timeout=30.0) as response:
            content = response.read()
        if hashlib.sha256(content).hexdigest() != expected:
            raise OSError(f"{len(content)} bytes came with another sha256 than {expected[:12]}...")
        clear_leftovers(path.parent, age=3600)
        atomic_write(path, content)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"could not download {url}: {error}; task.data_dir=DIR reads local files instead"
        ) from error
    return path
