"""What is known of an export: all that its card tells and its user is warned of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hir.tasks.base import Task
from hir.training.run_folder import SavedRun
from hir.training.tiny import Base

LICENSES = {"google/flan-t5-": "apache-2.0"}
"""Licence by start of a name on the hub."""


def known_license(path: str | None) -> str | None:
    """The licence of a base on the hub, None where it is not known here."""
    return next((name for start, name in LICENSES.items() if (path or "").startswith(start)), None)


@dataclass(frozen=True)
class Facts:
    """All that the card tells."""

    name: str
    """Of the exported folder."""
    run: SavedRun
    base: Base | None
    """The tiny model's; None for any other."""
    task: Task | None
    """The run's rows; None where they cannot be had any more."""
    iterations: int
    """Finished iterations, answers sampled and updates behind the weights."""
    num_samples: int
    num_updates: int
    model_type: str
    num_parameters: int
    num_overlong: int
    """Prompts of the task that were cut."""
    adapters_only: bool
    dtype: str
    license: str | None
    entities: dict[str, str]
    """How characters travel that the tokenizer does not know."""

    @property
    def on_hub(self) -> bool:
        """Whether the base is a name on the hub."""
        path = self.run.config.model.path
        return path is not None and not Path(path).is_dir()

    @property
    def base_path(self) -> str:
        """Where the base is: a name on the hub or an absolute path."""
        path = self.run.config.model.path
        if path is None:
            assert self.base
            path = str(self.base.path)
        return path if self.on_hub else str(Path(path).resolve())

    @property
    def test_accuracy(self) -> float | None:
        """Of these very weights; None where the run has not ended with them."""
        summary = self.run.summary
        ended = summary is not None and summary["iterations"] == self.iterations
        return float(summary["test"]["accuracy"]) if summary and ended else None

    def warnings(self) -> Iterator[str]:
        """What one should know of this export; the card says it too."""
        total = self.run.config.trainer["max_epochs"]
        if self.test_accuracy is None:
            yield f"the run has not ended: these are the weights after iteration {self.iterations} of {total}"
        if self.dtype != "float32":
            yield f"the run's weights were float32: in {self.dtype} answers may differ from the run's"
        precision = str(self.run.config.trainer.get("precision") or "32-true")
        if not precision.startswith("32"):
            yield f"the run computed in {precision}: in another precision answers may differ from the run's"
        if self.adapters_only and not self.on_hub:
            yield f"the adapters need the folder {self.base_path}, which is on this machine only"
        if self.num_overlong:
            yield (
                f"{self.num_overlong} prompts of the task have over {self.run.config.model.max_input_tokens} "
                "tokens and lost their middle in the run; the chat template cuts nothing"
            )
        if self.license is None:
            yield "the card's licence is unknown: name it with license=ID"
