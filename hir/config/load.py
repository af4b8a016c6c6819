r"""From conf/ and the arguments of a command line to one typed Config.

conf/config.yaml (or config=FILE), then the experiment, then the command line: each first reads the files it
names, then its own lines, and the last word wins. Of a group only the last named file is read.

A file is whole sections, and may name files of groups: ``files: {model: tiny}``. On the command line
``model=tiny`` names a file and ``training.lr=1e-4`` is a line; their order does not matter. Files of one
place are read in the order of GROUPS. resume=RUN implies the run's own config.yaml and run_dir.
Interpolations such as ${oc.env:HOME} work in files, where \${ is plain text. On the command line, ${ is text.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hir.config.keys import CHOICES, GROUPS, SECTIONS, lookup, suggest
from hir.config.schema import Config, ConfigError, as_integer
from hir.config.values import NULLS, escape, parse_value, read_yaml, set_value

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"

RESERVED_TRAINER_KEYS = {
    "accumulate_grad_batches": "training.rows_per_device",
    "barebones": None,
    "callbacks": None,
    "check_val_every_n_epoch": "evaluation.every",
    "default_root_dir": "run_dir",
    "enable_checkpointing": None,
    "limit_train_batches": "training.num_updates",
    "logger": "logger",
    "max_steps": "training.num_updates",
    "overfit_batches": "task.num_train",
    "reload_dataloaders_every_n_epochs": None,
    "use_distributed_sampler": None,
    "val_check_interval": "evaluation.every",
}
"""Trainer arguments that the project sets itself, and the key that stands for each, if there is one."""

PRECISIONS = (None, 32, "32", "32-true", "bf16", "bf16-mixed")


@dataclass(frozen=True)
class Part:
    """One of the three that have a say: conf/config.yaml, the experiment or the command line."""

    files: dict[str, str]
    """Group to the name of its file."""
    lines: dict[str, Any]
    """Dotted key to value."""


def load_config(argv: list[str]) -> Config:
    """Build the configuration of a run from the arguments of a command line.

    Raises:
        ConfigError: an argument or a file is wrong; the message is one line.
    """
    config = merge_layers(argv)
    check_trainer(config)
    return config


def merge_layers(argv: list[str]) -> Config:
    """load_config but for the check of trainer.*, which has to import Lightning."""
    command = _read_arguments(argv)
    if run := command.lines.get("resume"):
        folder, _ = find_checkpoint(run)
        command.lines.setdefault("run_dir", str(folder))
        command.files.setdefault("config", str(folder / "config.yaml"))
    parts = [_read(Path(command.files.get("config") or CONF / "config.yaml"))]
    if experiment := command.files.get("experiment"):
        parts.append(_read(_path("experiment", experiment)))
    parts.append(command)
    if command.lines.get("model.path") and [p.files["model"] for p in parts if "model" in p.files] == [
        "tiny"
    ]:
        command.files["model"] = "hub"  # which conf/config.yaml's choice cannot mean
    last = {group: part for part in parts for group in part.files}
    tree = OmegaConf.structured(Config)
    for part in parts:
        named = [group for group in GROUPS if last.get(group) is part]
        for lines in (*(_read_group(group, part.files[group]) for group in named), part.lines):
            for name, value in lines.items():
                set_value(tree, lookup(name), name, value)
    config = OmegaConf.to_object(tree)
    assert isinstance(config, Config)
    if config.model.name == "tiny" and config.model.path:
        raise ConfigError(f"model.path={config.model.path}: model=tiny makes its own model, set model=hub")
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain nested containers, fit for YAML and for weights_only checkpoints."""
    return asdict(config)


