"""Build a set of instructions by TeaMs-RL: python -m hir teams-rl out=DIR [key=value ...]

An agent is trained to pick operations on requests; then it evolves others, which are answered and checked
(docs/teams_rl.md). Writes instructions.json, the rows, for train.py task=instructions task.data_dir=DIR;
results.json and teams_rl.png, how it went; steps.jsonl and agent.pt, from which the same command goes on.

backend=policy takes train.py's model.* keys, such as model=hub model.path=DIR. Exit code: 0; 2 for a mistake,
130 if interrupted.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from matplotlib.figure import Figure
from omegaconf import MISSING

from hir.config.load import flat
from hir.errors import UserError
from hir.files import replacing
from hir.sampling.base import build_sampler
from hir.teams_rl.backends import Ask
from hir.teams_rl.dataset import Settings, build, read_request
from hir.teams_rl.environment import HORIZON
from hir.teams_rl.operations import OPERATIONS
from hir.tools.runs import as_text, markdown
from hir.training.build import build_policy
from hir.training.settings import load_run_config


@dataclass
class Options(Settings):
    """Arguments of the tool."""

    out: str = MISSING
    """Folder of all that is written."""


def run(options: Options, settings: list[str]) -> int:
    """Build the rows and print what came of it; UserError for a mistake."""
    out = Path(options.out)
    if settings and options.backend != "policy":
        raise UserError(f"{settings[0]} is no key of teams-rl, and train.py's are for backend=policy")
    ask = ask_policy(settings) if options.backend == "policy" else None
    results = build(options, out, ask, settings)
    steps = list(map(json.loads, (out / "steps.jsonl").read_text(encoding="utf-8").splitlines()))
    with replacing(out / "teams_rl.png") as file:
        picture(results, steps).savefig(file, format="png")
    training = results.pop("training")
    print(markdown([{"": key, "value": as_text(value)} for key, value in flat(results, " ").items()]))
    print(f"training the agent took {sum(training['queries'].values())} further queries")
    print(f"{results['rows']} rows: python train.py task=instructions task.data_dir={out} method=sft")
    return 0


def ask_policy(settings: list[str]) -> Ask:
    """Asks the model of these settings of train.py, through its own sampler."""
    config = load_run_config(settings)
    policy, _ = build_policy(config)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    sampler = build_sampler(policy, config.sampling, config.evaluation.batch_size)
    return lambda prompt, seed: policy.decode(sampler.sample([prompt], 1, seed)[0][0].tokens)


def picture(results: dict[str, Any], steps: list[dict[str, Any]]) -> Figure:
    """An episode, step by step; how the agent's training went; and what came of its operations."""
    figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
    axes = figure.subplot_mosaic("AAA;BCD", height_ratios=[1, 2])
    lines = [f"start: {steps[0]['parent'] or ''}"]
    for step in steps[:HORIZON]:
        came = read_request(step).asked if step["changed"] else "as it was"
        lines.append(f"{step['operation'] or 'another'} -> {came} -> {step['target'] or 'no answer'}")
    text = "\n".join(shorten(line.replace("\n", "; "), 150) for line in lines)
    axes["A"].text(0, 1, text, va="top", family="monospace", fontsize=9, linespacing=1.5, parse_math=False)
    axes["A"].set_axis_off()
    history = results["training"]["history"]
    for name in ("reward", "changed", "distinct", "entropy") if history else ():
        axes["B"].plot(range(1, len(history) + 1), [row[name] for row in history], label=name)
    shares = [[row[operation] for row in history or [results["operations"]] * 2] for operation in OPERATIONS]
    axes["C"].stackplot(range(1, len(shares[0]) + 1), shares, labels=OPERATIONS, alpha=0.8)
    requests = [read_request(step).asked if step["target"] else None for step in steps]
    distinct = [len({*requests[: end + 1]} - {None}) for end in range(0, len(requests), HORIZON)]
    axes["D"].plot(range(0, len(requests), HORIZON), distinct)
    axes["B"].set(title="training of the agent", xlabel="update")
    axes["C"].set(title="shares of the operations", xlabel="update", ylim=(0, 1))
    axes["D"].set(title="different answered requests", xlabel="operations of the trained agent")
    for name in "BC":
        if axes[name].get_legend_handles_labels()[1]:
            axes[name].legend(fontsize=7, loc="lower right")
    return figure
