"""From episodes to instructions.json: an agent is trained, evolves requests, and has them answered."""

import copy
import fcntl
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from io import BytesIO
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.progress import Progress, track

from hir.config.schema import limited
from hir.config.values import read_settings
from hir.errors import UserError
from hir.feedback.constraints import read_constraints
from hir.feedback.endpoint import Endpoint, EndpointSettings, NoReply
from hir.files import atomic_write, cache_dir, reading, write_json, writing
from hir.records import Example
from hir.teams_rl import agent as agents
from hir.teams_rl.agent import HORIZON, Agent, Backend, canonical
from hir.teams_rl.operations import OPERATIONS, Ask, Language, Rules, read_requests

Steps = list[dict[str, Any]]
"""Operations in the order of episodes: what was done to a request, and what came of it."""


@dataclass
class Settings:
    """How a set of instructions is built."""

    seed: int = limited(1, "[0, inf)")
    """Seed of all that is random in it."""
    backend: Literal["rules", "policy", "endpoint"] = "rules"
    """Who rewrites, reviews and answers: the rules of the task instructions; the model of train.py's model.*
    keys; or one at an endpoint."""
    requests: str | None = None
    """Text file of the requests that a model's episodes start from, one a line."""
    agent: Literal["trpo", "ppo", "random", "cycle", "none"] = "trpo"
    """Who picks the operations: trpo (paper) or ppo, which learn; random; cycle: each in its turn; none:
    requests stay as they start."""
    reward: Literal["archive", "parent"] = "archive"
    """parent: 1 where the reviewer finds the request changed (paper); archive: that divided by 1 + how often
    the same one came before in the update."""
    updates: int = limited(40, "[1, inf)")
    """Updates of the agent (reference code: 200)."""
    episodes: int = limited(64, "[1, inf)")
    """Episodes of six operations an update (reference code: 1)."""
    learner: dict[str, Any] = field(default_factory=dict)
    """Further arguments of sb3-contrib's TRPO or stable-baselines3's PPO."""
    queries: int = limited(2400, "[0, inf)")
    """Operations of the trained agent; the rows come of them."""
    rows: int | None = limited(None, "[1, inf)")
    """Most rows of instructions.json, the first ones; null: all."""
    max_constraints: int = limited(5, "[2, 8]")
    """Most constraints of a request that the rules make."""
    endpoint: EndpointSettings = field(
        default_factory=lambda: EndpointSettings(request={"temperature": 0.7, "top_p": 0.95})
    )
    """The model that backend=endpoint asks, as in the paper."""


def build(
    settings: Settings, out: Path, ask_policy: Ask | None = None, policy: Sequence[str] = ()
) -> dict[str, Any]:
    """Build a set of instructions in a folder, or go on with it; returns the contents of its results.json.

    hir/tools/teams_rl.py says what is in it. ``ask_policy`` asks the model of backend=policy, which the
    settings ``policy`` of train.py make. UserError where the folder holds a set of other settings, or the
    backend cannot go on; what is done stays.
    """
    saved, wanted = out / "settings.json", asdict(settings)
    for name in ("queries", "rows", "out"):  # of the former there may be more next time
        wanted.pop(name, None)
    wanted["policy"] = sorted(policy)
    wanted["endpoint"] = {name: wanted["endpoint"][name] for name in ("base_url", "model", "request")}
    begun = saved.exists() and any((out / name).exists() for name in ("agent.pt", "steps.jsonl"))
    with reading(out):
        had = json.loads(saved.read_text(encoding="utf-8")) if begun else wanted
    if had != wanted:
        raise UserError(f"{out} holds instructions of other settings: choose another folder, or delete it")
    backend = _backend(settings, out, ask_policy)
    write_json(saved, wanted)
    with reading(out):
        steps = _read_steps(out / "steps.jsonl")
    try:
        agent, training = _agent(settings, backend, out / "agent.pt")
        _evolve(settings, backend, agent, steps, out / "steps.jsonl")
    except (UserError, NoReply) as error:
        raise UserError(f"{error}; {out} keeps what is done, and the same command goes on") from error
    finally:
        steps.sort(key=itemgetter("episode", "step"))
        if rows := _rows(settings, steps):
            content = {"name": "instructions", "description": "Made by TeaMs-RL.", "examples": rows}
            write_json(out / "instructions.json", content)
    if not rows:
        raise UserError(f"in {settings.queries} operations nothing was changed and answered: raise queries")
    results = {**_results(rows, steps), "training": training}
    write_json(out / "results.json", results)
    return results


