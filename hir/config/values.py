"""Values: read off a file or an argument as their type asks, put into a typed tree, held to their limits."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hir.config.keys import Key, keys_of, suggest
from hir.config.schema import ConfigError, check

T = TypeVar("T")

RESERVED = {
    "accumulate_grad_batches": "training.rows_per_device",
    "default_root_dir": "run_dir",
    "fast_dev_run": "trainer.max_epochs=1",
    "logger": "logger",
    "plugins": "trainer.precision and trainer.strategy",
    **dict.fromkeys(("limit_train_batches", "max_steps", "overfit_batches"), "training.num_updates"),
    **dict.fromkeys(("check_val_every_n_epoch", "val_check_interval"), "evaluation.every"),
    **dict.fromkeys(("callbacks", "enable_progress_bar", "use_distributed_sampler"), "hir/trainer.py"),
}
"""Arguments of Lightning's Trainer that the project sets itself, and the key that stands for each."""

MAX_CHARACTERS = 20_000
"""Of a YAML text: its parser crashes on tens of thousands of brackets."""

PRECISIONS = (None, 32, "32", "32-true", "bf16", "bf16-mixed")


def as_integer(value: Any) -> Any:
    """A whole float, as W&B and YAML write some integers, as an integer; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def parse_value(key: Key, text: str) -> Any:
    """Read an argument's text as its key's type asks; a prompt stays as it is, whatever it holds."""
    if text in ("None", "null") or (key.nullable and not text):  # W&B's agent prints a null as None
        return None
    if key.kind is str or (":" in text and text[0] not in "[{"):
        return text  # 12:00:00:00, a duration, YAML would take for one number
    try:
        if key.kind is list:
            return yaml.load(text if text.startswith("[") else f"[{text}]", yaml.BaseLoader)  # 1e3 stays 1e3
        return parse_yaml(text)
    except (ConfigError, yaml.YAMLError, RecursionError):
        return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, an empty one if there is nothing; raises ConfigError."""
    try:
        if not os.path.isfile(path):  # a pipe might never end
            raise ConfigError("no regular file is there")
        tree = parse_yaml(path.read_text(encoding="utf-8"))
        if not isinstance(tree, dict | None):
            raise ConfigError("it must be a mapping of keys to values")
        return tree or {}
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def parse_yaml(text: str) -> Any:
    """A YAML text as OmegaConf reads it: 1e-4 is a number, a date a text; raises ConfigError."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"it is longer than {MAX_CHARACTERS:,} characters")
    try:
        tree = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
        plain = json.dumps(tree, ensure_ascii=False, default=os.fspath)
        return json.loads(plain.encode())["value"]  # half a pair of characters has no code
    except Exception as error:  # of PyYAML's constructors, KeyError of "!!bool maybe" say
        raise ConfigError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def set_value(tree: Any, key: Key, name: str, value: Any) -> None:
    """Set the value of a dotted name in a structured tree: mappings merge, and an empty one empties.

    ``key`` is its own, or that of the mapping that holds it. ConfigError: another type, or beyond its limits.
    """
    hint = r": write \${ for a plain ${" if "${" in str(value) else ""
    refused = ConfigError(f"{name} must be {key.type_name}, not {value!r}{hint}")
    if key.kind is int:
        value = as_integer(value)
    elif key.kind is list and isinstance(value, str):
        value = [value]
    # OmegaConf would make "True" of yes, and let a: b be in a list.
    texts = (value if isinstance(value, list) else [value]) if key.kind in (str, list) else []
    if any(isinstance(text, bool | dict) for text in texts):
        raise refused
    try:
        str(value).encode()  # which an argument that is no UTF-8 has not
        OmegaConf.update(tree, name, value, merge=value != {})
        number = OmegaConf.select(tree, name)
    except (OmegaConfBaseException, RecursionError, OverflowError, UnicodeEncodeError) as error:
        raise refused from error
    if key.interval and number is not None and not _lies_in(number, key.interval):
        raise refused


def _lies_in(number: float, interval: str) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    return above and below and not (isinstance(number, int) and number >= 2**63)


def read_settings(kind: type[T], section: str, values: Mapping[str, Any]) -> T:
    """The values of a section, but for its name, as the dataclass of the file that they are for.

    Raises ConfigError where one is unknown, of another type or beyond a limit.
    """
    keys, tree = keys_of(kind), OmegaConf.create()
    OmegaConf.update(tree, section, OmegaConf.structured(kind))
    OmegaConf.set_readonly(OmegaConf.select(tree, section), False)  # which those of a frozen dataclass are
    for name, value in values.items():
        if name in keys:
            set_value(tree, keys[name], f"{section}.{name}", value)
        elif name != "name":
            hint = suggest(name, keys, f"{section}.")
            raise ConfigError(f"{section}.{name} is no setting of {values['name']}{hint}")
    settings: T = to_object(OmegaConf.select(tree, section))
    return settings


def to_object(tree: Any) -> Any:
    """What a tree holds, as the dataclasses that it was made of; ConfigError where that cannot be had."""
    try:
        return OmegaConf.to_object(tree)
    except (OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(str(error).splitlines()[0]) from error


def check_trainer(trainer: dict[str, Any]) -> None:
    """Refuse arguments of Lightning's Trainer that the project sets itself, and what fails in training."""
    for name in trainer:
        if name in RESERVED:
            raise ConfigError(f"trainer.{name} is set by the project: use {RESERVED[name]}")
    trainer["max_epochs"] = epochs = as_integer(trainer.get("max_epochs"))
    rule = "an integer of at least 1, the number of HIR iterations"
    check(type(epochs) is int and epochs > 0, "trainer.max_epochs", rule, epochs)
    for name in ("detect_anomaly", "enable_checkpointing", "inference_mode"):  # which it takes as they are
        check(isinstance(given := trainer.get(name), bool | None), f"trainer.{name}", "true or false", given)
    every = trainer.get("log_every_n_steps", 1)
    check(type(every) is int and every > 0, "trainer.log_every_n_steps", "an integer of at least 1", every)
    rule = "bf16-mixed or 32-true, since fp16 overflows in T5 and bf16-true rounds AdamW's updates away"
    check(trainer.get("precision") in PRECISIONS, "trainer.precision", rule, trainer.get("precision"))
