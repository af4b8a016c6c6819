"""W&B's distributions: how each draws a value, and what a sweep file has to say for it.

Names, defaults and limits are those of the schema that W&B's server checks a sweep file against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from statistics import NormalDist
from typing import Any

Options = Mapping[str, Any]
"""What stands in the file beside a parameter's distribution, defaults filled in."""


def _uniform(low: float, high: float, rng: Random) -> float:
    return low + rng.random() * (high - low)


def _log_uniform(low: float, high: float, rng: Random) -> float:
    """Between two bounds that are given as logarithms."""
    return math.exp(_uniform(low, high, rng))


def _log_uniform_values(options: Options, rng: Random) -> float:
    low, high = options["min"], options["max"]
    return float(min(max(_log_uniform(math.log(low), math.log(high), rng), low), high))


def _int_uniform(options: Options, rng: Random) -> int:
    return int(options["min"]) + int(rng.random() * (options["max"] + 1 - options["min"]))


def _normal(options: Options, rng: Random) -> float:
    share = max(rng.random(), 2.0**-54)  # the quantile of 0 is minus infinity
    return float(options["mu"] + options["sigma"] * NormalDist().inv_cdf(share))


def _choice(options: Options, rng: Random) -> Any:
    values = options["values"]
    share, reached = rng.random(), 0.0
    for value, probability in zip(
        values, options.get("probabilities", [1 / len(values)] * len(values)), strict=True
    ):
        reached += probability
        if share < reached:
            return value
    return values[-1]  # the probabilities sum to 1 but for rounding


def _rounded(draw: Callable[[Options, Random], float]) -> Callable[[Options, Random], float]:
    """The same draw, rounded to a multiple of q: an integer where q is one, as an integer key wants it."""

    def drawn(options: Options, rng: Random) -> float:
        q = options["q"]
        steps = round(draw(options, rng) / q)
        return steps * int(q) if q == int(q) else float(f"{steps * q:.12g}")

    return drawn


@dataclass(frozen=True)
class Distribution:
    """How W&B draws a value, and what the file has to say for it."""

    draw: Callable[[Options, Random], Any]
    needs: tuple[str, ...] = ("min", "max")
    defaults: Options = field(default_factory=dict)
    positive: tuple[str, ...] = ()
    """Options that must be above 0."""
    log: bool = False
    """Whether values are spread evenly over their logarithms."""
    bounds: Callable[[float, float], tuple[float, float]] = lambda low, high: (low, high)
    """The range of the values by min and max."""


def _quantized(plain: Distribution) -> Distribution:
    return Distribution(
        _rounded(plain.draw),
        plain.needs,
        {**plain.defaults, "q": 1.0},
        (*plain.positive, "q"),
        plain.log,
        plain.bounds,
    )


_BELL = {"mu": 0.0, "sigma": 1.0}
_PLAIN = {
    "uniform": Distribution(lambda o, rng: _uniform(o["min"], o["max"], rng)),
    "log_uniform": Distribution(
        lambda o, rng: _log_uniform(o["min"], o["max"], rng),
        log=True,
        bounds=lambda low, high: (math.exp(low), math.exp(high)),
    ),
    "log_uniform_values": Distribution(_log_uniform_values, positive=("min",), log=True),
    "normal": Distribution(_normal, (), _BELL),
    "log_normal": Distribution(lambda o, rng: math.exp(_normal(o, rng)), (), _BELL, log=True),
    "beta": Distribution(lambda o, rng: rng.betavariate(o["a"], o["b"]), (), {"a": 1, "b": 1}, ("a", "b")),
}
DISTRIBUTIONS = {
    "constant": Distribution(lambda o, rng: o["value"], ("value",)),
    "categorical": Distribution(_choice, ("values",)),
    "categorical_w_probabilities": Distribution(_choice, ("values", "probabilities")),
    "int_uniform": Distribution(_int_uniform),
    "inv_log_uniform": Distribution(
        lambda o, rng: _log_uniform(-o["max"], -o["min"], rng),
        log=True,
        bounds=lambda low, high: (math.exp(-high), math.exp(-low)),
    ),
    "inv_log_uniform_values": Distribution(_log_uniform_values, positive=("min",), log=True),
    **_PLAIN,
    **{f"q_{name}": _quantized(plain) for name, plain in _PLAIN.items()},
}
"""W&B's distributions by name. log(1 / x) is uniform where log(x) is, so the inverse ones are the others."""
