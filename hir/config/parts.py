"""How the limits of the configuration are stated, and its sections on adapters and the tiny base."""

from dataclasses import dataclass, field
from typing import Any

from hir.errors import UserError


class ConfigError(UserError):
    """A mistake in a configuration file or in an argument of the command line."""


def check(ok: bool, key: str, rule: str, value: object) -> None:
    """Refuse a value with one line that names the key and the rule."""
    if not ok:
        raise ConfigError(f"{key} must be {rule}, not {value!r}")


def limited(default: Any, interval: str) -> Any:
    """A number of a dataclass that must be in the interval, such as [0, 1), or null."""
    return field(default=default, metadata={"interval": interval})


@dataclass
class LoraConfig:
    """Low-rank adapters through peft (pip install peft)."""

    r: int = limited(0, "[0, inf)")
    """Rank; 0 trains all weights."""
    alpha: int = limited(16, "[1, inf)")
    """Scale of the adapters."""
    dropout: float = limited(0.0, "[0, 1)")
    """Dropout on the adapters' input."""
    target_modules: list[str] = field(default_factory=lambda: ["q", "v"])
    """Names of the layers that get adapters; all-linear for every linear layer but the head."""


@dataclass
class BaseConfig:
    """The supervised pre-training that gives the embedded tiny model its head start."""

    accuracy: float = limited(0.3, "(0, 1]")
    """Stop once accuracy on labelled rows of its own reaches this."""
    seed: int = limited(0, "[0, inf)")
    """Seed of weights and rows; the base is the same for every run seed."""
    d_model: int = limited(64, "[1, inf)")
    """Width of the tiny T5, shared by 4 attention heads; its feed-forward layers are twice as wide."""
    num_layers: int = limited(2, "[1, inf)")
    """Layers of its encoder; its decoder has one."""
    max_updates: int = limited(1000, "[1, inf)")
    """Give up reaching the accuracy after so many updates of 64 rows."""
