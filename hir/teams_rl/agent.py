"""The agent of TeaMs-RL: a small policy over operations, and two without training."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hir.errors import UserError
from hir.teams_rl.environment import HORIZON, Observation, TextOperations
from hir.teams_rl.operations import OPERATIONS

try:
    from sb3_contrib import TRPO
    from stable_baselines3 import PPO
except ModuleNotFoundError as error:
    raise UserError("teams-rl needs sb3-contrib and gymnasium: pip install sb3-contrib gymnasium") from error

Agent = Callable[[Observation, int], list[float]]
"""The probability of each operation by what is observed and by the step of the episode."""

BASELINES: dict[str, Agent] = {
    "random": lambda seen, step: [1 / len(OPERATIONS)] * len(OPERATIONS),
    "cycle": lambda seen, step: [float(i == step % len(OPERATIONS)) for i in range(len(OPERATIONS))],
}
"""Operations at random, and each in its turn: evolving by prompts, without learning."""

REFERENCE = {"gamma": 0.995, "gae_lambda": 0.97}
LEARNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "trpo": (TRPO, {**REFERENCE, "cg_max_steps": 10, "learning_rate": 0.01}),
    "ppo": (PPO, {**REFERENCE, "ent_coef": 0.01}),
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
        kind, reference = LEARNERS[name]
        try:
            self.model = kind("MlpPolicy", env, **{**common, **reference, **settings})
        except (TypeError, ValueError, AssertionError) as error:
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
