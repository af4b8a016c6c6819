"""The exported folder: a run's weights, tokenizer with its prompt, generation settings and card."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import GenerationConfig

from hir.config.load import find_checkpoint, save_config
from hir.config.schema import WandbConfig
from hir.errors import UserError
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.quiet import quiet_libraries
from hir.relabel.base import build_relabel
from hir.tasks.base import Task, load_task
from hir.tools.export.arguments import Arguments
from hir.tools.export.card import model_card
from hir.tools.export.facts import Facts, known_license
from hir.tools.export.harness import command, write_harness
from hir.tools.export.template import chat_template, entities
from hir.training.build import build_policy, without_queries
from hir.training.checkpoints import load_weights, read_checkpoint
from hir.training.checks import count_overlong
from hir.training.run_folder import SavedRun, read_run
from hir.training.tiny import Base


def export(arguments: Arguments) -> None:
    """Write the folder ``arguments.to``, whole or not at all, and say so.

    Raises:
        UserError: there is no such run, the folder is taken, or what is asked does not fit the run.
    """
    quiet_libraries()
    check_free(arguments.to)
    folder, checkpoint = find_checkpoint(arguments.run)
    run = read_run(folder)
    if not arguments.merge and not run.config.model.lora.r:
        raise UserError(f"merge=false: {folder} trained no adapters, its model.lora.r is 0")
    if not arguments.merge and arguments.lm_eval:
        raise UserError("lm_eval=true needs whole weights: leave out merge=false")
    policy, base = build_policy(run.config)
    saved = read_checkpoint(checkpoint)
    if not arguments.merge:
        check_base(policy, saved["state_dict"])
    counts = saved["epoch"] + 1, saved["hir"]["num_samples"], saved["global_step"]
    del saved  # load_weights reads it anew: two of a large model may be too many
    load_weights(policy, checkpoint)
    policy.eval()
    if arguments.merge and run.config.model.lora.r:
        policy.model = merge_adapters(policy.model)
    facts = gather_facts(arguments, run, policy, base, counts)
    for line in facts.warnings():
        print(f"warning: {line}", file=sys.stderr)
    try:
        with whole_folder(arguments.to) as temporary:
            write_folder(temporary, facts, policy)
            if arguments.lm_eval:
                assert facts.task
                write_harness(temporary / "lm_eval", facts.task, policy, run.config)
    except (OSError, SafetensorError) as error:
        raise UserError(f"to={arguments.to} cannot be written: {error}") from error
    part = "adapters" if facts.adapters_only else "model"
    print(f"exported the {part} of {folder} after iteration {facts.iterations}")
    print(f"saved in {arguments.to}: {' '.join(sorted(path.name for path in arguments.to.iterdir()))}")
    if arguments.lm_eval:
        print(f"evaluate: cd {shlex.quote(str(arguments.to / 'lm_eval'))} && {command(run.config.task.name)}")


def gather_facts(
    arguments: Arguments,
    run: SavedRun,
    policy: Seq2SeqPolicy,
    base: Base | None,
    counts: tuple[int, int, int],
) -> Facts:
    """What the card says. Without the task's rows, say on another machine, it says less.

    Args:
        counts: iterations, samples and updates behind the weights.
    """
    config = run.config
    task: Task | None = None
    try:
        task = load_task(config.task, config.seed)
        task = without_queries(task, base.queries) if base else task
    except UserError as error:
        if arguments.lm_eval:
            raise
        print(f"warning: the card cannot count the task's rows: {error}", file=sys.stderr)
    rows = (*task.train, *task.validation, *task.test) if task else ()
    texts = [config.instructions.correct, config.instructions.wrong]
    texts += [text for row in rows for text in (row.query, *row.targets)]
    return Facts(
        name=arguments.to.resolve().name,
        run=run,
        base=base,
        task=task,
        iterations=counts[0],
        num_samples=counts[1],
        num_updates=counts[2],
        model_type=policy.model.config.model_type,
        num_parameters=sum(weight.numel() for weight in policy.parameters()),
        num_overlong=count_overlong(policy, [task], build_relabel(config.instructions, config.relabel), "cut")
        if task
        else 0,
        adapters_only=not arguments.merge,
        dtype=arguments.dtype,
        license=arguments.license or known_license(config.model.path),
        entities=entities(policy.text, texts),
    )


def write_folder(folder: Path, facts: Facts, policy: Seq2SeqPolicy) -> None:
    """Weights, configurations, tokenizer and card."""
    config = facts.run.config
    model = policy.model.to(getattr(torch, facts.dtype))
    if facts.adapters_only:
        settings = model.peft_config["default"]
        settings.base_model_name_or_path = facts.base_path
        settings.revision = config.model.revision
        # False: with auto, peft looks on the hub whether the base has as many tokens.
        model.save_pretrained(folder, save_embedding_layers=False)
    else:
        model.generation_config = generation_config(policy, facts.run)
        model.save_pretrained(folder)
        name_untied_head(folder / "config.json")
    generation_config(policy, facts.run).save_pretrained(folder)
    policy.tokenizer.chat_template = chat_template(config.instructions.correct, facts.entities)
    policy.tokenizer.save_pretrained(folder)
    # Where its author logged the run, and what notes it had there, is no part of it.
    save_config(replace(config, logger="csv", wandb=WandbConfig()), folder / "hir_config.yaml")
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


def merge_adapters(model: Any) -> Any:
    """The plain model of a peft model, adapters added to its weights.

    A layer that shares its weight, such as a tied output head, first gets one of its own: peft would add its
    adapter to all that share it.
    """
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


def generation_config(policy: Seq2SeqPolicy, run: SavedRun) -> GenerationConfig:
    """Greedy answers as the run's own evaluation gave them."""
    own: dict[str, Any] = {}
    if run.config.sampling.name == "generate":  # which heeded the base's own settings too
        own = policy.model.generation_config.to_diff_dict()
        for name in ("max_length", "transformers_version", "temperature", "top_k", "top_p"):
            own.pop(name, None)
    greedy = {
        "max_new_tokens": run.config.sampling.max_new_tokens,
        "do_sample": False,
        "num_beams": 1,
        "decoder_start_token_id": policy.start_id,
        "eos_token_id": policy.eos_id,
        "pad_token_id": policy.pad_id,
    }
    return GenerationConfig(**{**own, **greedy})


