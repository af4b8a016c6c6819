"""What of a configuration is refused or warned of before a run, where it takes its parts to see it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hir.config.schema import Config
from hir.errors import UserError
from hir.methods.base import METHODS
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.relabel.base import Relabel
from hir.tasks.base import Task

ON_POLICY = {
    "buffer.window": 1,
    "buffer.max_wrong_fraction": None,
    "buffer.deduplicate": False,
    "sampling.temperature": 1.0,
    "sampling.retry_temperature": None,
    "sampling.top_k": 0,
    "sampling.top_p": 1.0,
}
"""What a method needs that weighs answers by their probability: all of an iteration's, drawn without cuts."""


def check_on_policy(config: Config) -> None:
    """Refuse settings under which an on-policy method would learn from other answers than the policy's own.

    Raises:
        UserError: the first of them, or there are too few answers to a query for the method.
    """
    name, method = config.method["name"], METHODS[config.method["name"]]
    if config.sampling.num_samples < method.min_samples:
        least = method.min_samples
        raise UserError(
            f"method={name} compares answers to a query: set sampling.num_samples to at least {least}"
        )
    if not method.on_policy:
        return
    for key, needed in ON_POLICY.items():
        section, setting = key.split(".")
        if (value := getattr(getattr(config, section), setting)) != needed:
            raise UserError(
                f"method={name} learns from the answers that the policy just gave: "
                f"set {key}={json.dumps(needed)}, not {json.dumps(value)}"
            )


def count_overlong(policy: Seq2SeqPolicy, tasks: Sequence[Task], relabel: Relabel, overlong: str) -> int:
    """Queries whose prompt is longer than the encoder takes under some instruction.

    Raises:
        UserError: there is one, and ``overlong`` is refuse.
    """
    number = 0
    for task in tasks:
        rows = task.rows
        by_text = (
            policy.token_ids([policy.render(text, row.query) for row in rows]) for text in relabel.texts
        )
        lengths = [max(of_row) for of_row in zip(*(list(map(len, ids)) for ids in by_text), strict=True)]
        long = sum(length > policy.max_input_tokens for length in lengths)
        if long and overlong == "refuse":
            raise UserError(
                f"task {task.name}: {long} of {len(rows)} prompts are over model.max_input_tokens="
                f"{policy.max_input_tokens}, the longest has {max(lengths)} tokens; "
                "raise it, or set model.overlong=cut"
            )
        number += long
    return number


def long_targets(policy: Seq2SeqPolicy, tasks: Sequence[Task], max_new_tokens: int) -> tuple[str, ...]:
    """A line on each task with rows to which no answer of so many tokens is right."""
    lines = []
    for task in tasks:
        targets = list(dict.fromkeys(target for row in task.rows for target in row.targets))
        ids = dict(zip(targets, policy.token_ids(targets), strict=True))
        shortest = [(row, min((ids[target] for target in row.targets), key=len)) for row in task.rows]
        long = [
            len(target)
            for row, target in shortest
            # A judge may ask for no more than a target's beginning.
            if len(target) > max_new_tokens and not task.verify(row, policy.decode(target[:max_new_tokens]))
        ]
        if long:
            number = "all" if len(long) == len(task.rows) else f"{len(long)} of"
            lines.append(
                f"{number} {len(task.rows)} targets of {task.name} are longer than sampling.max_new_tokens="
                f"{max_new_tokens}, so that no answer to them can be right: set it to {max(long)}"
            )
    return tuple(lines)
