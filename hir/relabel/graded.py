"""Relabeling by score: an answer is trained under the quality it has, and the best is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hir.config.schema import InstructionConfig, check, limited
from hir.records import Example, Rollout
from hir.relabel.base import register


@register("graded")
class Graded:
    """A score becomes the nearest of k evenly spaced qualities: 0 is quality 1, and 1 is quality k."""

    @dataclass
    class Settings:
        levels: int = limited(5, "[2, 100]")
        """Qualities told apart."""
        template: str = "Solve the question with quality {level} of {levels}."
        """The instruction of a quality."""

        def __post_init__(self) -> None:
            check("{level}" in self.template, "relabel.template", "a text with {level}", self.template)

    def __init__(self, instructions: InstructionConfig, config: Settings | None = None) -> None:
        config = config or self.Settings()
        self.best = config.levels
        template = config.template.replace("{levels}", str(self.best))
        self.texts = tuple(template.replace("{level}", str(level)) for level in range(self.best, 0, -1))

    def goal(self, row: Example) -> str:
        return self.texts[0]

    def opposite(self, row: Example) -> str:
        return self.texts[-1]

    def instruction(self, rollout: Rollout) -> str | None:
        return self._text(self._level(rollout))

    def contrast(self, rollout: Rollout) -> tuple[str, ...]:
        """The best, which answers are sampled under, then the nearest, of two as near the better."""
        own = self._level(rollout)
        others = {*range(1, self.best + 1)} - {own}
        order = sorted(others, key=lambda level: (level != self.best, abs(level - own), -level))
        return tuple(map(self._text, order))

    def _level(self, rollout: Rollout) -> int:
        return 1 + int(rollout.verdict.score * (self.best - 1) + 0.5)

    def _text(self, level: int) -> str:
        return self.texts[self.best - level]
