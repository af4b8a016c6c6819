"""The project's files agree with each other: requirements, pyproject, environment, Makefile."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def applies(requirement: Requirement, python: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"python_version": python})


def pins(python: str) -> dict[str, Version]:
    """Version by canonical name that requirements.txt installs on this Python; each may be pinned once."""
    chosen: dict[str, Version] = {}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    for requirement in (Requirement(line) for line in lines if line and not line.startswith("#")):
        if applies(requirement, python):
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and "*" not in specifier.version, f"{requirement}: no exact pin"
            name = canonicalize_name(requirement.name)
            assert name not in chosen, f"{name} is pinned twice on Python {python}"
            chosen[name] = Version(specifier.version)
    return chosen


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # The flags of a make that runs these tests are none of this one's.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    command = ["make", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("python", PYTHONS)
def test_requirements_pin_a_version_in_range(python: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = pins(python)
    for line in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        wanted = Requirement(line)
        if applies(wanted, python):
            name = canonicalize_name(wanted.name)
            assert name in pinned, f"{name} of pyproject.toml has no pin in requirements.txt"
            assert pinned[name] in wanted.specifier, f"{name}=={pinned[name]} is outside {wanted.specifier}"


def test_imported_packages_are_required() -> None:
    distributions = {"yaml": "pyyaml"}
    required = set(pins("3.10"))
    peers = {line.split("==")[0] for line in (ROOT / "benchmarks/requirements.txt").read_text().split()}
    own = {"hir", "train", "tests", "benchmarks", "examples", *sys.stdlib_module_names, "tomllib"}
    folders = [ROOT.glob(f"{folder}/**/*.py") for folder in ("hir", "tests", "benchmarks")]
    for path in (ROOT / "train.py", *itertools.chain(*folders)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            for name in {module.split(".")[0] for module in modules} - own:
                package = canonicalize_name(distributions.get(name, name))
                also = peers if path.parent.name == "benchmarks" else set()
                assert package in required | also, f"{path.relative_to(ROOT)} imports {name}: pin it"


def test_conda_environment_installs_the_requirements() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip_part,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip_part == ["-r requirements.txt"]
    (python,) = [entry for entry in environment["dependencies"] if str(entry).startswith("python=")]
    assert python.removeprefix("python=") in PYTHONS


def test_make_help_lists_every_target() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"help", "setup", "train", "test", "test-fast", "lint", "format", "types", "clean"} <= set(targets)
    shown = make().stdout
    assert [line.split()[0] for line in shown.split("\n\n")[0].splitlines()] == targets


def test_make_refuses_an_old_python_in_one_line(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")  # what python3.9 answers to the Makefile's version check
    old.chmod(0o755)
    done = make("test", f"PYTHON={old}", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        f"error: '{old}' is not Python 3.10 or newer; name one that is: make test PYTHON=python3.12"
    )
    assert not (tmp_path / ".venv").exists()


def test_no_file_names_a_package_index() -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
            "\0"
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    # Put together here, so that this file does not name them either.
    hosts = ["pypi" + ".org", "python" + "hosted.org", "download." + "pytorch.org", "conda." + "anaconda.org"]
    options = ["--index" + "-url", "--extra-index" + "-url", "--find" + "-links"]
    pattern = re.compile("|".join(map(re.escape, hosts + options)).encode())
    files = [ROOT / name for name in names if (ROOT / name).is_file()]
    assert [path for path in files if pattern.search(path.read_bytes())] == []


def test_importing_hir_imports_nothing_else() -> None:
    program = "import sys; had = set(sys.modules); import hir; print(*set(sys.modules) - had)"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "hir\n"


def test_every_folder_of_the_package_is_a_package() -> None:
    folders = {path.parent for path in ROOT.glob("hir/**/*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
