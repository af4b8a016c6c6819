"""What a task is, the registry of generated tasks, and ``load_task``, the one door to this folder.

A new generated task is one file in generated/: a ``Settings`` dataclass and a registered GeneratedTask.
"""

import functools
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

from hir.config.keys import suggest
from hir.config.schema import TaskConfig, check
from hir.config.values import read_settings
from hir.errors import UserError
from hir.feedback.answers import multiple_choice, option_letter
from hir.feedback.base import Feedback, Match, Verifier
from hir.feedback.constraints import Constraints
from hir.records import Example, Verdict
from hir.registry import Registry
from hir.tasks import bigbench, ifeval
from hir.tasks.files import SOURCES, download, find_file
from hir.tasks.splits import split_rows

S = TypeVar("S")

OPTIONS = "\nOptions:\n"
MAX_MISSES = 10_000
"""Rows in a row that are no new query before a generator counts as exhausted."""


@dataclass(frozen=True)
class Task:
    """Rows of one task in disjoint splits, and the feedback on answers to them.

    Training reads the queries of ``train`` and asks for feedback; supervised baselines read targets, too.
    """

    name: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    feedback: Feedback
    notes: tuple[str, ...] = ()
    """Lines on rows of its file that were left out."""

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
            [(row.asked, row.targets, row.options, row.lettered) for row in split]
            for split in (self.train, self.validation, self.test)
        ]
        return hashlib.sha256(json.dumps(splits).encode()).hexdigest()[:16]


def is_pretraining(query: str) -> bool:
    """Whether a generated query belongs to the pre-training of the embedded model: a quarter of all do.

    A property of the text before its options: whatever the seeds, pre-training and a task share no row.
    """
    return hashlib.sha256(query.partition(OPTIONS)[0].encode()).digest()[0] % 4 == 0


def choice_row(stem: str, options: Sequence[str], right: int) -> Example:
    """A row with its options listed as BIG-Bench Hard does; ``right`` is the place of the right one."""
    lines = (f"({option_letter(i)}) {option}" for i, option in enumerate(options))
    return Example(stem + OPTIONS + "\n".join(lines), (f"({option_letter(right)})",), tuple(options))


class GeneratedTask(Generic[S]):
    """A task whose row i is a function of (seed, i); subclass it, give it Settings and ``example``."""

    Settings: ClassVar[type]
    verify: ClassVar[Verifier] = staticmethod(multiple_choice)  # exact match where a row has no options

    def __init__(self, name: str, settings: S) -> None:
        self.name = name
        self.settings = settings

    def example(self, rng: random.Random) -> Example:
        """One row drawn with ``rng``, and with nothing else."""
        raise NotImplementedError

    @classmethod
    def settings_of(cls, rows: Sequence[Example]) -> dict[str, Any]:
        """Settings that make a test for a file's rows, which are all trained on; none: they are split."""
        return {}

    def row(self, seed: int, index: int) -> Example:
        """Row ``index`` of the endless file ``seed``."""
        return self.example(random.Random(f"{self.name}/{seed}/{index}"))

    def feedback(self) -> Feedback:
        """Who judges answers."""
        return Match(type(self).verify)

    def splits(self, seed: int, num_train: int, num_validation: int, num_test: int) -> Task:
        """A Task of so many different queries, none of them a pre-training query.

        Test rows come first, then validation, then training: more of the last change none of the others.
        """
        held_out = num_test + num_validation
        rows = self.unique_rows(seed, held_out + num_train, lambda row: not is_pretraining(row.query))
        return Task(self.name, rows[held_out:], rows[num_test:held_out], rows[:num_test], self.feedback())

    def pretraining_rows(self, seed: int, n: int) -> tuple[Example, ...]:
        """The first n different rows of file ``seed`` that are pre-training rows (:func:`is_pretraining`)."""
        return self.unique_rows(seed, n, lambda row: is_pretraining(row.query))

    def unique_rows(self, seed: int, n: int, wanted: Callable[[Example], bool]) -> tuple[Example, ...]:
        """The first n wanted rows of file ``seed``, none a repeat of another, with other options say."""
        rows: dict[str, Example] = {}
        index = misses = 0
        while len(rows) < n:
            row = self.row(seed, index)
            index, misses = index + 1, misses + 1
            if (asked := row.asked.partition(OPTIONS)[0]) not in rows and wanted(row):
                rows[asked], misses = row, 0
            elif misses == MAX_MISSES:
                few = f"of {n} different rows of a split or a base its task.settings give about {len(rows)}"
                raise UserError(f"task {self.name}: {few}: widen them, or ask for fewer rows")
        return tuple(rows.values())


