"""The parameters of a sweep file, drawn from or expanded to a grid."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

from hir.config.keys import KEYS, suggest
from hir.errors import UserError
from hir.randomness import generator
from hir.tools.runs import as_argument
from hir.tools.sweep.distributions import DISTRIBUTIONS, Distribution, Options

Settings = dict[str, Any]
"""Dotted key to value."""

ATTEMPTS = 1000
"""Draws for a run before its settings are taken for those of an earlier one."""


@dataclass(frozen=True)
class Parameter:
    """A key of train.py and where its values come from."""

    name: str
    distribution: str
    options: Options

    @property
    def fixed(self) -> bool:
        """Whether every run has the same value."""
        return self.distribution == "constant" or len(self.options.get("values", (1, 2))) == 1

    @property
    def log(self) -> bool:
        """Whether its values belong on a logarithmic axis."""
        return DISTRIBUTIONS[self.distribution].log

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range that the file gives its values; None where it gives none."""
        if "min" not in self.options:
            return None
        return DISTRIBUTIONS[self.distribution].bounds(self.options["min"], self.options["max"])

    def draw(self, rng: Random) -> Any:
        """A value at random; UserError if it is too large for a number."""
        try:
            return DISTRIBUTIONS[self.distribution].draw(self.options, rng)
        except OverflowError as error:
            raise UserError(f"{self.name}: {self.distribution} drew too large a number") from error

    def grid(self) -> Sequence[Any]:
        """All values; UserError where W&B's grid search takes no such distribution."""
        options = self.options
        if self.distribution == "constant":
            return [options["value"]]
        if self.distribution == "categorical":
            return list(options["values"])
        if self.distribution == "int_uniform":
            return range(options["min"], options["max"] + 1)
        if self.distribution == "q_uniform":  # without max, as in W&B's grids
            low, q = options["min"], options["q"]
            steps = range(math.ceil((options["max"] - low) / q))
            if low == int(low) and q == int(q):  # as an integer key wants them
                return [int(low) + i * int(q) for i in steps]
            return [float(f"{low + i * q:.12g}") for i in steps]
        kinds = "constant, categorical, int_uniform and q_uniform"
        raise UserError(f"{self.name}: a grid takes {kinds}, not {self.distribution}")


def read_parameters(tree: Mapping[str, Any], prefix: str = "") -> Iterator[Parameter]:
    """The parameters of a sweep file, nested ones by their dotted keys.

    Raises:
        UserError: one is not as W&B's schema wants it; the message names it.
    """
    for key, options in tree.items():
        name = f"{prefix}{key}"
        if not isinstance(options, dict) or not options or not all(isinstance(word, str) for word in options):
            raise UserError(
                f"{name} must be a mapping such as {{value: 1}} or {{min: 0, max: 1}}, not {options!r}"
            )
        if set(options) == {"parameters"}:
            nested = options["parameters"]
            if not isinstance(nested, dict) or not nested:
                raise UserError(f"{name}.parameters must be a mapping of parameters, not {nested!r}")
            yield from read_parameters(nested, f"{name}.")
        else:
            yield _read_parameter(name, options)


def _read_parameter(name: str, options: Mapping[str, Any]) -> Parameter:
    given = {key: value for key, value in options.items() if key != "distribution"}
    kind = options.get("distribution") or _implied(name, given)
    if not isinstance(kind, str) or kind not in DISTRIBUTIONS:
        hint = suggest(str(kind), DISTRIBUTIONS) or f": known are {', '.join(sorted(DISTRIBUTIONS))}"
        raise UserError(f"{name}: unknown distribution {kind!r}{hint}")
    wanted = DISTRIBUTIONS[kind]
    for key in wanted.needs:
        if key not in given:
            raise UserError(f"{name}: {kind} needs {' and '.join(wanted.needs)}; {key} is missing")
    for key in given:
        if key not in (*wanted.needs, *wanted.defaults):
            raise UserError(f"{name}: {kind} knows no {key!r}")
    full = {**wanted.defaults, **given}
    _check(name, kind, full, wanted)
    return Parameter(name, kind, full)


