"""The file of a task: in a folder of yours, or, of the paper's 12, downloaded at a pinned commit and cached.

A downloaded file is what its checksum says or it is refused, wherever it came from. Where GitHub cannot be
reached BIG-bench's own files come from the package index: the package bigbench holds them.
"""

import hashlib
import http.client
import os
import sys
import tarfile
import urllib.request
from pathlib import Path

from hir.config.keys import suggest
from hir.errors import UserError
from hir.files import atomic_write, cache_dir, clear_leftovers
from hir.packages import packaged

ENDS = ("*.json", "*.jsonl", "*/task.json", "*/*/task.json")

GITHUB = "https://raw.githubusercontent.com/"
BBH = "suzgunmirac/BIG-Bench-Hard/9ee07bd481feebf959a6b59d61ea57bdcf30964d/bbh/{}.json"
BIGBENCH = "google/BIG-bench/092b196c1f8f14a54bbc62f24759d43bde46dd3b/bigbench/benchmark_tasks/{}/task.json"
# The first half of the sha256 of a task's file in each, and its path in BIG-bench.
CHECKSUMS = """
0148d4ac5fca05b2f82373e5fef7208e ff716f0e399109146db3a998281c3995 date_understanding
07be68a124420caa2ebc0b2c858ad79f 39d326b8b77194140b7dce26eda153e3 geometric_shapes
d2df31394b903b7f0e085d42a69572a0 552dec4d5067bdbe033e78e80fdf1f5a logical_deduction/five_objects
2896c7e3482eea318dd37bcc370d24ec 5e24146d600b1b2e2d8958e23851e7c9 logical_deduction/seven_objects
e590fae72e3a6041fbd23bd8ff6b74ba 5e3f4a7569cb70bb1469374d3d34fb78 logical_deduction/three_objects
8acef14dbbdd40d2326ef7755750b6b5 ec6371b4d9078a871ef6962d4991d231 object_counting
bb87ee449698eee51215e025a453b1bc f743ab0bd8d500798fc0ab83fdd3547b penguins_in_a_table
0a8850cf95166020fce7a78244026cee 0e5dbba357356e5bf4d0a27dd80c8af7 reasoning_about_colored_objects
2063a46a4fb484236ed4310523606543 6f747716801cb688d6b9a509f309a15c tracking_shuffled_objects/five_objects
b59fd05b850c37cf57cb514ae1e6975c 29126218e7354afda8f50ab2a44daaef tracking_shuffled_objects/seven_objects
546cc7bf10c6a01a6a4c17ae28a49664 74b74d3c8827c0387a3f24ee9efa7edd tracking_shuffled_objects/three_objects
2a6132d2c99f00d0d2eb1113ac6b4a91 8633aac2c5e59b0580f17a702d78c3a8 word_sorting
"""

SOURCES: dict[str, dict[str, tuple[str, str]]] = {"bbh": {}, "bigbench": {}}
"""URL and checksum of the paper's 12 tasks in each format."""
for bbh, bigbench, path in map(str.split, CHECKSUMS.strip().splitlines()):
    name = path.replace("/", "_")
    SOURCES["bbh"][name] = (GITHUB + BBH.format(name), bbh)
    SOURCES["bigbench"][name] = (GITHUB + BIGBENCH.format(path), bigbench)


def find_file(data_dir: str, name: str) -> Path:
    """The file of task ``name`` in ``data_dir``; UserError, with the nearest name there, if there is none.

    It is NAME.json, NAME.jsonl, or BIG-bench's nested NAME/task.json, where a/b/task.json is a_b. IFEval's
    own file, input_data.jsonl, is that of task ifeval.
    """
    folder = Path(os.path.expanduser(data_dir))  # unlike Path's, these two raise for no text
    if not os.path.isdir(folder):
        raise UserError(f"task.data_dir={data_dir} is not a folder")
    found: dict[str, Path] = {}
    for file in (file for end in ENDS for file in folder.glob(end) if file.is_file()):
        parts = file.relative_to(folder).parts
        found.setdefault("_".join(parts[:-1]) or file.stem.replace("input_data", "ifeval"), file)
    if name not in found:
        raise UserError(f"task.data_dir={data_dir} holds no file of task {name}{suggest(name, found)}")
    return found[name]


def download(source: str, name: str) -> Path:
    """The task's file in the cache, fetched if it is not there or not what it should be.

    Raises UserError, with the cache as it was, if the file cannot be had or has another checksum.
    """
    url, expected = SOURCES[source][name]
    folder = cache_dir() / "tasks" / source
    path = folder / f"{name}.json"
    try:
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest().startswith(expected):
            return path
        print(f"downloading {url}", file=sys.stderr)
        try:
            with urllib.request.urlopen(url, timeout=30.0) as response:
                contents = {name: response.read()}
        except (OSError, http.client.HTTPException) as error:
            if source != "bigbench":
                raise
            print(f"that failed ({error}): asking the package index for {PACKAGE}", file=sys.stderr)
            contents = _packaged_files()
        for task, content in contents.items():
            if not hashlib.sha256(content).hexdigest().startswith(expected := SOURCES[source][task][1]):
                raise OSError(f"{len(content)} bytes came with another sha256 than {expected[:12]}...")
        clear_leftovers(folder, age=3600)
        for task, content in contents.items():
            atomic_write(folder / f"{task}.json", content)
    except (OSError, http.client.HTTPException) as error:
        instead = "task.data_dir=DIR reads local files instead"
        raise UserError(f"could not download {url}: {error}; {instead}") from error
    return path


PACKAGE = "bigbench-1.0.0.tar.gz"
PACKAGE_SHA256 = "1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2"


def _packaged_files() -> dict[str, bytes]:
    """The 12 tasks' files by name, out of the package's archive of 358 MB; raises OSError."""
    files = {}
    with packaged(PACKAGE, PACKAGE_SHA256) as archive, tarfile.open(fileobj=archive, mode="r:gz") as members:
        for member in members:
            path = member.name.partition("/benchmark_tasks/")[2]
            name = path.removesuffix("/task.json").replace("/", "_")
            if name in SOURCES["bigbench"] and (file := members.extractfile(member)):
                files[name] = file.read()
    return files