def _backend(settings: Settings, out: Path, ask_policy: Ask | None) -> Backend:
    """Who is asked."""
    if settings.backend == "rules":
        return Rules(settings.max_constraints)
    requests = read_requests(settings.requests)
    if settings.backend == "endpoint":
        endpoint = Endpoint(settings.endpoint, "endpoint", out / "replies")
        return Language(endpoint.ask, requests, settings.endpoint.concurrency)
    if not ask_policy:
        raise UserError("backend=policy: make the rows by python -m hir teams-rl, and give task.data_dir")
    return Language(ask_policy, requests)


def _agent(settings: Settings, backend: Backend, path: Path) -> tuple[Agent | None, dict[str, Any]]:
    """The agent, from its file or trained now, and how its training went."""
    if settings.agent in (*agents.BASELINES, "none"):
        return agents.BASELINES.get(settings.agent), {"queries": {}, "history": []}
    env = agents.TextOperations(backend, settings.reward, settings.seed)
    learner = agents.Learner(settings.agent, env, settings.episodes, settings.learner)
    if path.exists():
        with reading(path):
            made = torch.load(path, weights_only=True)
            learner.model.policy.load_state_dict(made.pop("weights"))
        return learner, made
    history: list[dict[str, float]] = []
    with Progress() as bars:
        bar = bars.add_task("agent", total=settings.updates)

        def updated(row: dict[str, float]) -> None:
            history.append(row)
            numbers = [f"{name} {row[name]:.2f}" for name in ("reward", "changed", "distinct", "entropy")]
            bars.update(bar, advance=1, description="  ".join(["agent", *numbers]))

        learner.learn(settings.updates, updated)
    training = {"queries": dict(backend.queries), "history": history}
    torch.save({"weights": learner.model.policy.state_dict(), **training}, file := BytesIO())
    atomic_write(path, file.getvalue())
    return learner, training


