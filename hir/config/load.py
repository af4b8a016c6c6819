r"""From conf/ and the arguments of the command line to one typed Config.

Each of these layers beats the ones before it:

    dataclass defaults < conf/config.yaml < group files < experiment < config=FILE < hardware < key=value

`group=name` picks conf/<group>/<name>.yaml, whose keys belong to the section of the same name; what it
brings along for other sections, say the learning rate that suits a model, stands there under `with:`, and
what it brings beside a certain file of another group, say beside a method, under `when:` and `method=ppo:`.
The latter beats all that stands under `with:`. What it cannot do without, as an on-policy method cannot do
without fresh answers, stands under `needs:`, which is a `with:` that beats the experiment file, too, where
the command line chooses the group's file.
hardware=NAME picks conf/hardware/<name>.yaml, which may have a `when:` for what suits a model.
config=FILE stands in for conf/config.yaml and its groups; a group chosen beside it on the command line beats
the file, and what the file's own choice had brought gives way where it stands there as it was brought.
resume=RUN implies the run's own config.yaml and run_dir.
Interpolations such as ${oc.env:HOME} work in files, where \${ is plain text. On the command line, ${ is text.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import warnings
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError
from yaml import YAMLError  # type: ignore[import-untyped, unused-ignore]

from hir.config.keys import CHOICES, GROUPS, SECTIONS, Key, lookup, suggest
from hir.config.schema import Config, ConfigError, as_integer

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"

NULLS = ("None", "null")  # W&B's agent prints a null as None

RESERVED_TRAINER_KEYS = {
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

Values = dict[str, Any]
"""Dotted key to value."""


@dataclass(frozen=True)
class File:
    """What a file of conf/, or config=FILE, holds."""

    values: Values
    groups: dict[str, str]
    """The file of each group that it chooses."""
    when: dict[str, Values]
    """group=name to what it brings beside that file."""
    needs: Values
    """What of its values beats the experiment file where the command line chooses it."""


def load_config(argv: list[str]) -> Config:
    """Build the configuration of a run from the arguments of a command line.

    -h or --help prints the help and exits.

    Raises:
        ConfigError: an argument or a file is wrong; the message is one line.
    """
    if "-h" in argv or "--help" in argv:
        from hir.config.help import help_text

        print(help_text())
        raise SystemExit(0)
    config = merge_layers(argv)
    check_trainer(config)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain nested containers, fit for YAML and for weights_only checkpoints."""
    return asdict(config)


def save_config(config: Config, path: str | Path) -> None:
    """Write a YAML file that config=FILE reads back.

    run_dir and resume are written as null: repeating a run must neither overwrite nor continue it.
    """
    tree = to_dict(replace(config, run_dir=None, resume=None))
    OmegaConf.save(OmegaConf.create(_escape(tree)), path)


def check_trainer(config: Config) -> None:
    """Refuse what Lightning's Trainer does not know, what the project sets itself and what fails."""
    from lightning.pytorch import Trainer  # takes seconds, which --help need not wait for

    parameters = dict(list(inspect.signature(Trainer.__init__).parameters.items())[1:])
    for name, value in config.trainer.items():
        if name in RESERVED_TRAINER_KEYS:
            key = RESERVED_TRAINER_KEYS[name]
            raise ConfigError(f"trainer.{name} is set by the project: {f'use {key}' if key else 'remove it'}")
        if name not in parameters:
            hint = suggest(name, parameters, prefix="trainer.")
            hint = hint or ": see the documentation of lightning.Trainer"
            raise ConfigError(f"trainer.{name} is no argument of Lightning's Trainer{hint}")
        kinds = str(parameters[name].annotation)
        if "int" in kinds and "float" not in kinds:  # elsewhere 1.0 is a share, and 1 a number
            config.trainer[name] = as_integer(value)
    epochs = config.trainer.get("max_epochs")
    if type(epochs) is not int or epochs < 1:
        rule = "trainer.max_epochs, the number of HIR iterations, must be an integer of at least 1"
        raise ConfigError(f"{rule}, not {epochs!r}")
    accumulated = config.trainer.get("accumulate_grad_batches", 1)
    if type(accumulated) is not int or accumulated < 1:
        raise ConfigError(
            f"trainer.accumulate_grad_batches must be an integer of at least 1, not {accumulated!r}"
        )
    precision = str(as_integer(config.trainer.get("precision")))
    if precision not in ("None", "32", "32-true", "bf16", "bf16-mixed"):
        problem = "overflows in T5" if "16" in precision else "is not supported"
        if precision == "bf16-true":
            problem = "rounds most of AdamW's updates away"
        raise ConfigError(f"trainer.precision={precision} {problem}: use bf16-mixed or 32-true")


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


