"""Write a run's model as a folder for transformers: python -m hir export run=PATH to=DIR

DIR gets weights (safetensors), config.json, generation_config.json, the tokenizer, README.md (model card with
the prompt and usage) and hir_config.yaml (repeats the run). It is written whole or not at all.
"""

import json
import re
import string
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import StrictUndefined, Template
from omegaconf import MISSING
from transformers import GenerationConfig

from hir.config.load import save_config
from hir.config.schema import Config
from hir.errors import UserError
from hir.files import find_checkpoint, making, write_json
from hir.policies.base import Policy
from hir.policies.causal import CausalPolicy
from hir.quiet import quiet_libraries
from hir.records import Example
from hir.relabel.base import build_relabel
from hir.tasks.base import Task, load_task
from hir.training.build import build_policy
from hir.training.checkpoints import load_weights, read_checkpoint
from hir.training.run_folder import SavedRun, known, read_run
from hir.training.tiny import Base


@dataclass
class Options:
    run: str = MISSING
    """Run folder or checkpoint; of a run that has not ended, its last finished iteration."""
    to: str = MISSING
    """A new folder, or an empty one."""


def run(options: Options, settings: list[str]) -> int:
    """Write the folder and say so; UserError where there is no such run, or the folder is taken."""
    to = Path(options.to).resolve()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"to={options.to} is no empty folder: choose a new one")
    folder, checkpoint = find_checkpoint(options.run)
    saved = read_run(folder)
    config = saved.config
    quiet_libraries()
    policy, base = build_policy(config)
    load_weights(policy.eval(), checkpoint)
    if config.model.lora.r:
        policy.model = policy.model.merge_and_unload()
    task = load_task(config.task, config.seed)
    task = base.unseen(task) if base else task
    iterations = read_checkpoint(checkpoint)["epoch"] + 1
    card = model_card(to.name, saved, iterations, policy, base, task)
    with making(to, cache=False) as whole:
        write_model(whole, policy, config)
        (whole / "README.md").write_text(card, encoding="utf-8")
    print(f"exported the model of {folder} after iteration {iterations} to {options.to}")
    return 0


def write_model(folder: Path, policy: Policy, config: Config) -> None:
    """Weights, configurations and tokenizer, for answers as the run's own evaluation gave them: greedy ones.

    Raises OSError or SafetensorError.
    """
    policy.model.generation_config = GenerationConfig(
        max_new_tokens=config.sampling.max_new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=policy.pad_id,
        eos_token_id=sorted(policy.end_ids),
        decoder_start_token_id=getattr(policy, "start_id", None),
    )
    policy.model.save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if written.get("scale_decoder_outputs") is False:
        # The head of a T5 like FLAN-T5 is its own. transformers 5 sees it by the weights, but writes true
        # here for every T5, and other programs would tie it.
        write_json(folder / "config.json", written | {"tie_word_embeddings": False})
    policy.tokenizer.save_pretrained(folder)
    save_config(replace(config, logger="csv"), folder / "hir_config.yaml")  # where it was logged is no part


def model_card(
    name: str, run: SavedRun, iterations: int, policy: Policy, base: Base | None, task: Task
) -> str:
    """The text of the folder's README.md, with the front matter that the Hugging Face hub reads."""
    config, path = run.config, run.config.model.path
    relabel, row = build_relabel(config.instructions, config.relabel), Example("", ())
    history = [row for row in run.history if row["iteration"] <= iterations]
    summary = run.summary or {}
    form = policy.render("\0", "\1")
    texts = [relabel.goal(row), *(text for row in task.rows for text in (row.asked, *row.targets))]
    characters = sorted({*string.printable, *"".join(texts)})
    template = (Path(__file__).with_name("templates") / "card.md.j2").read_text(encoding="utf-8")
    card: str = Template(template, undefined=StrictUndefined).render(
        name=name,
        config=config,
        task=task,
        base=base,
        iterations=iterations,
        history=history,
        validation=known(history, "val/accuracy", "val/accuracy_p_wrong")[-1],
        test=summary["test"]["accuracy"] if summary.get("iterations") == iterations else None,
        answers=run.answers,
        on_hub=path is not None and not Path(path).expanduser().is_dir(),
        goal=relabel.goal(row),
        opposite=relabel.opposite(row),
        around=re.split("[\0\1]", form),
        asked=["instruction", "query"] if form.index("\0") < form.index("\1") else ["query", "instruction"],
        causal=isinstance(policy, CausalPolicy),
        ends=sorted(policy.end_ids),
        special=not policy.tokenizer.chat_template,
        entities={c: entity for c in characters if (entity := policy.text.escape(c)) != c},
    )
    return card
