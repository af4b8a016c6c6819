"""The sweep files: the arguments that W&B's agent makes of them are a configuration."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from hir.config.load import flat
from hir.training.settings import load_run_config
from tests.command_line import ROOT

ODD = {
    "sampling.max_queries": None,
    "buffer.group": False,
    "evaluation.tasks": ["word_sorting", "it's"],
    "instructions.wrong": "Solve it: = and #, wrongly.",
}


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "sweep").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_agent_gives_a_run_what_was_drawn(path: Path) -> None:
    file: dict[str, Any] = yaml.safe_load(path.read_text())
    assert file["command"] == ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
    assert file["program"] == "train.py" and not file["metric"]["name"].startswith("test/")
    for end, edge in ((0, "min"), (-1, "max")):
        drawn: dict[str, Any] = {**ODD}
        for name, entry in file["parameters"].items():
            drawn[name] = entry.get("values", [entry.get("value", entry.get(edge))])[end]
        given = {name: {"value": value} for name, value in drawn.items()}
        shapes = create_sweep_command_args({"args": given})
        config = load_run_config(shapes["args"])
        assert load_run_config(shapes["args_no_hyphens"]) == config
        settings = flat(asdict(config))
        assert all(settings[name] == value for name, value in drawn.items() if name in settings)
        assert {"method.alpha", "training.lr", *ODD} <= settings.keys() & drawn.keys()
        assert config.logger == "wandb"
