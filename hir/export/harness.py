"""A run's test rows as a task of EleutherAI's lm-evaluation-harness (pip install "lm_eval[hf]")."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from hir.cache import write_lines
from hir.config import Config
from hir.instructions import render_prompt
from hir.policy import Seq2SeqPolicy
from hir.records import Example
from hir.tasks.base import Task
from hir.verifiers import option_letter, read_choice

HEAD = """\
# A run's test rows under its instruction, for lm-evaluation-harness: pip install "lm_eval[hf]", then, here,
#   {command}
# Answers are compared as hir does it: without white space and full stops, in any case; options by letter or
# text. In prompts and targets, characters that the tokenizer does not know are entities, as in the answers.
"""


def write_harness(folder: Path, task: Task, policy: Seq2SeqPolicy, config: Config) -> None:
    """Make ``folder``, which lies in the exported one, with the task's YAML file and test.jsonl.

    Args:
        policy: knows how characters travel.
        config: the run's, for its instruction and longest answer.
    """
    rows, instruction = task.test, config.instructions.correct
    options = any(row.options for row in rows)
    settings: dict[str, Any] = {
        "task": f"hir_{task.name}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "test.jsonl"}},
        "test_split": "test",
        "output_type": "generate_until",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "doc_to_target": "targets",
        "generation_kwargs": {
            "until": [policy.tokenizer.eos_token],
            "do_sample": False,
            "max_gen_toks": config.sampling.max_new_tokens,
        },
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": True,
                "regexes_to_ignore": [r"[\s.():]" if options else r"[\s.]"],
            }
        ],
        "metadata": {"version": 1},
    }
    folder.mkdir()
    write_lines(
        folder / "test.jsonl",
        (
            {
                "query": row.query,
                "prompt": policy.text.escape(render_prompt(instruction, row.query)),
                "targets": [policy.text.escape(text) for text in accepted(row)],
            }
            for row in rows
        ),
    )
    text = HEAD.format(command=command(task.name)) + yaml.safe_dump(
        settings, sort_keys=False, allow_unicode=True
    )
    (folder / f"hir_{task.name}.yaml").write_text(text, encoding="utf-8")


def command(name: str) -> str:
    """What evaluates the exported folder, run in its lm_eval/."""
    return (
        f"lm_eval run --model hf --model_args pretrained=..,backend=seq2seq --include_path . "
        f"--tasks {shlex.quote(f'hir_{name}')} --batch_size 64 --device cpu"
    )


def accepted(row: Example) -> list[str]:
    """Texts of right answers; with options the letter, the text, and both, of each right one."""
    if not row.options:
        return list(row.targets)
    right = sorted({i for target in row.targets if (i := read_choice(target, row.options)) is not None})
    forms: list[str] = []
    for i in right:
        letter, text = option_letter(i), row.options[i]
        forms += [letter, f"{letter} {text}", *([text] if row.options.count(text) == 1 else [])]
    return forms
