"""Build a set of instructions by TeaMs-RL: python -m hir teams-rl out=DIR [key=value ...]

An agent is trained to pick operations on requests; then it evolves others, which are answered and checked
(docs/teams_rl.md). Writes instructions.json, the rows, for train.py task=instructions task.data_dir=DIR;
results.json and teams_rl.png, the numbers and the training; steps.jsonl and agent.pt, from which the same
command goes on.

backend=policy takes train.py's model.* keys, such as model=hub model.path=DIR. Exit code: 0; 2 for a mistake,
130 if interrupted.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import MISSING

from hir.config.load import flat
from hir.errors import UserError
from hir.figures import curve_image
from hir.files import atomic_write
from hir.sampling.base import build_sampler
from hir.teams_rl.dataset import Settings, build
from hir.teams_rl.operations import Ask
from hir.tools.runs import markdown
from hir.training.build import build_policy
from hir.training.settings import load_run_config


@dataclass
class Options(Settings):
    out: str = MISSING
    """Folder of all that is written."""


def run(options: Options, settings: list[str]) -> int:
    """Build the rows and print what came of it; UserError for a mistake."""
    out = Path(options.out)
    if settings and options.backend != "policy":
        raise UserError(f"{settings[0]} is no key of teams-rl, and train.py's are for backend=policy")
    ask = ask_policy(settings) if options.backend == "policy" else None
    results = build(options, out, ask, settings)
    training = results.pop("training")
    if history := training["history"]:
        curves = {name: [(i, row[name]) for i, row in enumerate(history, 1)] for name in history[0]}
        image = curve_image(curves, "training of the agent", "", shares=False, x_label="update")
        atomic_write(out / "teams_rl.png", image)
    texts = {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in flat(results, " ").items()}
    print(markdown([{"": key, "value": text} for key, text in texts.items()]))
    print(f"training the agent took {sum(training['queries'].values())} further queries")
    print(f"{results['rows']} rows: python train.py task=instructions task.data_dir={out} method=sft")
    return 0


def ask_policy(settings: list[str]) -> Ask:
    """Asks the model of these settings of train.py, through its own sampler."""
    config = load_run_config(settings)
    policy, _ = build_policy(config)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    sampler = build_sampler(policy, config.sampling, config.evaluation.batch_size)
    return lambda prompt, seed: policy.decode(sampler.sample([policy.told(prompt)], 1, seed)[0][0].tokens)