def _read_steps(path: Path) -> Steps:
    """The steps of a file, a line each; a last one that a kill has cut short is dropped there, too."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    if whole != lines:
        atomic_write(path, b"".join(whole))
    return list(map(json.loads, whole))


def _evolve(settings: Settings, backend: Backend, agent: Agent | None, steps: Steps, path: Path) -> None:
    """Play what the steps lack of the episodes, several at a time; the file has each step once it is done."""
    begun: dict[int, Steps] = defaultdict(list)
    for step in steps:
        begun[step["episode"]].append(step)

    def play(episode: int) -> None:
        mine = copy.copy(backend)  # which counts its own queries
        done = begun[episode]
        key = f"teams-rl/dataset/{settings.seed}/{episode}"
        request = read_request(done[-1]) if done else mine.start(random.Random(key))
        operations = [OPERATIONS.index(step["operation"]) for step in done if step["operation"]]
        for step in range(len(done), HORIZON):
            rng, old = random.Random(f"{key}/{step}"), request
            mine.queries, operation = Counter(), None
            changed: bool | None = True
            if agent is None:
                request = mine.start(rng)
            else:
                operations += rng.choices(range(len(OPERATIONS)), agent(agents.observe(operations), step))
                operation = OPERATIONS[operations[-1]]
                request, changed = agents.operate(mine, operation, old, rng)
            answered = mine.answer(request, rng) if changed else None
            row: dict[str, Any] = {"episode": episode, "step": step, "operation": operation}
            row |= {"changed": changed, "parent": old.asked if operation else None, **as_json(request)}
            row |= {"target": answered and answered.target, "queries": dict(mine.queries)}
            with writing(path), path.open("ab", buffering=0) as file:  # to which any thread appends
                file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            steps.append(row)

    pool, number = ThreadPoolExecutor(backend.threads), settings.queries // HORIZON
    try:
        for _ in track(pool.map(play, range(number)), "episodes", number):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _rows(settings: Settings, steps: Steps) -> Steps:
    """A row for each different request that was changed and answered, with where it comes from."""
    rows: dict[str, dict[str, Any]] = {}
    spent: Counter[str] = Counter()
    for step in steps:
        spent.update(step["queries"])
        if step["target"]:
            # Where nothing is evolved only the answers to the same few requests differ.
            key = canonical(read_request(step)) + ("" if step["operation"] else step["target"])
            origin = {name: step[name] for name in ("episode", "step", "operation", "parent")}
            row = {name: step[name] for name in ("input", "constraints", "target", "group")}
            rows.setdefault(key, {**row, "origin": {**origin, "queries": spent.total()}})
    return [*rows.values()][: settings.rows]


def _results(rows: Steps, steps: Steps) -> dict[str, Any]:
    """The numbers of a set of instructions."""
    queries: Counter[str] = sum((Counter(step["queries"]) for step in steps), Counter())
    shares = agents.shares_of(step["operation"] for step in steps if step["operation"])
    texts = [read_request(row).asked for row in rows]
    distinct = {canonical(read_request(step)) for step in steps if step["target"]}
    return {
        "rows": len(rows),
        "queries": dict(queries),
        "changed": sum(step["changed"] is True for step in steps) / len(steps),
        "not said": sum(step["changed"] is None for step in steps),
        "no right answer": sum(step["changed"] is True and not step["target"] for step in steps),
        "distinct valid by query": len(distinct) / len(steps),
        "entropy": agents.entropy(shares.values()),
        "operations": shares,
        "distinct 1": distinct_n(texts, 1),
        "distinct 2": distinct_n(texts, 2),
        "vendi": vendi_score(texts),
    }


def n_grams(text: str, n: int) -> Counter[tuple[str, ...]]:
    """The runs of n words of a text, without case, and how often each stands in it."""
    words = text.casefold().split()
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different n-grams by n-grams (Li et al. 2016, arXiv 1510.03055)."""
    counts = sum((n_grams(text, n) for text in texts), Counter[tuple[str, ...]]())
    return len(counts) / max(1, counts.total())


def vendi_score(texts: Sequence[str]) -> float:
    """How many wholly different texts are as diverse as these (Friedman and Dieng 2023, arXiv 2210.02410).

    exp of the entropy of the eigenvalues of K / n, where K is the cosine of the counts of words and pairs of
    words; of the first 1,000 texts.
    """
    grams = [n_grams(text, 1) + n_grams(text, 2) for text in texts[:1000]]
    columns = {gram: place for place, gram in enumerate(dict.fromkeys(chain(*grams)))}
    counts = np.zeros((len(grams), len(columns)))
    for row, of_text in zip(counts, grams, strict=True):
        row[[columns[gram] for gram in of_text]] = [*of_text.values()]
    counts /= np.linalg.norm(counts, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(counts @ counts.T / len(counts))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def as_json(request: Example) -> dict[str, Any]:
    """A request in the format of the project's files."""
    constraints = [{**asdict(c), "arguments": dict(c.arguments)} for c in request.constraints]
    return {"input": request.query, "constraints": constraints, "group": request.group}


def read_request(row: dict[str, Any]) -> Example:
    """The request of :func:`as_json`."""
    return Example(row["input"], (), constraints=read_constraints(row["constraints"]), group=row["group"])


def made_for_task(values: dict[str, Any]) -> Path:
    """The folder of the rows that task.teams_rl.* make, in the cache; made now where it is not there."""
    settings = read_settings(Settings, "task.teams_rl", {"name": "task.source=teams_rl", **values})
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode()).hexdigest()[:16]
    out = cache_dir() / "teams_rl" / digest
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("a")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of a run make it once
        if not (out / "results.json").exists():
            build(settings, out)
    return out
