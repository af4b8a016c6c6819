"""The decision process of TeaMs-RL as a gymnasium environment: an action is an operation on a request."""

import random
from collections import Counter
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hir.records import Example
from hir.teams_rl.backends import Language
from hir.teams_rl.operations import OPERATIONS, Rules

HORIZON = 6
"""Operations of an episode, as in the reference code."""

Observation = NDArray[np.float32]
Backend = Language | Rules


class TextOperations(gymnasium.Env[Observation, np.int64]):
    """An episode takes a request through six operations; ``info`` of a step says what came of it.

    ``reward`` and ``state`` are as in Settings of dataset.py; seen is (6,), or (13,) with the episode.
    All that the backend draws hangs on ``seed``, until ``reset`` gives another.
    """

    def __init__(self, backend: Backend, reward: str, state: str, seed: int) -> None:
        self.backend, self.reward, self.state, self.seed = backend, reward, state, seed
        size = len(OPERATIONS) if state == "operation" else 2 * len(OPERATIONS) + 1
        self.observation_space = spaces.Box(0.0, 1.0, (size,), np.float32)
        self.action_space = spaces.Discrete(len(OPERATIONS))
        self.episode = -1
        self.archive: Counter[str] = Counter()
        """How often each request was come by; whoever trains an agent clears it after an update."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.seed, self.episode = seed, -1
            self.archive.clear()
        self.episode += 1
        self.rng = random.Random(f"teams-rl/{self.seed}/{self.episode}")
        self.done: list[int] = []
        self.request = self.backend.start(self.rng)
        return observe(self.done, self.state), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        old, operation = self.request, OPERATIONS[action]
        self.request, changed = operate(self.backend, operation, old, self.rng)
        self.done.append(int(action))
        text = canonical(self.request)
        reward = float(changed or 0) / (1 + self.archive[text] if self.reward == "archive" else 1)
        self.archive[text] += 1
        info = {"operation": operation, "changed": changed, "text": text}
        return observe(self.done, self.state), reward, False, len(self.done) == HORIZON, info


def observe(done: list[int], state: str) -> Observation:
    """What the agent sees after the operations of an episode so far."""
    kinds = np.eye(len(OPERATIONS), dtype=np.float32)
    last = kinds[done[-1]] if done else np.zeros(len(OPERATIONS), np.float32)
    if state == "operation":
        return last
    counts = kinds[done].sum(0) / HORIZON
    return np.concatenate([last, counts, [len(done) / HORIZON]], dtype=np.float32)


def operate(
    backend: Backend, operation: str, old: Example, rng: random.Random
) -> tuple[Example, bool | None]:
    """The request after an operation, and whether the reviewer finds it changed; None if it did not say."""
    new = backend.rewrite(operation, old, rng)
    if canonical(new) == canonical(old):  # nobody need be asked
        return old, False
    same = backend.same(old, new, rng)
    return new, None if same is None else not same


def canonical(request: Example) -> str:
    """A text that is equal for requests which differ in the order of constraints, case or blanks alone."""
    parts = (request.query, *sorted(constraint.text for constraint in request.constraints))
    return "\n".join(" ".join(part.casefold().split()) for part in parts)
