"""Write a run's model as a folder for transformers: python -m hir export run=PATH to=DIR [key=value ...]

DIR gets weights (safetensors), config.json, generation_config.json, the tokenizer, chat_template.jinja
(instruction and prompt), README.md (model card with usage) and hir_config.yaml (repeats the run). It is
written whole or not at all.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from warnings import catch_warnings, simplefilter

from omegaconf import MISSING

from hir.config.load import find_checkpoint, save_config
from hir.config.schema import Config, WandbConfig
from hir.errors import UserError
from hir.training.run_folder import Row, SavedRun, read_run

if TYPE_CHECKING:  # torch is imported when there is something to export
    from transformers import GenerationConfig

    from hir.policies.seq2seq import Seq2SeqPolicy
    from hir.tasks.base import Task
    from hir.training.tiny import Base

TAKES_SETTINGS = False
CARD = Path(__file__).parent / "templates" / "card.md.j2"
PRINTABLE_ASCII = "".join(map(chr, range(33, 127)))


@dataclass
class Options:
    """What the command line asks for."""

    run: str = MISSING
    """Run folder or checkpoint; of a run that has not ended, its last finished iteration."""
    to: str = MISSING
    """A new folder, or an empty one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Format of the weights; bfloat16 is half the size, and answers may differ."""
    license: str = "unknown"
    """What the card names: apache-2.0, mit, ..."""
    merge: bool = True
    """Of a run with LoRA: its adapters merged into the weights; false: the adapters alone, for peft."""


@dataclass(frozen=True)
class Export:
    """What is exported, and what the card tells of it."""

    options: Options
    run: SavedRun
    iterations: int
    """Finished iterations, answers sampled and updates behind the weights."""
    num_samples: int
    num_updates: int
    policy: Seq2SeqPolicy
    base: Base | None
    """The tiny model's; None for any other."""
    task: Task

    @property
    def last(self) -> Row:
        """The last measured row of metrics.csv up to these weights."""
        rows = [row for row in self.run.history if row["iteration"] <= self.iterations]
        return [row for row in rows if "val/accuracy" in row][-1]

    @property
    def test_accuracy(self) -> float | None:
        """Of these very weights; None where the run has not ended with them."""
        summary = self.run.summary
        ended = summary is not None and summary["iterations"] == self.iterations
        return float(summary["test"]["accuracy"]) if summary and ended else None

    @cached_property
    def entities(self) -> dict[str, str]:
        """How the characters of ASCII and of the run's texts travel that the tokenizer does not know."""
        texts = [PRINTABLE_ASCII, self.run.config.instructions.correct, self.run.config.instructions.wrong]
        texts += [text for row in self.task.rows for text in (row.query, *row.targets)]
        characters = sorted({character for text in texts for character in text})
        return {c: written for c in characters if (written := self.policy.text.escape(c)) != c}

    @cached_property
    def notes(self) -> list[str]:
        """Why answers may differ from the run's own."""
        from hir.relabel.base import build_relabel
        from hir.training.checks import count_overlong

        config, notes = self.run.config, []
        if self.test_accuracy is None:
            total = config.trainer["max_epochs"]
            notes.append(
                f"the run has not ended: these are the weights after iteration {self.iterations} of {total}"
            )
        precision = str(config.trainer.get("precision") or "32-true")
        if not precision.startswith("32") or self.options.dtype != "float32":
            notes.append(
                f"the run computed in {precision} on float32 weights: in another precision, or from "
                f"{self.options.dtype} weights, answers may differ"
            )
        relabel = build_relabel(config.instructions, config.relabel)
        if number := count_overlong(self.policy, [self.task], relabel, "cut"):
            notes.append(
                f"{number} prompts of the task have over {config.model.max_input_tokens} tokens and lost "
                "their middle in the run; the chat template cuts nothing"
            )
        return notes


