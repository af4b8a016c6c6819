"""The records that travel between the rooms of hir: plain, frozen, nothing but text and numbers."""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Constraint:
    """A part of an instruction that an answer meets or does not."""

    text: str
    """As it stands in the instruction."""
    kind: str
    """Name of its checker (hir/feedback/constraints.py)."""
    arguments: tuple[tuple[str, Any], ...] = ()
    """Names and values that the checker is given."""


@dataclass(frozen=True)
class Example:
    """One row of a task: a query and what counts as a right answer to it."""

    query: str
    """Question text as the model reads it, options included; without the instruction."""
    targets: tuple[str, ...]
    """Accepted answers, at least one; none where constraints alone say what is right. Only feedback and
    supervised baselines may read them."""
    options: tuple[str, ...] = ()
    """Texts of the options (A), (B), ... in order; empty for a free answer."""
    lettered: bool = True
    """Whether the query labels the options with letters; if not, they are named by their texts alone."""
    constraints: tuple[Constraint, ...] = ()
    """What an instruction of the row's own asks for; empty where all rows share the goal."""
    group: str = ""
    """Scenario shared with other rows; rows of one group stay on one side of a grouped split."""
    task: str = ""
    """Name of its task where a run has several."""

    @property
    def asked(self) -> str:
        """The query with the row's own constraints: what no two splits share."""
        return "\n".join((self.query, *(constraint.text for constraint in self.constraints)))

    @property
    def target(self) -> str:
        """An accepted answer, for the log; empty where there is none."""
        return self.targets[0] if self.targets else ""


@dataclass(frozen=True)
class Verdict:
    """Feedback on one answer: all that a method which learns from feedback may know of the right one."""

    correct: bool
    """Whether the whole instruction is met."""
    score: float
    """How good the answer is, 0 to 1."""
    met: tuple[bool, ...] = ()
    """Which parts of the instruction are met, in their order; empty where it has none."""
    judged: bool = True
    """False where the judge failed: the answer is neither right nor wrong, and is left out."""
    note: str = ""
    """Anything for the log."""


@dataclass(frozen=True)
class Rollout:
    """One answer of the policy to one query, judged."""

    iteration: int
    query: str
    instruction: str
    """The instruction the answer was sampled under."""
    output: str
    """The answer as text."""
    output_ids: tuple[int, ...]
    """The answer as the sampled tokens, at least one, end token included if it came."""
    verdict: Verdict
    target: str
    """An accepted answer, for the log and for supervised baselines alone."""
    log_probs: tuple[float, ...] = ()
    """Log-probability of each token under the policy that sampled it, at temperature 1 and without cuts."""
    constraints: tuple[Constraint, ...] = ()
    """Those of its row, as many as the verdict has parts."""

    @property
    def correct(self) -> bool:
        """Whether it is right."""
        return self.verdict.correct

    @property
    def missed(self) -> tuple[str, ...]:
        """The constraints that it does not meet, as the instruction has them."""
        parts = zip(self.constraints, self.verdict.met, strict=False)  # a judge may tell no parts
        return tuple(constraint.text for constraint, met in parts if not met)


@dataclass(frozen=True)
class TrainingExample:
    """One supervised pair (p*, q) -> o made from a rollout, or from a target by supervised baselines."""

    iteration: int
    query: str
    instruction: str
    """The relabeled instruction p*, which the output fits."""
    output_ids: tuple[int, ...]
    """The tokens that are trained."""
    correct: bool
    """Class of the row for balancing: whether the output was judged right, or does what p* asks for."""
    contrast: tuple[str, ...] = ()
    """Instructions under which the output must be less likely; as many in every row of a method."""
    weight: float = 1.0
    """Factor of the row's supervised loss."""
    prefix_ids: tuple[int, ...] = ()
    """Sub-output relabeling: tokens before ``output_ids`` that the decoder is given and not trained on."""
    log_probs: tuple[float, ...] = ()
    """Log-probability of each trained token under the policy that sampled it."""
    reference_log_probs: tuple[float, ...] = ()
    """The same under the policy that training started from."""
    advantages: tuple[float, ...] = ()
    """How much better than expected each trained token turned out."""
    returns: tuple[float, ...] = ()
    """What a value function should have said before each trained token."""

    @classmethod
    def of(cls, rollout: Rollout, instruction: str, **other: Any) -> "TrainingExample":
        """The row that trains a rollout's answer under an instruction, but for the ``other`` fields."""
        row = cls(rollout.iteration, rollout.query, instruction, rollout.output_ids, rollout.correct)
        return replace(row, **other)


TOKEN_VALUES = ("log_probs", "reference_log_probs", "advantages", "returns")
"""Fields of a row with a number for each trained token, or none; batches have them by the same names."""
