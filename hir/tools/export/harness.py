"""A run's test rows as a task of EleutherAI's lm-evaluation-harness (pip install "lm_eval[hf]")."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from hir.config.schema import Config
from hir.feedback.match import option_letter, read_choice
from hir.files import write_lines
from hir.policies.seq2seq import Seq2SeqPolicy, render_prompt
from hir.records import Example
from hir.tasks.base import Task

HEAD = """\
# A run's test rows under its instruction, for lm-evaluation-harness: pip install "lm_eval[hf]", then, here,
#   {command}
# Answers are compared in any case, without a full stop at the end; options by letter or text. Other forms of
# numbers, quotes and dashes (1,234 for 1234) count in hir alone. In prompts and targets, characters that the
# tokenizer does not know are entities, as in the answers.
"""

MARKS = [r"[()\[\]:]", r"(?<=^[A-Za-z])\."]
"""What can stand around the letter of an option."""


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
                "regexes_to_ignore": [*(MARKS if options else ()), r"^\s+|\.?\s*$"],
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
                "targets": [policy.text.escape(" ".join(text.split())) for text in accepted(row)],
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
    """Texts of right answers; for a right option its text and, if lettered, the letter alone and with it."""
    named = {target: read_choice(target, row.options, row.lettered) for target in row.targets}
    forms: list[str] = []
    for i in sorted({i for i in named.values() if i is not None}):
        letter, text = option_letter(i), row.options[i]
        forms += [letter, f"{letter} {text}"] if row.lettered else []
        forms += [text] if row.options.count(text) == 1 else []
    return forms + [target for target, i in named.items() if i is None]