def run(options: Options, settings: list[str]) -> int:
    """Write the folder and say so.

    Raises:
        UserError: there is no such run, the folder is taken, or what is asked does not fit the run.
    """
    to = Path(options.to).resolve()
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise UserError(f"to={options.to} is no empty folder: choose a new one")
    folder, checkpoint = find_checkpoint(options.run)
    saved = read_run(folder)
    config = saved.config
    if not options.merge and not config.model.lora.r:
        raise UserError(f"merge=false: {folder} trained no adapters, its model.lora.r is 0")

    from safetensors import SafetensorError

    from hir.quiet import quiet_libraries
    from hir.tasks.base import load_task
    from hir.training.build import build_policy, without_queries
    from hir.training.checkpoints import load_weights, read_checkpoint

    quiet_libraries()
    policy, base = build_policy(config)
    load_weights(policy.eval(), checkpoint)
    if options.merge and config.model.lora.r:
        policy.model = merge_adapters(policy.model)
    state = read_checkpoint(checkpoint)
    counts = state["epoch"] + 1, state["hir"]["num_samples"], state["global_step"]
    task = load_task(config.task, config.seed)
    task = without_queries(task, base.queries) if base else task
    export = Export(options, saved, *counts, policy, base, task)
    for line in export.notes:
        print(f"warning: {line}", file=sys.stderr)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.", suffix=".tmp") as scratch:
            whole = Path(scratch) / to.name
            whole.mkdir()
            write_folder(whole, export)
            os.replace(whole, to)
    except (OSError, SafetensorError) as error:
        raise UserError(f"to={options.to} cannot be written: {error}") from error
    part = "model" if options.merge else "adapters"
    print(f"exported the {part} of {folder} after iteration {export.iterations}")
    print(f"saved in {options.to}: {' '.join(sorted(path.name for path in to.iterdir()))}")
    return 0


def write_folder(folder: Path, export: Export) -> None:
    """Weights, configurations, tokenizer and card. Raises OSError or SafetensorError."""
    import torch

    config, policy = export.run.config, export.policy
    model = policy.model.to(getattr(torch, export.options.dtype))
    generation = generation_config(policy, config)
    if export.options.merge:
        model.generation_config = generation
        model.save_pretrained(folder)
        name_untied_head(folder / "config.json")
    else:
        base = export.base.path if export.base else Path(str(config.model.path))
        adapters = model.peft_config["default"]
        adapters.base_model_name_or_path = str(base.resolve() if base.is_dir() else base)
        adapters.revision = config.model.revision
        # False: with auto, peft looks on the hub whether the base has as many tokens.
        model.save_pretrained(folder, save_embedding_layers=False)
        generation.save_pretrained(folder)
    policy.tokenizer.chat_template = chat_template(config.instructions.correct, export.entities)
    policy.tokenizer.save_pretrained(folder)
    # Where its author logged the run, and what notes it had there, is no part of it.
    save_config(replace(config, logger="csv", wandb=WandbConfig()), folder / "hir_config.yaml")
    (folder / "README.md").write_text(model_card(folder.name, export), encoding="utf-8")


def merge_adapters(model: Any) -> Any:
    """The plain model of a peft model, adapters added to its weights.

    A layer that shares its weight, such as a tied output head, first gets one of its own: peft would add its
    adapter to all that share it.
    """
    from torch import nn

    users = Counter(id(w) for module in model.modules() for w in module.parameters(recurse=False))
    for module in model.modules():
        layer = getattr(module, "base_layer", None)
        if layer is not None and users[id(layer.weight)] > 1:
            layer.weight = nn.Parameter(layer.weight.detach().clone())
    with catch_warnings():
        simplefilter("ignore")  # peft says that a head is not tied: as wanted
        return model.merge_and_unload()


