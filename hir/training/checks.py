"""What is seen to before a run where it takes its parts: refusals, warnings, a judge made of one of them."""

import copy
import json
from collections.abc import Sequence
from operator import attrgetter

from hir.config.schema import Config
from hir.errors import UserError
from hir.feedback.judge import Judge
from hir.methods.base import METHODS
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.relabel.base import Relabel, stated
from hir.sampling.base import build_sampler
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
    name = config.method["name"]
    method = METHODS[name]
    if config.sampling.num_samples < (least := method.min_samples):
        raise UserError(f"method={name} compares answers: set sampling.num_samples to at least {least}")
    for key, needed in ON_POLICY.items():
        if method.on_policy and (value := attrgetter(key)(config)) != needed:
            raise UserError(
                f"method={name} learns from the answers that the policy just gave: "
                f"set {key}={json.dumps(needed)}, not {json.dumps(value)}"
            )


def check_rows(task: Task, config: Config) -> None:
    """Refuse a method that is trained on targets where rows have none, and so for constraints; UserError."""
    name, relabel = config.method["name"], config.relabel["name"]
    if not METHODS[name].samples and not all(row.targets for row in task.train):
        raise UserError(f"method={name} is trained on targets, and rows of {task.name} have none")
    if relabel == "constraints" and not any(row.constraints for row in task.train):
        raise UserError(f"relabel={relabel} needs rows with constraints, and those of {task.name} have none")


def check_lengths(
    policy: Seq2SeqPolicy, tasks: Sequence[Task], relabel: Relabel, config: Config
) -> tuple[str, ...]:
    """What is to be said of the tasks' rows: those left out, prompts that are longer than the encoder takes,
    of all instructions, and targets that are longer than an answer may be.
    """
    notes = [note for task in tasks for note in task.notes]
    limit, most = policy.max_input_tokens, config.sampling.max_new_tokens
    for task in tasks:
        asked = [(stated(text, row.constraints), row.query) for text in relabel.texts for row in task.rows]
        lengths = [*map(len, policy.token_ids([policy.render(*each) for each in asked]))]
        if long := [length for length in lengths if length > limit]:
            line = f"{len(long)} of {len(lengths)} prompts of {task.name} are cut in their middle"
            notes.append(f"{line}: the longest has {max(long)} tokens, model.max_input_tokens={limit}")
        targets = [*{target for row in task.rows for target in row.targets}]
        lengths = [len(ids) - 1 for ids in policy.token_ids(targets)]  # an answer may lack its end token
        length_of = dict(zip(targets, lengths, strict=True))
        rows = [row for row in task.rows if row.targets and not row.constraints]
        shortest = [min(length_of[target] for target in row.targets) for row in rows]
        if long := [length for length in shortest if length > most]:
            line = f"no answer is as long as {len(long)} of {len(task.rows)} targets of {task.name}"
            notes.append(f"{line}: the longest has {max(long)} tokens, sampling.max_new_tokens={most}")
    return tuple(notes)


def ask_start(task: Task, policy: Seq2SeqPolicy, config: Config) -> None:
    """Let a judge without an endpoint ask a frozen copy of the policy as it is now, whole on each device."""
    if isinstance(task.feedback, Judge) and not task.feedback.url:
        start = copy.deepcopy(policy, {id(policy.tokenizer): policy.tokenizer}).requires_grad_(False)
        sampler = build_sampler(start, config.sampling, config.evaluation.batch_size)
        # It is no part of the module: no checkpoint has it, and it follows the policy to its device.
        task.feedback.ask_policy = lambda prompts: [
            *map(start.to(policy.device).decode, sampler.greedy(prompts))
        ]