GENERATORS: Registry[type[GeneratedTask[Any]]] = Registry(f"{__package__}.generated", "task.name")
register = GENERATORS.register


def generated_task(name: str, settings: Mapping[str, Any]) -> GeneratedTask[Any]:
    """The generated task with its settings; UserError for an unknown name, an unknown key or a wrong type."""
    kind, short = GENERATORS[name], name.rpartition(".")[2]
    return kind(short, read_settings(kind.Settings, "task.settings", {**settings, "name": short}))


def known_tasks() -> list[str]:
    """Names that need no data_dir: generated tasks and the BigBench tasks that can be downloaded."""
    return sorted({*GENERATORS.modules(), *SOURCES["bbh"]})


def load_task(config: TaskConfig, seed: int, num_generated: int = 8192) -> Task:
    """The task that the configuration describes; ``config.seed`` goes before ``seed``.

    A generated one has ``num_generated`` training rows where ``config.num_train`` names no number. A file is
    read by its content: with data_dir, bbh and bigbench mean the same, and either format is accepted. Raises
    UserError for whatever is wrong with the configuration, the file or the download.
    """
    seed = seed if config.seed is None else config.seed
    name, source = config.name, config.source
    if config.mix:
        return _mixture(config, seed)
    if source == "generated" or (source is None and config.data_dir is None and name in GENERATORS):
        generator, num_train = generated_task(name, config.settings), config.num_train or num_generated
        return generator.splits(seed, num_train, config.num_validation, config.num_test)
    if source == "teams_rl":
        check(name == "instructions", "task", "instructions with task.source=teams_rl", name)
        dataset = import_module("hir.teams_rl.dataset")  # which needs libraries of its own
        path = dataset.made_for_task(config.teams_rl) / "instructions.json"
    elif config.data_dir is not None:
        path = find_file(config.data_dir, name)
    elif name in SOURCES["bbh"]:
        path = download(source or "bbh", name)
    else:
        raise UserError(f"unknown task {name!r} without task.data_dir{suggest(name, known_tasks())}")
    fitting = name in GENERATORS or not config.settings
    check(fitting, "task.settings", f"empty: {name} is a file", config.settings)
    own = GENERATORS[name] if name in GENERATORS else GeneratedTask  # it may bring checkers of constraints
    left_out: dict[int, str] = {}
    if path.suffix == ".jsonl":
        rows = ifeval.read_rows(path)
    else:
        rows, left_out = bigbench.read_rows(path, bigbench.MOST_UNUSABLE * (config.bad_rows == "skip"))
    number = f"{len(left_out)} of {len(left_out) + len(rows)} rows of {name} cannot be used and are left out"
    notes = tuple(f"{number}: the first is example {i}, {left_out[i]}" for i in [*left_out][:1])
    if settings := own.settings_of(rows):
        tested = generated_task(name, {**settings, **config.settings})
        held_out = tested.splits(seed, 1, config.num_validation, config.num_test)
        return replace(held_out, train=rows[: config.num_train], notes=notes)
    train, validation, test = split_rows(rows, config, seed)
    rule = f"at most {len(train)}, the training rows of {name}, or null for all of them"
    check((config.num_train or 0) <= len(train), "task.num_train", rule, config.num_train)
    judge = Constraints() if any(row.constraints for row in rows) else Match()
    return Task(name, train[: config.num_train], validation, test, judge, notes)


def _mixture(config: TaskConfig, seed: int) -> Task:
    """The tasks of ``config.mix`` as one."""
    known = all(name in config.mix and isinstance(of_one, dict) for name, of_one in config.settings.items())
    check(known, "task.settings", "the settings of one of task.mix each, by its name", config.settings)
    given = {key: getattr(config, key) for key in ("num_train", "num_validation", "num_test")}
    numbers = {key: number and max(1, number // len(config.mix)) for key, number in given.items()}
    parts = []
    for name in config.mix:
        one = replace(config, mix=[], name=name, settings=config.settings.get(name, {}), **numbers)
        parts.append(load_task(one, seed, max(1, 8192 // len(config.mix))))

    def joined(split: str) -> tuple[Example, ...]:
        return tuple(replace(row, task=part.name) for part in parts for row in getattr(part, split))

    judges = {part.name: part.feedback for part in parts}

    def judged(rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        return [judges[row.task]([row], [output])[0] for row, output in zip(rows, outputs, strict=True)]

    notes = tuple(note for part in parts for note in part.notes)
    return Task(config.name, joined("train"), joined("validation"), joined("test"), judged, notes)
