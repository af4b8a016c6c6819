"""The rooms of hir/: imports point one way, and none is heavier than promised."""

import ast
from graphlib import TopologicalSorter

import pytest

from tests import weight

FLOORS = """
    __init__ errors registry records losses files packages randomness distributed quiet figures
    config
    feedback relabel
    tasks policies
    teams_rl
    sampling methods
    training
    callbacks
    trainer
    tools
    __main__
    evaluate export
    t5
"""
"""From the lowest: a file may import from its own floor and from those below; t5 is found by name alone."""


def imports() -> dict[str, set[str]]:
    """Each module of hir/, and the modules of hir/ that it imports."""
    found = {}
    for path in (weight.ROOT / "hir").rglob("*.py"):
        module = ".".join(path.relative_to(weight.ROOT).with_suffix("").parts).removesuffix(".__init__")
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hir":
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names if alias.name.split(".")[0] == "hir"}
        found[module] = names
    return {module: (names & found.keys()) - {"hir", module} for module, names in found.items()}


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def test_no_module_imports_from_a_floor_above_and_none_in_a_circle() -> None:
    graph = imports()
    assert len(graph) > 60
    floor = {name: number for number, names in enumerate(FLOORS.splitlines()) for name in names.split()}
    pairs = [(module, name) for module, names in graph.items() for name in names]
    assert not [f"{one} -> {other}" for one, other in pairs if floor[room(other)] > floor[room(one)]]
    rooms = {name: names for name, names in graph.items() if len(name.split(".")) > 2 or name != room(name)}
    list(TopologicalSorter(rooms).static_order())  # which raises for a circle


def test_no_room_is_heavier_than_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert weight.main() == 0, capsys.readouterr().out
