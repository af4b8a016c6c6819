"""What `python train.py --help` prints, made from the dataclasses and the files of conf/."""

from __future__ import annotations

import json
from functools import reduce
from textwrap import fill
from typing import Any

from hir.config.keys import GROUPS, KEYS, SECTIONS, Key
from hir.config.load import group_files, merge_layers, to_dict

WIDTH = 100

HEAD = """\
usage: python train.py [group=name ...] [key=value ...]

Trains a language model by Hindsight Instruction Relabeling. With no argument it trains a tiny T5 on
a generated task, on the CPU. Each of these beats the ones before it: defaults, conf/config.yaml,
group files, the experiment, config=FILE, the hardware, key=value. None and null mean null; a list
is [a,b] or a,b. A group chosen beside config=FILE beats the file.

Files:"""

TAIL = """\
Every argument of Lightning's Trainer works as trainer.NAME, such as trainer.devices=4.

Examples:
  python train.py
  python train.py task=word_sorting method.alpha=0.1 seed=2
  python train.py task=penguins_in_a_table model=flan_t5_small trainer.accelerator=gpu
  python train.py experiment=paper hardware=4gpus
  python train.py config=outputs/RUN/config.yaml
  python train.py resume=outputs/RUN"""


def help_text() -> str:
    """Usage, groups, and every key with its type, default and meaning."""
    defaults = to_dict(merge_layers([]))
    lines = [HEAD]
    for group in (*GROUPS, "experiment", "hardware"):
        names = ", ".join(group_files(group)) + (", or any BIG-bench task" if group == "task" else "")
        lines.append(_wrap(f"{group}=NAME  {names}", indent=2, hanging=6))
    lines.append("  config=FILE  a run's config.yaml, to repeat the run, or any file with keys of this list")
    section = ""
    lines += ["", "Keys:"]
    for key in KEYS.values():
        parent = key.name.rpartition(".")[0]
        if parent != section:
            section = parent
            lines += ["", _wrap(f"{section}: {SECTIONS[section]}")] if section else [""]
        lines += [_wrap(_title(key, defaults), indent=2, hanging=6), _wrap(key.meaning, indent=6, hanging=6)]
    return "\n".join([*lines, "", TAIL])


def _title(key: Key, defaults: dict[str, Any]) -> str:
    value: Any = reduce(lambda tree, name: tree[name], key.name.split("."), defaults)
    default = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{key.name}  ({key.type_name}; default: {default})"


def _wrap(text: str, indent: int = 0, hanging: int = 0) -> str:
    return fill(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
