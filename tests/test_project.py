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

from tests.command_line import ROOT
from tests.versions import requirements


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


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_requirements_pin_a_version_in_range(python: str) -> None:
    pinned = pins(python)
    for wanted in map(Requirement, requirements("newest")):
        if applies(wanted, python):
            name = canonicalize_name(wanted.name)
            assert name in pinned, f"{name} of pyproject.toml has no pin in requirements.txt"
            assert pinned[name] in wanted.specifier, f"{name}=={pinned[name]} is outside {wanted.specifier}"


def test_imported_packages_are_required() -> None:
    required = {*pins("3.10"), "yaml"}  # of pyyaml
    own = {"hir", "train", "tests", "benchmarks", "examples", *sys.stdlib_module_names, "tomllib"}
    for path in itertools.chain(ROOT.glob("*.py"), ROOT.glob("hir/**/*.py"), ROOT.glob("tests/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in {module.split(".")[0] for module in modules} - own:
                assert canonicalize_name(name) in required, f"{path.relative_to(ROOT)} imports {name}: pin it"


def test_conda_environment_installs_the_requirements() -> None:
    *_, last = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert last == {"pip": ["-r requirements.txt"]}


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # The flags of a make that runs these tests are none of this one's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, env=kept)


def test_make_help_lists_every_target() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert [line.split()[0] for line in make().stdout.split("\n\n")[0].splitlines()] == targets


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
