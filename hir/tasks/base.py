"""What a task is, the registry of generated tasks, and ``load_task``, the one door to this folder.

A new generated task is one file in generated/: a ``Settings`` dataclass and a registered GeneratedTask.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

from hir.config.keys import suggest
from hir.config.schema import TaskConfig, as_integer, check
from hir.errors import UserError
from hir.feedback.base import Feedback
from hir.feedback.match import Match, Verifier, exact_match, multiple_choice
from hir.records import Example
from hir.registry import Registry
from hir.tasks.bigbench import read_rows
from hir.tasks.download import BBH, download
from hir.tasks.files import find_file, suggestion
from hir.tasks.splits import split_rows

S = TypeVar("S")
T = TypeVar("T", bound="type[GeneratedTask[Any]]")

MAX_MISSES = 10_000
"""Rows in a row that are no new query before a generator counts as exhausted."""
NUM_TRAIN = 8192
"""Training queries of a generated task, where task.num_train does not say."""


@dataclass(frozen=True)
class Task:
    """Rows of one task in disjoint splits, and the feedback on answers to them.

    Training may read the queries of ``train`` and ask for feedback; the targets are for feedback and for
    supervised baselines.
    """

    name: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    feedback: Feedback

    def verify(self, row: Example, output: str) -> bool:
        """Whether one output to a row is right."""
        return self.feedback([row], [output])[0].correct

    @property
    def rows(self) -> tuple[Example, ...]:
        """Those of all splits."""
        return (*self.train, *self.validation, *self.test)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Differs from that of any other rows, and of the same ones in another order or split."""
        splits = [
            [(row.query, row.targets, row.options, row.lettered) for row in split]
            for split in (self.train, self.validation, self.test)
        ]
        return hashlib.sha256(json.dumps(splits).encode()).hexdigest()[:16]


def is_pretraining(query: str) -> bool:
    """Whether a generated query belongs to the pre-training of the embedded model: a quarter of all do.

    A property of the text alone, so that rows of pre-training and rows of a task never meet,
    whatever their seeds.
    """
    return hashlib.sha256(query.encode()).digest()[0] % 4 == 0


class GeneratedTask(Generic[S]):
    """A task whose row i is a function of (seed, i); subclass it, give it Settings and ``example``."""

    name: ClassVar[str] = ""
    Settings: ClassVar[type]
    verify: ClassVar[Verifier] = staticmethod(multiple_choice)  # exact match where a row has no options

    def __init__(self, settings: S) -> None:
        self.settings = settings

    def example(self, rng: random.Random) -> Example:
        """One row drawn with ``rng``, and with nothing else."""
        raise NotImplementedError

    def row(self, seed: int, index: int) -> Example:
        """Row ``index`` of the endless file ``seed``."""
        return self.example(random.Random(f"{self.name}/{seed}/{index}"))

    def splits(self, seed: int, num_train: int, num_validation: int, num_test: int) -> Task:
        """A Task of so many different queries, none of them a pre-training query.

        Test rows come first, then validation, then training, so that more training rows change neither
        of the others. Raises UserError if the settings have too few queries.
        """
        counts = {"num_train": num_train, "num_validation": num_validation, "num_test": num_test}
        rows = self._take(
            seed, sum(counts.values()), False, " + ".join(f"{k}={n}" for k, n in counts.items())
        )
        held_out = num_test + num_validation
        return Task(
            self.name, rows[held_out:], rows[num_test:held_out], rows[:num_test], Match(type(self).verify)
        )

    def pretraining_rows(self, seed: int, n: int) -> list[Example]:
        """The first n different rows of file ``seed`` that are pre-training rows (:func:`is_pretraining`)."""
        return list(self._take(seed, n, True, f"{n} for pre-training"))

    def _take(self, seed: int, n: int, pretraining: bool, asked: str) -> tuple[Example, ...]:
        rows = tuple(islice(self._unique_rows(seed, pretraining), n))
        if len(rows) < n:
            raise UserError(
                f"task {self.name}: more queries asked than it has: {asked}, "
                f"but these task.settings give about {len(rows)}"
            )
        return rows

    def _unique_rows(self, seed: int, pretraining: bool) -> Iterator[Example]:
        seen: set[str] = set()
        index = misses = 0
        while misses < MAX_MISSES:
            row = self.row(seed, index)
            index += 1
            misses += 1
            if row.query not in seen and is_pretraining(row.query) == pretraining:
                seen.add(row.query)
                misses = 0
                yield row


GENERATORS: Registry[type[GeneratedTask[Any]]] = Registry(f"{__package__}.generated", "task.name")


def register(name: str) -> Callable[[T], T]:
    """Class decorator: make a GeneratedTask known as ``task.name=<name>``, the name of its file."""

    def add(cls: T) -> T:
        cls.name = name
        GENERATORS.register(name)(cls)
        return cls

    return add


def generated_task(name: str, settings: dict[str, Any]) -> GeneratedTask[Any]:
    """The generated task with its settings; UserError for an unknown name, an unknown key or a wrong type."""
    cls = GENERATORS[name]
    hints = get_type_hints(cls.Settings)
    types = {field.name: hints[field.name] for field in dataclasses.fields(cls.Settings)}
    values = {}
    for key, value in settings.items():
        if key not in types:
            hint = suggest(str(key), types) or f": known are {', '.join(types)}"
            raise UserError(f"task.settings.{key} is not a setting of {name}{hint}")
        values[key] = as_integer(value) if types[key] is int else value
        # bool is an int to Python, and an int is as good as a float; neither the other way round.
        fits = type(values[key]) is types[key] or (types[key] is float and type(value) is int)
        check(fits, f"task.settings.{key}", f"of type {types[key].__name__}", value)
    return cls(cls.Settings(**values))


def known_tasks() -> list[str]:
    """Names that need no data_dir: generated tasks and the BigBench tasks that can be downloaded."""
    return sorted({*GENERATORS.names(), *BBH})


def load_task(config: TaskConfig, seed: int) -> Task:
    """The task that the configuration describes; ``config.seed`` goes before ``seed``.

    A file is read by its content: with data_dir, bbh and bigbench mean the same, and either format is
    accepted. Raises UserError for whatever is wrong with the configuration, the file or the download.
    """
    seed = seed if config.seed is None else config.seed
    name, source = config.name, config.source
    if source == "generated" or (source is None and config.data_dir is None and name in GENERATORS):
        generator = generated_task(name, config.settings)
        num_train = NUM_TRAIN if config.num_train is None else config.num_train
        return generator.splits(seed, num_train, config.num_validation, config.num_test)
    if config.data_dir is not None:
        path = find_file(config.data_dir, name)
    elif name in BBH:
        path = download(source or "bbh", name)
    else:
        raise UserError(f"unknown task {name!r} without task.data_dir{suggestion(name, known_tasks())}")
    rows = read_rows(path)
    train, validation, test = split_rows(
        rows,
        seed=seed,
        test_fraction=config.test_fraction,
        validation_fraction=config.validation_fraction,
        grouped=config.split == "grouped",
        name=name,
    )
    if config.num_train is not None and config.num_train > len(train):
        raise UserError(
            f"task.num_train={config.num_train} asks for more queries than {name} has: {len(train)} of its "
            f"{len(rows)} rows are for training; lower it, or leave it null for all of them"
        )
    verify = multiple_choice if any(row.options for row in rows) else exact_match
    return Task(name, train[: config.num_train], validation, test, Match(verify))
