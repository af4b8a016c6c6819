"""TeaMs-RL's decision process as a gymnasium environment, and its agents; an action is an operation."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hir.errors import UserError
from hir.records import Example
from hir.teams_rl.operations import OPERATIONS, Language, Rules

try:
    import gymnasium
    from gymnasium import spaces
    from sb3_contrib import TRPO
    from stable_baselines3 import PPO
except ModuleNotFoundError as error:
    raise UserError("teams-rl needs sb3-contrib and gymnasium: pip install sb3-contrib gymnasium") from error

HORIZON = 6
"""Operations of an episode, as in the reference code."""

Observation = NDArray[np.float32]
Backend = Language | Rules


class TextOperations(gymnasium.Env[Observation, np.int64]):
    """An episode takes a request through six operations; ``info`` of a step says what came of it.

    ``reward`` is as in Settings of dataset.py; what is seen, (6,), marks the last operation. All that the
    backend draws hangs on ``seed``, until ``reset`` gives another.
    """

    def __init__(self, backend: Backend, reward: str, seed: int) -> None:
        self.backend, self.reward, self.seed = backend, reward, seed
        self.observation_space = spaces.Box(0.0, 1.0, (len(OPERATIONS),), np.float32)
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
        return observe(self.done), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        old, operation = self.request, OPERATIONS[action]
        self.request, changed = operate(self.backend, operation, old, self.rng)
        self.done.append(int(action))
        text = canonical(self.request)
        reward = float(changed or 0) / (1 + self.archive[text] if self.reward == "archive" else 1)
        self.archive[text] += 1
        info = {"operation": operation, "changed": changed, "text": text}
        return observe(self.done), reward, False, len(self.done) == HORIZON, info


def observe(done: list[int]) -> Observation:
    """What the agent sees after the operations of an episode so far: the last one, as in the paper."""
    seen: Observation = np.eye(len(OPERATIONS), dtype=np.float32)[done[-1:]].sum(0)
    return seen


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


Agent = Callable[[Observation, int], list[float]]
"""The probability of each operation by what is observed and by the step of the episode."""

BASELINES: dict[str, Agent] = {
    "random": lambda seen, step: [1 / len(OPERATIONS)] * len(OPERATIONS),
    "cycle": lambda seen, step: [float(i == step % len(OPERATIONS)) for i in range(len(OPERATIONS))],
}
"""Operations at random, and each in its turn: evolving by prompts, without learning."""

LEARNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "trpo": (TRPO, {"cg_max_steps": 10, "learning_rate": 0.01}),
    "ppo": (PPO, {"ent_coef": 0.01}),
}
"""Classes, and where the reference code departs from their defaults; the learning rate of values is ours."""


class Learner:
    """A categorical policy of two layers of 64 that learns from so many ``episodes`` an update.

    ``settings`` are further arguments of the class of that name in :data:`LEARNERS`.
    """

    def __init__(self, name: str, env: TextOperations, episodes: int, settings: Mapping[str, Any]) -> None:
        self.env, size = env, episodes * HORIZON
        common: dict[str, Any] = {"n_steps": size, "batch_size": size, "device": "cpu", "seed": env.seed}
        common["policy_kwargs"] = {"net_arch": [64, 64], "activation_fn": nn.ReLU}
        common |= {"gamma": 0.995, "gae_lambda": 0.97}  # as in the reference code
        kind, reference = LEARNERS[name]
        try:
            if any(isinstance(value, str) for value in settings.values()):
                raise TypeError("its values are numbers")
            self.model = kind("MlpPolicy", env, **{**common, **reference, **settings})
        except Exception as error:  # a library that says what is wrong by whatever it runs into
            raise UserError(f"learner={dict(settings)}: {error}") from error

    def learn(self, updates: int, told: Callable[[dict[str, float]], None]) -> None:
        """Train; each update's episodes are told of."""
        rewards, infos = list[float](), list[dict[str, Any]]()

        def stepped(now: dict[str, Any], _: object) -> bool:
            rewards.extend(now["rewards"].tolist())
            infos.extend(now["infos"])
            if len(infos) == self.model.n_steps:
                told(measured(rewards, infos))
                rewards.clear()
                infos.clear()
                self.env.archive.clear()
            return True

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # too small to gain from more, and so it depends on no number of cores
        self.model.learn(updates * self.model.n_steps, callback=stepped)
        torch.set_num_threads(threads)

    def __call__(self, seen: Observation, step: int) -> list[float]:
        with torch.no_grad():
            distribution = self.model.policy.get_distribution(torch.as_tensor(seen)[None])
        probabilities: list[float] = distribution.distribution.probs[0].tolist()
        return probabilities


def measured(rewards: Sequence[float], infos: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What came of the steps of an update."""
    number = len(infos)
    shares = shares_of(info["operation"] for info in infos)
    changed = [info for info in infos if info["changed"]]
    return {
        "reward": sum(rewards) / number,
        "changed": len(changed) / number,
        "distinct": len({info["text"] for info in changed}) / number,
        "entropy": entropy(shares.values()),
        **shares,
    }


def shares_of(done: Iterable[str]) -> dict[str, float]:
    """Each operation's share of those done."""
    counts = Counter(done)
    return {operation: counts[operation] / max(1, counts.total()) for operation in OPERATIONS}


def entropy(probabilities: Iterable[float]) -> float:
    """In nats; ln 6 = 1.79 where all operations are as likely."""
    return -sum(p * math.log(p) for p in probabilities if p > 0)
