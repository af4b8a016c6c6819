"""Relabeling by score: an answer is trained under the quality it has, and the best is asked for."""

from dataclasses import dataclass

from hir.config.schema import InstructionConfig, check, limited
from hir.records import Rollout
from hir.relabel.base import Relabel, register, stated


@register("graded")
class Graded(Relabel):
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
        self.best, text = config.levels, config.template.replace("{levels}", str(config.levels))
        self.texts = tuple(text.replace("{level}", str(level)) for level in range(self.best, 0, -1))
        self.correct, self.wrong = self.texts[0], self.texts[-1]

    def instruction(self, rollout: Rollout) -> str | None:
        return self._stated(self._quality(rollout), rollout)

    def contrast(self, rollout: Rollout) -> tuple[str, ...]:
        """The best, which answers are sampled under, then the nearest, of two as near the better."""
        own = self._quality(rollout)
        others = {*range(1, self.best + 1)} - {own}
        order = sorted(others, key=lambda quality: (quality != self.best, abs(quality - own), -quality))
        return tuple(self._stated(quality, rollout) for quality in order)

    def achieved(self, rollout: Rollout) -> bool:
        return rollout.correct or self._quality(rollout) == self.best

    def _quality(self, rollout: Rollout) -> int:
        return 1 + int(rollout.verdict.score * (self.best - 1) + 0.5)

    def _stated(self, quality: int, rollout: Rollout) -> str:
        return stated(self.texts[-quality], rollout.constraints)
