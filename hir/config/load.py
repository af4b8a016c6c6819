r"""From conf/ and the arguments of a command line to one typed Config.

conf/config.yaml (or config=FILE), then the experiment, then the command line; each first reads the files it
names, then its own lines; the last word wins. Of a group only the last named file is read.

A file is whole sections, and may name files of groups: ``files: {model: tiny}``. On the command line
``model=tiny`` names a file and ``training.lr=1e-4`` is a line; their order does not matter. Files of one
place are read in the order of GROUPS. resume=RUN implies the run's own config.yaml and run_dir.
Interpolations such as ${oc.env:HOME} are OmegaConf's; \${ is plain text.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hir.config.keys import CHOICES, GROUPS, SECTIONS, lookup, suggest
from hir.config.schema import Config, ConfigError
from hir.config.values import check_trainer, parse_value, read_yaml, set_value, to_object
from hir.files import atomic_write, find_checkpoint

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"


@dataclass(frozen=True)
class Part:
    """One of the three that have a say: conf/config.yaml, the experiment or the command line."""

    files: dict[str, str]
    """Group to the name of its file."""
    lines: dict[str, Any]
    """Dotted key to value."""


def load_config(argv: list[str]) -> Config:
    """The configuration of a run by the arguments of a command line; ConfigError if one of them is wrong."""
    command = _read_arguments(argv)
    if run := command.lines.get("resume"):
        folder, _ = find_checkpoint(run)
        command.lines.setdefault("run_dir", str(folder))
        command.files.setdefault("config", str(folder / "config.yaml"))
    parts = [_read(Path(command.files.get("config", CONF / "config.yaml")))]
    if "experiment" in command.files:
        parts.append(_read_named("experiment", command.files["experiment"]))
    parts.append(command)
    last = {group: part for part in parts for group in part.files}
    tree = OmegaConf.structured(Config)
    for part in parts:
        lines: list[tuple[str, Any]] = []
        for group in GROUPS:
            if last.get(group) is part:
                name = part.files[group]
                lines += [(f"{group}.name", name), *_read_named(group, name).lines.items()]
        for key, value in [*lines, *part.lines.items()]:
            set_value(tree, lookup(key), key, value)
    config: Config = to_object(tree)
    check_trainer(config.trainer)
    return config


def flat(tree: Mapping[str, Any], separator: str = ".", prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree under dotted names, or others; an empty branch has none."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        leaves |= flat(value, separator, f"{key}{separator}") if isinstance(value, dict) else {key: value}
    return leaves


def save_config(config: Config, path: str | Path) -> None:
    """Write a YAML file for config=FILE, without run_dir and resume: it neither overwrites nor continues."""
    tree = asdict(replace(config, run_dir=None, resume=None))
    text = OmegaConf.to_yaml(OmegaConf.create(tree)).replace("${", r"\${")
    atomic_write(Path(path), text.encode())


def group_files(group: str) -> list[str]:
    """Names that `group=name` finds in conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def task_settings(name: str) -> dict[str, Any]:
    """The difficulty settings that task=name brings from its file in conf/task/."""
    start, lines = "task.settings.", _read_named("task", name).lines
    return {key.removeprefix(start): value for key, value in lines.items() if key.startswith(start)}


def _read_named(group: str, name: str) -> Part:
    """The file of conf/ that `group=name` names; but for a model and an experiment there need be none."""
    files = group_files(group)
    if name in files:
        return _read(CONF / group / f"{name}.yaml")
    if group in ("model", "experiment"):
        raise ConfigError(f"unknown {group} {name!r}{suggest(name, files)}")
    return Part({}, {})


def _read(path: Path) -> Part:
    tree = read_yaml(path)
    files = tree.pop("files", {})
    named = isinstance(files, dict) and all(isinstance(name, str) for name in files.values())
    if not named or not set(files) <= set(GROUPS):
        raise ConfigError(f"{path}: files must name one for {', '.join(GROUPS)}, not {files!r}")
    lines = {key: value for key, value in flat(tree).items() if key not in SECTIONS or value is not None}
    return Part(files, lines)


def _read_arguments(argv: list[str]) -> Part:
    """The command line as the last of the parts; the last of a repeated argument wins."""
    part = Part({}, {})
    for argument in argv:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not equals or not name:
            raise ConfigError(f"{argument!r} is not key=value: write for example training.lr=1e-4")
        if name in CHOICES:
            part.files[name] = text
        else:
            part.lines[name] = parse_value(lookup(name), text)
    return part
