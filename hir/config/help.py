"""What `python train.py --help` prints, made from the dataclasses and the files of conf/."""

import ast
import json
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from textwrap import fill

from hir.config import load
from hir.config.keys import GROUPS, KEYS, meanings

HEAD = """\
usage: python train.py [group=name ...] [key=value ...], for example
  python train.py task=word_sorting method.alpha=0.1 seed=2
  python train.py experiment=paper model=flan_t5_xl trainer.devices=4

Trains a language model by Hindsight Instruction Relabeling; with no argument a tiny T5, on the CPU.

What beats what: {rules}
None and null mean null; a list is [a,b] or a,b.

Files:
  task=NAME  {task}, or any BIG-bench task
  model=NAME  {model}
  method=NAME  {method}, or a module of yours
  feedback=NAME  constraints, function, judge, reward_model, or a module of yours; none: the task's own
  relabel=NAME  correctness, graded, constraints, or a module of yours
  sampling=NAME  t5 (the T5 family), causal (decoder-only), generate (any model), vllm, or a module of yours
  experiment=NAME  {experiment}
  config=FILE  a run's config.yaml, to repeat the run, or any file with keys of this list

Keys:
"""


def help_text() -> str:
    """Usage, groups, and every key with its type, limits, default and meaning."""
    config, section = load.load_config([]), ""
    files = {group: ", ".join(load.group_files(group)) for group in (*GROUPS, "experiment")}
    lines = [HEAD.format(rules=str(load.__doc__).partition("\n\n")[2], **files)]
    for key in KEYS.values():
        if (parent := key.name.rpartition(".")[0]) != section:
            section = parent
            lines += ["", _wrap(f"{section}: {attrgetter(section)(config).__doc__}", 0) if section else ""]
        default = attrgetter(key.name)(config)
        text = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
        lines += entry(key.name, key.type_name, text, key.meaning)
    for room in ("tasks/generated", "feedback", "relabel", "methods"):  # whose files have keys of their own
        section = {"tasks/generated": "task.settings", "methods": "method"}.get(room, room)
        for path in sorted((load.ROOT / "hir" / room).glob("*.py")):
            if settings := [*_settings(path, section)]:
                lines += ["", f"{section.partition('.')[0]}={path.stem}:", *settings]
    return "\n".join(lines)


def _settings(path: Path, section: str) -> Iterator[str]:
    """The settings that a file of a method, say, declares; importing it would take seconds."""
    for definition in ast.walk(ast.parse(path.read_text())):
        if isinstance(definition, ast.ClassDef) and definition.name == "Settings":
            texts = meanings(definition)
            if definition.bases:
                yield f"  the settings of {', '.join(map(ast.unparse, definition.bases))}, and"
            for field in definition.body:
                if isinstance(field, ast.AnnAssign) and field.value:
                    name, kind, default = map(ast.unparse, (field.target, field.annotation, field.value))
                    if isinstance(field.value, ast.Call) and default.startswith("limited("):
                        default, interval = map(ast.unparse, field.value.args)
                        kind += f" in {ast.literal_eval(interval)}"
                    yield from entry(f"{section}.{name}", kind, default, texts.get(name, ""))


def entry(name: str, kind: str, default: str, meaning: str) -> list[str]:
    """The lines on a key."""
    return [_wrap(f"{name}  ({kind}; default: {default})", 2), _wrap(meaning, 6)]


def _wrap(text: str, indent: int) -> str:
    hanging = " " * (6 if indent else 0)
    return fill(text, 100, initial_indent=" " * indent, subsequent_indent=hanging, break_on_hyphens=False)
