"""Files that the package index holds: they are read and checked, nothing of them is run."""

import hashlib
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import wrap_file


@contextmanager
def packaged(name: str, sha256: str) -> Iterator[IO[bytes]]:
    """A package's file, from where pip says by its own settings; a bar shows how far it is.

    Raises OSError, or HTTPException, where it cannot be had or has another checksum.
    """
    ask = [sys.executable, "-m", "pip", "index", "versions", name.partition("-")[0], "-vv"]
    answered = subprocess.run(ask, capture_output=True, text=True, timeout=300)
    link = re.search(rf"Found link (\S+/{re.escape(name)})", answered.stdout)
    if link is None:
        reason = answered.stderr.strip().rpartition("\n")[2]
        raise OSError(f"pip finds no {name}: {reason}")
    digest = hashlib.sha256()
    with urllib.request.urlopen(link[1], timeout=30.0) as response, tempfile.TemporaryFile() as file:
        size, console = int(response.headers["Content-Length"] or 0), Console(stderr=True)
        with wrap_file(response, total=size, description=name, console=console) as shown:
            while content := shown.read(2**20):
                digest.update(content)
                file.write(content)
        if digest.hexdigest() != sha256:
            raise OSError(f"{name} came with another sha256 than {sha256[:12]}...")
        file.seek(0)
        yield file