def check_base(policy: Seq2SeqPolicy, trained: Mapping[str, Tensor]) -> None:
    """Refuse adapters whose base has changed since: with it they would answer otherwise.

    Args:
        policy: as it was just loaded.
        trained: the checkpoint's weights, the frozen base's among them.

    Raises:
        UserError: a weight of the base differs.
    """
    for name, weight in policy.state_dict().items():
        then = trained.get(f"policy.{name}")
        if ".lora_" not in name and (then is None or not torch.equal(weight.cpu(), then)):
            raise UserError(
                f"merge=false: the base is not the one that these adapters were trained on ({name} differs): "
                "leave out merge=false"
            )


def check_free(to: Path) -> None:
    """Refuse a place that holds something.

    Raises:
        UserError: it is a file, or a folder that is not empty.
    """
    if to.is_dir() and any(to.iterdir()):
        raise UserError(f"to={to} is not empty: choose a new folder")
    if to.exists() and not to.is_dir() or to.is_symlink() and not to.exists():
        raise UserError(f"to={to} is no folder: choose a new one")


@contextmanager
def whole_folder(to: Path) -> Iterator[Path]:
    """A new folder that becomes ``to`` in the end, or is gone with an error. Raises OSError."""
    to = to.resolve()
    temporary = to.with_name(f".{to.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        readable = temporary.stat().st_mode & 0o666  # safetensors writes for its owner alone
        for path in temporary.rglob("*"):
            if path.is_file():
                path.chmod(readable)
        if to.is_dir():
            to.rmdir()  # empty, or this fails
        os.replace(temporary, to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
