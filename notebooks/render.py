"""Execute the notebooks, each in a new kernel, and render them as docs/notebooks/*.md:

  python notebooks/render.py [quickstart results new_task]

The notebooks themselves stay without outputs, so that a change of theirs is a change of text.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import MarkdownExporter

FOLDER = Path(__file__).resolve().parent
PAGES = FOLDER.parent / "docs" / "notebooks"
COLORS = re.compile(r"\x1b\[[0-9;]*m")


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, from a new kernel of this interpreter in the notebook's folder.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        # Over sockets of this user's own: a port is open to everyone on the machine.
        client = NotebookClient(notebook, timeout=1800, kernel_name="python3", coalesce_streams=True)
        kernel = client.create_kernel_manager()
        kernel.transport, kernel.ip = "ipc", f"{sockets}/kernel"
        client.execute(cwd=str(path.parent))
    return notebook


def render(notebook: nbformat.NotebookNode, name: str, pages: Path = PAGES) -> Path:
    """Write an executed notebook as NAME.md, its pictures beside it in NAME_files/."""
    files = f"{name}_files"
    text, resources = MarkdownExporter().from_notebook_node(
        notebook, {"output_files_dir": files, "unique_key": name}
    )
    shutil.rmtree(pages / files, ignore_errors=True)
    (pages / files).mkdir(parents=True)
    for picture, content in resources["outputs"].items():
        (pages / picture).write_bytes(content)
    text = "\n".join(line.rstrip() for line in COLORS.sub("", text).splitlines())
    text = re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", text)  # from notebook to notebook, from page to page
    page = pages / f"{name}.md"
    page.write_text(re.sub("\n{4,}", "\n\n\n", text).strip() + "\n", encoding="utf-8")
    return page


def main(names: list[str]) -> int:
    known = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    for name in names or known:
        if name not in known:
            print(f"error: there is no notebook {name!r}: {', '.join(known)}", file=sys.stderr)
            return 2
        try:
            print(
                f"{name}: {render(execute(FOLDER / f'{name}.ipynb'), name).relative_to(FOLDER.parent)}",
                flush=True,
            )
        except CellExecutionError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