def merge_layers(argv: list[str]) -> Config:
    """load_config but for the check of trainer.*, which has to import Lightning."""
    chosen, values = _parse_arguments(argv)
    file, experiment = chosen.pop("config", None), chosen.pop("experiment", None)
    machine = File({}, {}, {}, {})
    if hardware := chosen.pop("hardware", None):
        machine = _read(_group_file("hardware", hardware), conditional=True)
    if values.get("resume"):
        folder, _ = find_checkpoint(values["resume"])
        values.setdefault("run_dir", str(folder))
        file = file or str(folder / "config.yaml")
    main = _read(Path(file) if file else CONF / "config.yaml")
    base, groups = main.values, main.groups
    if values.get("model.path") and groups.get("model") == "tiny" and not file:
        groups["model"] = "seq2seq"  # what suits the tiny model suits no other
    overlay: Values = {}
    if experiment:
        further = _read(_group_file("experiment", experiment))
        overlay = further.values
        groups = further.groups | groups if file else groups | further.groups
    # A group that the command line chooses takes the place of the file's or the experiment's choice.
    files = {group: _group(group, name) for group, name in (groups | chosen).items()}
    default_groups = [files[group].values for group in groups if group not in chosen]
    chosen_groups = [files[group].values for group in GROUPS if group in chosen]  # in any order as given
    needs = [files[group].needs for group in GROUPS if group in chosen]
    if not file:
        layers = [base, *default_groups, *chosen_groups, *_beside(files, files), overlay, *needs]
        return _build([*layers, *_with_conditions(machine, files), values])
    if "task" in chosen:
        # What makes the file's task means nothing to another one.
        own = ("task.source", "task.settings", "task.num_train")
        base = {key: value for key, value in base.items() if not key.startswith(own)}
    # A saved configuration names its files, and holds what they brought.
    saved = {
        group: _group(group, name)
        for group in GROUPS
        if (name := base.get(f"{group}.name")) in group_files(group)
    }
    files = saved | files
    brought, fallback = _given_way(saved, files)
    base = {key: value for key, value in base.items() if key not in brought or brought[key] != value}
    layers = [*default_groups, overlay, fallback, base, *chosen_groups, *_beside(files, chosen)]
    return _build([*layers, *_with_conditions(machine, files), values])


def _given_way(saved: dict[str, File], files: dict[str, File]) -> tuple[Values, Values]:
    """What the saved files brought that others replace, and what those that stay bring to the same keys.

    The former, such as an on-policy method's window, had hidden the latter, such as a model's.
    """
    replaced = [group for group in saved if saved[group].values != files[group].values]
    brought: Values = {}
    for values in (*(saved[group].values for group in replaced), *_beside(saved, replaced)):
        brought |= values
    kept = [file.values for group, file in saved.items() if group not in replaced]
    return brought, {key: values[key] for values in kept for key in values if key in brought}


def _beside(files: dict[str, File], changed: Container[str]) -> Iterator[Values]:
    """What the groups' files bring beside each other, where one of the two was chosen anew."""
    names = {group: file.values[f"{group}.name"] for group, file in files.items()}
    for group, file in files.items():
        for condition, values in file.when.items():
            other, _, name = condition.partition("=")
            if names.get(other) == name and (group in changed or other in changed):
                yield values


def _with_conditions(machine: File, files: dict[str, File]) -> Iterator[Values]:
    """What a machine's file brings, and what it brings beside the groups' files."""
    chosen = {f"{group}={file.values[f'{group}.name']}" for group, file in files.items()}
    yield machine.values
    yield from (values for condition, values in machine.when.items() if condition in chosen)


def _parse_arguments(argv: list[str]) -> tuple[dict[str, str], Values]:
    """Split arguments into choices of files and values of keys; the last of a repeated one wins."""
    chosen: dict[str, str] = {}
    values: Values = {}
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not equals or not name:
            raise ConfigError(f"{argument!r} is not key=value: write for example training.lr=1e-4")
        nested = _read_python(text) if name in SECTIONS else None
        if isinstance(nested, dict):  # W&B's nested parameters
            values |= {key: _escape(value) for key, value in _flatten(nested, f"{name}.")}
        elif name not in CHOICES:
            values[name] = parse_value(lookup(name), text)
        elif name in GROUPS or text not in (*NULLS, ""):
            chosen[name] = text
        else:
            chosen.pop(name, None)
    return chosen, values


def parse_value(key: Key, text: str) -> Any:
    """Read an argument's text as its key's type asks; a prompt stays as it is, whatever it holds."""
    if text in NULLS or (key.nullable and not text):
        return None
    if key.kind is str:
        return _escape(text)
    read = _read_python(text)
    # What Python reads as numbers, say, was written as texts: 1e3 stays 1e3.
    if key.kind is list and not (read and all(isinstance(item, str | list | dict) for item in read)):
        return _escape(_read_texts(key, text.strip()))
    if read is not None:
        return _escape(read)
    if ":" in text and text[0] not in "[{":
        return _escape(text)  # a duration such as 12:00:00:00, which YAML takes for one number
    try:
        tree = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    except (YAMLError, OmegaConfBaseException):
        return _escape(text)
    assert isinstance(tree, dict)
    return _escape(tree["value"])


def _read_python(text: str) -> Any:
    """A list or a mapping as Python prints it, and so W&B's agent, or as JSON; None for any other text."""
    if not text.startswith(("[", "{")):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a backslash that YAML takes as it is
        for read in (ast.literal_eval, json.loads):
            with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                value = read(text)
                json.dumps(value)  # neither sets nor bytes
                return value
    return None


