"""What `python train.py --help` prints, made from the dataclasses and the files of conf/."""

from __future__ import annotations

import json
from functools import reduce
from textwrap import fill
from typing import Any

from hir.config.keys import GROUPS, KEYS, SECTIONS, declared_settings
from hir.config.load import ROOT, group_files, merge_layers, to_dict

HEAD = """\
usage: python train.py [group=name ...] [key=value ...]

Trains a language model by Hindsight Instruction Relabeling. With no argument it trains a tiny T5 on
a generated task, on the CPU.

What beats what: conf/config.yaml (or config=FILE), then the experiment, then the command line; each
first reads the files it names, then its own lines; the last word wins; of a group only the last
named file is read. The order of arguments does not matter. None and null mean null; a list is [a,b]
or a,b.

Files:"""

NOTES = {
    "task": ", or any BIG-bench task",
    "method": ", or a module of yours",
    "sampling": "t5 (the T5 family), generate (any model), or a module of yours",
}

SETTINGS = {
    "task.settings": "tasks/generated",
    "feedback": "feedback",
    "relabel": "relabel",
    "method": "methods",
}
"""Mappings whose keys are declared in the files of a room, each its own."""

TAIL = """\
Every argument of Lightning's Trainer works as trainer.NAME, such as trainer.devices=4.

Examples:
  python train.py
  python train.py task=word_sorting method.alpha=0.1 seed=2
  python train.py task=penguins_in_a_table model=flan_t5_small trainer.accelerator=gpu
  python train.py experiment=paper model=flan_t5_xl trainer.devices=4
  python train.py config=outputs/RUN/config.yaml
  python train.py resume=outputs/RUN"""


def help_text() -> str:
    """Usage, groups, and every key with its type, default and meaning."""
    defaults = to_dict(merge_layers([]))
    lines = [HEAD]
    for group in (*GROUPS, "experiment"):
        lines.append(_wrap(f"{group}=NAME  {', '.join(group_files(group))}{NOTES.get(group, '')}", 2, 6))
    lines += ["  config=FILE  a run's config.yaml, to repeat the run, or any file with keys of this list"]
    section = ""
    lines += ["", "Keys:"]
    for key in KEYS.values():
        parent = key.name.rpartition(".")[0]
        if parent != section:
            section = parent
            lines += ["", _wrap(f"{section}: {SECTIONS[section]}")] if section else [""]
        value: Any = reduce(lambda tree, name: tree[name], key.name.split("."), defaults)
        default = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(_wrap(f"{key.name}  ({key.type_name}; default: {default})", 2, 6))
        lines.append(_wrap(key.meaning, 6, 6))
    for section, room in SETTINGS.items():
        for path in sorted((ROOT / "hir" / room).glob("*.py")):
            if settings := declared_settings(path):
                lines += ["", f"{section}.* where {section.partition('.')[0]}={path.stem}:"]
            for name, kind, default, meaning in settings:
                lines += [
                    _wrap(f"{section}.{name}  ({kind}; default: {default})", 2, 6),
                    _wrap(meaning, 6, 6),
                ]
    return "\n".join([*lines, "", TAIL])


def _wrap(text: str, indent: int = 0, hanging: int = 0) -> str:
    first, rest = " " * indent, " " * hanging
    return fill(text, 100, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