def name_untied_head(path: Path) -> None:
    """Say in the config.json of a T5 like FLAN-T5 that its output head is its own.

    transformers 5 heeds the stored head, but writes tie_word_embeddings=true for every T5, and a key of its
    own for what else that said. Other programs would tie the head.
    """
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("scale_decoder_outputs") is False:
        config["tie_word_embeddings"] = False
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def generation_config(policy: Seq2SeqPolicy, config: Config) -> GenerationConfig:
    """Greedy answers as the run's own evaluation gave them."""
    from transformers import GenerationConfig

    own: dict[str, Any] = {}
    if config.sampling.name == "generate":  # which heeded the base's own settings too
        own = policy.model.generation_config.to_diff_dict()
        for name in ("max_length", "transformers_version", "temperature", "top_k", "top_p"):
            own.pop(name, None)
    own |= {"max_new_tokens": config.sampling.max_new_tokens, "do_sample": False, "num_beams": 1}
    own |= {"decoder_start_token_id": policy.start_id, "eos_token_id": policy.eos_id}
    return GenerationConfig(**{**own, "pad_token_id": policy.pad_id})


def chat_template(instruction: str, written: dict[str, str]) -> str:
    """The prompt as a Jinja template, which transformers reads with the tokenizer and nowhere else for a T5.

    The last user message is the query; a system message replaces the instruction. It ends with the end token,
    which the encoder was trained with and apply_chat_template does not add.

    Args:
        instruction: p_correct.
        written: entity by character, for what the tokenizer does not know.
    """
    from hir.policies.seq2seq import render_prompt

    # The run's prompt, taken apart at marks that stand for what the template fills in.
    head, middle, tail = render_prompt("\0", "\1").partition("\0")[2].partition("\1")
    assert middle == "\1"

    def literal(text: str) -> str:  # as Jinja writes one
        return json.dumps(text, ensure_ascii=False)

    prompt = f"(asked.instruction ~ {literal(head)} ~ asked.query ~ {literal(tail)})"
    swaps = [(entity, "&amp;" + entity[1:]) for entity in written.values()]  # text with an entity of its own
    for text, instead in [*swaps, *written.items()]:
        prompt += f"\n    | replace({literal(text)}, {literal(instead)})"
    return (
        f"{{%- set asked = namespace(instruction={literal(instruction)}, query='') -%}}\n"
        "{%- for message in messages -%}\n"
        "{%- if message['role'] == 'system' -%}{%- set asked.instruction = message['content'] -%}\n"
        "{%- elif message['role'] == 'user' -%}{%- set asked.query = message['content'] -%}\n"
        "{%- endif -%}\n"
        "{%- endfor -%}\n"
        f"{{{{- ({prompt}) ~ eos_token -}}}}\n"
    )


def model_card(name: str, export: Export) -> str:
    """The text of the folder's README.md, with the front matter that the Hugging Face hub reads."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    import hir
    from hir.methods.base import METHODS
    from hir.policies.seq2seq import render_prompt
    from hir.tasks.base import GENERATORS

    config, task = export.run.config, export.task.name
    method_name = config.method["name"]
    made = "generated" if task in GENERATORS else "BIG-Bench Hard"
    path = config.model.path
    on_hub = path is not None and not Path(path).is_dir()
    accuracies = {"test": export.test_accuracy, "validation": export.last["val/accuracy"]}
    results = [
        EvalResult("text2text-generation", task, task, "accuracy", value, dataset_split=split)
        for split, value in accuracies.items()
        if value is not None
    ]
    data = ModelCardData(
        license=export.options.license,
        base_model=path if on_hub else None,
        library_name="transformers" if export.options.merge else "peft",
        tags=["hir", "hindsight-instruction-relabeling", method_name],
        model_name=name,
        eval_results=results,
    )
    versions = [f"{library} {version(library)}" for library in ("torch", "transformers", "lightning")]
    card = ModelCard.from_template(
        data,
        template_path=str(CARD),
        name=name,
        export=export,
        config=config,
        start=f"`{path}`" if on_hub else "hir's embedded tiny T5" if export.base else "a local folder",
        method=(sys.modules[METHODS[method_name].__module__].__doc__ or "").partition("\n")[0],
        source=config.task.source or ("a file" if config.task.data_dir else made),
        prompt=render_prompt(config.instructions.correct, "the query"),
        wrong=json.dumps({"role": "system", "content": config.instructions.wrong}, ensure_ascii=False),
        versions=", ".join([f"Python {platform.python_version()}", f"hir {hir.__version__}", *versions]),
    )
    return f"{card.content}\n"