def _read_texts(key: Key, text: str) -> list[str]:
    """The items of a list written by hand, with or without brackets: each is a text, whatever it holds."""
    if text.startswith("["):
        if not text.endswith("]"):
            raise ConfigError(f"{key.name} must be {key.type_name}, not {text!r}")
        text = text[1:-1]
    items = re.findall(r"""\s*("[^"]*"|'[^']*'|[^,]+?)\s*(?:,|$)""", text)
    return [item[1:-1] if item[0] in "'\"" and item[0] == item[-1] else item for item in items]


def _escape(value: Any) -> Any:
    """Keep OmegaConf from interpreting ${ in texts, at any depth."""
    if isinstance(value, dict):
        return {name: _escape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    if isinstance(value, str):
        # OmegaConf halves the backslashes before ${ and takes an odd one for an escape.
        return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value)
    return value


def _read(path: Path, section: str = "", conditional: bool = False) -> File:
    """Read a file, its keys below a section; one without may have a ``when:`` if it is ``conditional``."""
    label = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    if not path.is_file():
        raise ConfigError(f"{label} does not exist or is no file: give the path of a YAML file")
    try:
        tree = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{label} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{label} must hold keys with values, not a list")
    groups = {} if section else tree.pop("groups", None) or {}
    elsewhere = tree.pop("with", None) or {} if section else {}
    when = tree.pop("when", None) or {} if section or conditional else {}
    needs = tree.pop("needs", None) or {} if section else {}
    if not isinstance(groups, dict) or not set(groups) <= set(GROUPS):
        raise ConfigError(f"{label}: groups must choose files for {', '.join(GROUPS)}, not {groups!r}")
    if not isinstance(when, dict) or not all(_is_condition(key) for key in when):
        raise ConfigError(f"{label}: keys of when: must be like method=ppo, not {', '.join(map(str, when))}")
    try:
        return File(
            dict(_flatten(tree, f"{section}." if section else ""))
            | dict(_flatten(elsewhere))
            | dict(_flatten(needs)),
            {group: str(groups[group]) for group in groups},
            {condition: dict(_flatten(values or {})) for condition, values in when.items()},
            dict(_flatten(needs)),
        )
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from error


def _is_condition(text: object) -> bool:
    group, _, name = str(text).partition("=")
    return group in GROUPS and (group == "task" or name in group_files(group))


def _flatten(tree: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values; an empty section or mapping (null in YAML) sets nothing."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if key in SECTIONS and isinstance(value, dict):
            yield from _flatten(value, f"{key}.")
        elif key in GROUPS and isinstance(value, str):
            raise ConfigError(f"{key} is a section: choose its file by groups: {{{key}: {value}}}")
        elif value is not None or not (
            key in SECTIONS or lookup(key).kind is dict and lookup(key).name == key
        ):
            lookup(key)
            yield key, value


def _group_file(group: str, name: str) -> Path:
    files = group_files(group)
    if name not in files:
        hint = suggest(name, files) or f": conf/{group}/ holds {', '.join(files)}"
        raise ConfigError(f"unknown {group} {name!r}{hint}")
    return CONF / group / f"{name}.yaml"


def _group(group: str, name: str) -> File:
    """A group's file, its name among the values. A task needs none: any BIG-bench task goes by its name."""
    named = {f"{group}.name": _escape(name)}
    if group == "task" and name not in group_files(group):
        return File(named, {}, {}, {})
    file = _read(_group_file(group, name), section=group)
    return replace(file, values=named | file.values)


def set_value(tree: Any, key: Key, name: str, value: Any) -> None:
    """Set a value of a structured OmegaConf tree, its type checked.

    Args:
        tree: what OmegaConf.structured made.
        key: of the value, or of the mapping that holds it.
        name: dotted.
        value: as ``parse_value`` or YAML reads it.

    Raises:
        ConfigError: it is of another type.
    """
    if key.kind is int:
        value = as_integer(value)
    elif key.kind is list and isinstance(value, str) and not value.startswith("${"):
        value = [value]
    if key.kind in (str, list):
        for item in value if isinstance(value, list) else [value]:
            # OmegaConf would make "True" of yes, and let a: b be in a list.
            if isinstance(item, bool | dict | list):
                raise ConfigError(f"{name} must be {key.type_name}, not {item!r}: put it in quotes")
    try:
        OmegaConf.update(tree, name, value)
    except ValidationError as error:
        raise ConfigError(f"{name} must be {key.type_name}, not {value!r}") from error


def _build(layers: list[Values]) -> Config:
    """Merge layers over the defaults of the dataclasses, with their types checked."""
    tree = OmegaConf.structured(Config)
    for key, value in (item for layer in layers for item in layer.items()):
        set_value(tree, lookup(key), key, value)
    try:
        config = OmegaConf.to_object(tree)
    except OmegaConfBaseException as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(f"{error.full_key}: {problem} (in a file, \\${{ stands for plain ${{)") from error
    assert isinstance(config, Config)
    return config