def flat(tree: Mapping[str, Any], separator: str = ".", prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree under dotted names, or others; an empty branch has none."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        leaves |= flat(value, separator, f"{key}{separator}") if isinstance(value, dict) else {key: value}
    return leaves


def save_config(config: Config, path: str | Path) -> None:
    """Write a YAML file that config=FILE reads back.

    run_dir and resume are written as null: repeating a run must neither overwrite nor continue it.
    """
    tree = to_dict(replace(config, run_dir=None, resume=None))
    OmegaConf.save(OmegaConf.create(escape(tree)), path)


def check_trainer(config: Config) -> None:
    """Refuse what Lightning's Trainer does not know, what the project sets itself and what fails."""
    from lightning.pytorch import Trainer  # takes seconds, which --help need not wait for

    parameters = inspect.signature(Trainer).parameters
    for name in config.trainer:
        if name in RESERVED_TRAINER_KEYS:
            key = RESERVED_TRAINER_KEYS[name]
            raise ConfigError(f"trainer.{name} is set by the project: {f'use {key}' if key else 'remove it'}")
        if name not in parameters:
            hint = suggest(name, parameters, "trainer.") or ": see the documentation of lightning.Trainer"
            raise ConfigError(f"trainer.{name} is no argument of Lightning's Trainer{hint}")
    config.trainer["max_epochs"] = epochs = as_integer(config.trainer.get("max_epochs"))
    if type(epochs) is not int or epochs < 1:
        rule = "trainer.max_epochs, the number of HIR iterations, must be an integer of at least 1"
        raise ConfigError(f"{rule}, not {epochs!r}")
    if (precision := config.trainer.get("precision")) not in PRECISIONS:
        problem = "fp16 overflows in T5, and bf16-true rounds most of AdamW's updates away"
        raise ConfigError(f"trainer.precision={precision}: {problem}; use bf16-mixed or 32-true")


def find_checkpoint(run: str | Path) -> tuple[Path, Path]:
    """Folder and last checkpoint of a run, given either.

    Raises:
        ConfigError: there is no such run, or it has finished no iteration.
    """
    path = Path(run)
    folder = path.parent.parent if path.suffix == ".ckpt" else path
    checkpoint = path if path.suffix == ".ckpt" else path / "checkpoints" / "last.ckpt"
    if not checkpoint.exists() or not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"{run} holds no run to go on with: {checkpoint} and {folder}/config.yaml must exist"
        )
    return folder, checkpoint


def group_files(group: str) -> list[str]:
    """Names that `group=name` finds in conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _path(group: str, name: str) -> Path:
    files = group_files(group)
    if name not in files:
        hint = suggest(name, files) or f": conf/{group}/ holds {', '.join(files)}"
        raise ConfigError(f"unknown {group} {name!r}{hint}")
    return CONF / group / f"{name}.yaml"


def _read_group(group: str, name: str) -> dict[str, Any]:
    """The name of a group's choice, and what its file says: a model needs one, anything else may have one."""
    named = {f"{group}.name": name}
    if group != "model" and name not in group_files(group):
        return named
    return named | _read(_path(group, name)).lines


def _read(path: Path) -> Part:
    """Read a file of conf/ or config=FILE."""
    label = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    if not path.is_file():
        raise ConfigError(f"{label} does not exist or is no file: give the path of a YAML file")
    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{label} is not valid YAML, where \\${{ is plain ${{: {reason}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{label} must hold keys with values, not a list")
    files = tree.pop("files", None) or {}
    if not isinstance(files, dict) or not set(files) <= set(GROUPS):
        raise ConfigError(f"{label}: files must name one for {', '.join(GROUPS)}, not {files!r}")
    try:
        return Part({group: str(name) for group, name in files.items()}, dict(_flatten(tree)))
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from error


def _flatten(tree: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values; an empty section or mapping (null in YAML) sets nothing."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if key in SECTIONS and isinstance(value, dict | None):
            yield from _flatten(value or {}, f"{key}.")
        elif value is not None or lookup(key).kind is not dict:
            lookup(key)
            yield key, value


def _read_arguments(argv: list[str]) -> Part:
    """The command line as the last of the parts; the last of a repeated argument wins."""
    part = Part({}, {})
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not equals or not name:
            raise ConfigError(f"{argument!r} is not key=value: write for example training.lr=1e-4")
        if name in (*SECTIONS, *GROUPS) and text.startswith("{"):  # W&B's nested parameters
            part.lines.update(_flatten(read_yaml(text), f"{name}."))
        elif name in CHOICES:
            part.files[name] = "" if text in NULLS and name not in GROUPS else text
        else:
            part.lines[name] = parse_value(lookup(name), text)
    return part
