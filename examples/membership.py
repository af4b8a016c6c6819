"""How well losses tell what a student was fine-tuned on: python -m examples.membership RUN FOLDER

RUN is a run of train.py on rows of `python -m hir teams-rl`, and FOLDER has other such rows, which it has not
seen. Prints the area under the ROC curve of "a low loss is a row trained on"; 0.5 is chance.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
from torchmetrics.functional.classification import binary_auroc

from hir.files import find_checkpoint
from hir.losses import chosen_log_probs, row_means, token_log_probs
from hir.records import Example, TrainingExample
from hir.relabel.base import build_relabel
from hir.tasks.base import load_task
from hir.training.build import build_policy
from hir.training.checkpoints import load_weights
from hir.training.settings import load_run_config


def main(run: str, other: str) -> float:
    """The area for a run's rows against those of a folder that are none of them."""
    folder, checkpoint = find_checkpoint(run)
    config = load_run_config([f"config={folder / 'config.yaml'}"])
    policy, _ = build_policy(config, lambda line: None)
    load_weights(policy, checkpoint)
    relabel = build_relabel(config.instructions, config.relabel)
    members = load_task(config.task, config.seed).train
    known = {row.asked for row in members}
    others = load_task(replace(config.task, data_dir=other), config.seed).train

    @torch.no_grad()
    def losses(rows: list[Example]) -> torch.Tensor:
        made = [
            TrainingExample(0, row.query, relabel.goal(row), policy.encode_answer(row.target), True)
            for row in rows
        ]
        parts = []
        for start in range(0, len(made), 64):
            batch = policy.collate(made[start : start + 64])
            chosen = chosen_log_probs(token_log_probs(policy(batch).logits), batch["labels"])
            parts.append(-row_means(chosen, batch["rows"], len(batch["weights"]))[0])
        return torch.cat(parts)

    rows = [[*members], [row for row in others if row.asked not in known]]
    scores = [-losses(part) for part in rows]
    labels = torch.cat([torch.full_like(part, label) for part, label in zip(scores, (1, 0), strict=True)])
    return float(binary_auroc(torch.cat(scores).sigmoid(), labels.int()))


if __name__ == "__main__":
    print(f"{main(*sys.argv[1:]):.3f}")
