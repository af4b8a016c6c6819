"""The configuration with the settings of the files that it names, which each file declares itself."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from hir.config.keys import keys_of
from hir.config.load import load_config
from hir.config.schema import Config, ConfigError
from hir.config.values import read_settings
from hir.feedback.base import FEEDBACKS
from hir.methods.base import METHODS
from hir.registry import Registry
from hir.relabel.base import RELABELS


def load_run_config(argv: list[str]) -> Config:
    """``load_config``, and ``complete``."""
    return complete(load_config(argv))


def complete(config: Config) -> Config:
    """All settings of the method, the feedback and the relabeling, their defaults included, and no others.

    A model's file may set what suits it beside several methods: settings of another one of the project's are
    left out.

    Raises:
        ConfigError: a setting is nobody's, of another type or beyond a limit.
    """
    registries = {"method": METHODS, "feedback": FEEDBACKS, "relabel": RELABELS}
    sections = {name: _complete(kinds, name, getattr(config, name)) for name, kinds in registries.items()}
    return replace(config, **sections)  # type: ignore[arg-type]


def _complete(registry: Registry[Any], section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    name = values["name"]
    kinds = {other: registry[other].Settings for other in registry.modules()}
    if name is None and (given := values.keys() - {"name"}):  # feedback.function=... says enough
        fitting = [other for other, kind in kinds.items() if given <= keys_of(kind).keys()]
        if len(fitting) != 1:
            raise ConfigError(
                f"{section}.{min(given)} needs {section}.name, one of {', '.join(sorted(kinds))}"
            )
        name = fitting[0]
    own = registry[name].Settings if name else None
    others = {key for kind in kinds.values() for key in keys_of(kind)} - {*(keys_of(own) if own else ())}
    kept = {key: value for key, value in values.items() if key not in others}
    return {"name": name, **(asdict(read_settings(own, section, kept)) if own else {})}