def _implied(name: str, given: Options) -> str:
    """The distribution that W&B takes where none is named."""
    kinds = {
        "value": "constant",
        "values": "categorical",
        "probabilities values": "categorical_w_probabilities",
        "max min": "uniform",
    }
    keys = " ".join(sorted(given))
    if keys not in kinds:
        raise UserError(
            f"{name}: {', '.join(given)} tell no distribution: give value, values, or min and max"
        )
    whole = keys == "max min" and all(type(bound) is int for bound in given.values())
    fractions = name in KEYS and KEYS[name].kind is float  # of which W&B knows nothing
    return "int_uniform" if whole and not fractions else kinds[keys]


def _check(name: str, kind: str, options: Options, wanted: Distribution) -> None:
    for key in ("values", "probabilities"):
        if key in options and (not isinstance(options[key], list) or not options[key]):
            raise UserError(f"{name}: {key} must be a list with something in it, not {options[key]!r}")
    for value in (options.get("value"), *options.get("values", ())):
        as_argument(name, value)
    numbers = {key: options[key] for key in options if key not in ("value", "values", "probabilities")}
    numbers |= {f"probabilities[{i}]": p for i, p in enumerate(options.get("probabilities", []))}
    for key, number in numbers.items():
        if type(number) is int and abs(number) > sys.float_info.max:
            raise UserError(f"{name}: {key} is too large a number")
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            hint = " (YAML wants 1.0e-4 for 1e-4)" if isinstance(number, str) else ""
            raise UserError(f"{name}: {key} must be a number, not {number!r}{hint}")
        if kind == "int_uniform" and not isinstance(number, int):
            raise UserError(f"{name}: {key} of int_uniform must be an integer, not {number!r}")
        if key in wanted.positive and number <= 0:
            raise UserError(f"{name}: {key} of {kind} must be above 0, not {number!r}")
        if number < 0 and (key == "sigma" or key.startswith("probabilities")):
            raise UserError(f"{name}: {key} must be at least 0, not {number!r}")
    if "min" in options and options["min"] >= options["max"]:
        raise UserError(f"{name}: min {options['min']} must be below max {options['max']}")
    try:
        if "min" in options:
            wanted.bounds(options["min"], options["max"])
    except OverflowError as error:
        hint = "bounds of log_uniform are logarithms, of log_uniform_values the values"
        raise UserError(f"{name}: {kind} draws too large a number: {hint}") from error
    if "probabilities" in options:
        if len(options["probabilities"]) != len(options["values"]):
            raise UserError(f"{name}: there must be as many probabilities as values")
        if not math.isclose(sum(options["probabilities"]), 1, rel_tol=1e-5):
            raise UserError(f"{name}: probabilities must sum to 1, not {sum(options['probabilities']):g}")


def grid(parameters: Sequence[Parameter], count: int | None) -> list[Settings]:
    """The first combinations, or all of them; the last parameter varies fastest."""
    names = [parameter.name for parameter in parameters]
    combinations = product(*(parameter.grid() for parameter in parameters))
    runs = (dict(zip(names, values, strict=True)) for values in combinations)
    return [settings for settings, _ in zip(runs, range(count), strict=False)] if count else list(runs)


def random_search(parameters: Sequence[Parameter], count: int, seed: int) -> list[Settings]:
    """Settings drawn for runs 1 to count, no two the same.

    A value depends on the seed, the run's number and the parameter alone: a larger count adds runs, and a
    parameter taken away leaves the others' values as they were.

    Raises:
        UserError: there are fewer different settings than runs.
    """
    runs: list[Settings] = []
    seen: set[str] = set()
    for number in range(1, count + 1):
        for attempt in range(ATTEMPTS):
            drawn = {p.name: p.draw(generator(seed, number, attempt, f"sweep/{p.name}")) for p in parameters}
            text = json.dumps(drawn)
            if text not in seen:
                break
        else:
            raise UserError(
                f"count={count} is more than there are different settings: {len(runs)} were found"
            )
        seen.add(text)
        runs.append(drawn)
    return runs
