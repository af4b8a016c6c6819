"""TeaMs-RL: operations, environment, agent, and the rows that come of them."""

import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from hir.__main__ import main
from hir.config.schema import InstructionConfig, TaskConfig
from hir.errors import UserError
from hir.feedback.constraints import Constraints
from hir.methods.sft_hir import SFTHIR
from hir.records import Constraint, Example, Rollout, Verdict
from hir.relabel.constraints import Constraints as Relabel
from hir.tasks.base import load_task
from hir.tasks.generated.instructions import KINDS, QUERY, is_held_out, solve
from hir.teams_rl.agent import BASELINES, HORIZON, Learner, TextOperations, canonical, entropy, shares_of
from hir.teams_rl.dataset import Settings, build, distinct_n, vendi_score
from hir.teams_rl.operations import OPERATIONS, Language, Rules
from hir.tools.teams_rl import ask_policy
from tests.command_line import SMALL, run
from tests.endpoint import Endpoint, url


def constraint(text: str, kind: str, **arguments: Any) -> Constraint:
    return Constraint(text, f"words:{kind}", (*arguments.items(),))


CAT = constraint("with cat", "include", word="cat")
FOUR = constraint("up to four letters", "longest", number=4)


def request(*constraints: Constraint) -> Example:
    return Example(QUERY, (), constraints=constraints)


def added(operation: str, old: Example, most: int = 5, seed: int = 0) -> list[Constraint]:
    new = Rules(most).rewrite(operation, old, random.Random(seed)).constraints
    assert new[: len(old.constraints)] == old.constraints
    return [*new[len(old.constraints) :]]


@pytest.mark.parametrize(
    ("operation", "kinds"),
    [
        ("add_constraints", {*KINDS}),
        ("concretizing", {"first", "last", "include", "avoid"}),
        ("increase_reasoning_steps", {"count", "sorted", "distinct", "ends"}),
        ("complicate_input", {"case", "separator", "brackets", "mark"}),
    ],
)
def test_four_operations_add_a_constraint_of_their_kinds(operation: str, kinds: set[str]) -> None:
    more = [added(operation, request(FOUR), seed=seed) for seed in range(40)]
    assert all(len(one) == 1 for one in more)
    assert {one[0].kind.removeprefix("words:") for one in more} <= kinds - {"longest"}
    assert added(operation, request(FOUR), most=1) == []


def test_deepening_says_more_and_breadth_asks_for_as_much_of_something_else() -> None:
    def deeper(*old: Constraint) -> set[str]:
        made = (Rules(5).rewrite("deepening", request(*old), random.Random(seed)) for seed in range(20))
        return {new.constraints[-1].text for new in made}

    assert deeper(CAT) == {"cat first", "cat last"}
    assert deeper(FOUR) == {"up to three letters"}
    assert deeper(constraint("without dog", "avoid", word="dog")) <= {"no o", "no g"}
    assert deeper(sort := constraint("sorted", "sorted")) == {sort.text}  # nothing deeper is known
    for seed in range(20):
        other = Rules(5).rewrite("breadth", request(CAT, FOUR), random.Random(seed))
        kinds = [constraint.kind for constraint in other.constraints]
        assert len(kinds) == 2 and not {CAT.kind, FOUR.kind} & {*kinds}


def test_what_operations_make_can_be_met_and_stands_in_no_test() -> None:
    judge, rng, rules = Constraints(), random.Random(1), Rules(6)
    for _ in range(40):
        made = rules.start(rng)
        for _ in range(HORIZON):
            made = rules.rewrite(rng.choice(OPERATIONS), made, rng)
            answer = solve(made.constraints, rng)
            assert answer and judge([made], [answer.text])[0].correct
            assert not is_held_out(made) and len({c.kind for c in made.constraints}) == len(made.constraints)
    ends = [constraint("pig first", "first", word="pig"), constraint("owl last", "last", word="owl")]
    two = constraint("two words", "count", number=2)
    assert (found := solve([*ends, two], rng)) and found.words == ("pig", "owl")
    assert solve([*ends, two, CAT], rng) is None


class Script(Rules):
    """Rewrites to the next of some texts; a reviewer that says what is scripted of a change."""

    def __init__(self, texts: list[str], says: list[bool | None]) -> None:
        self.texts, self.says, self.queries = [*texts], [*says], Counter[str]()

    def start(self, rng: random.Random) -> Example:
        return Example("a", ())

    def rewrite(self, operation: str, request: Example, rng: random.Random) -> Example:
        return Example(self.texts.pop(0), ())

    def same(self, old: Example, new: Example, rng: random.Random) -> bool | None:
        return self.says.pop(0)

    def answer(self, request: Example, rng: random.Random) -> Example | None:
        return replace(request, targets=("x",))


@pytest.mark.parametrize(
    ("reward", "expected"), [("parent", [1, 1, 1, 0, 0, 0]), ("archive", [1, 1, 1 / 2, 0, 0, 0])]
)
def test_rewards(reward: Any, expected: list[float]) -> None:
    # Changed to b, to c, back to b; then "B " is b; a change that the reviewer denies; one it is silent on.
    script = Script(["b", "c", "b", "B ", "d", "e"], [False, False, False, True, None])
    env = TextOperations(script, reward, 1)
    assert env.reset(seed=1)[0].tolist() == [0] * 6
    steps = [env.step(np.int64(action)) for action in (0, 1, 2, 3, 4, 5)]
    assert [step[1] for step in steps] == expected
    assert [step[4]["changed"] for step in steps] == [True, True, True, False, False, None]
    assert [step[3] for step in steps] == [False] * 5 + [True]
    assert steps[1][0].tolist() == [0, 1, 0, 0, 0, 0]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gymnasium_has_nothing_against_the_environment() -> None:
    check_env(TextOperations(Rules(5), "archive", 1), skip_render_check=True)


@pytest.mark.slow(seconds=60)
def test_the_papers_reward_collapses_where_the_archives_does_not() -> None:
    def use(agent: Any) -> tuple[float, float, float]:
        """Share of changed requests, different ones by query, and entropy of the operations."""
        env, rng = TextOperations(Rules(5), "parent", 99), random.Random(1)
        done, texts = list[str](), list[str]()
        for _ in range(200):
            seen, _ = env.reset()
            for step in range(HORIZON):
                action = rng.choices(range(6), agent(seen, step))[0]
                seen, _, _, _, info = env.step(np.int64(action))
                done.append(info["operation"])
                texts += [info["text"]] if info["changed"] else []
        return len(texts) / len(done), len({*texts}) / len(done), entropy(shares_of(done).values())

    def learned(reward: Any) -> Learner:
        learner = Learner("trpo", TextOperations(Rules(5), reward, 1), 32, {})
        learner.learn(40, lambda row: None)
        return learner

    archive, parent, chance = use(learned("archive")), use(learned("parent")), use(BASELINES["random"])
    assert archive[0] > 0.95 > chance[0] + 0.1
    assert archive[1] > chance[1] > parent[1]
    assert archive[2] > parent[2]


@pytest.mark.parametrize(
    ("reply", "equal"),
    [("Equal", True), ("**Equal.**", True), ("Not Equal.", False), ("not equal, because ...", False),
     ("They are NOT-EQUAL", False), ("They differ", None), ("unequal", None), ("", None)],
)  # fmt: skip
def test_what_a_reviewer_says(reply: str, equal: bool | None) -> None:
    backend, old = Language(lambda prompt, seed: reply, ["a"]), Example("a", ())
    assert backend.same(old, Example("b", ()), random.Random(1)) is equal


def test_a_language_model_in_all_parts() -> None:
    checked = ["An answer", "Yes!", "An answer", "No, it does not."]
    replies = iter([" New. ", "", "Hm?", "Not equal.", "Hm?", "Hm!", *checked])
    asked: list[str] = []

    def ask(prompt: str, seed: int) -> str:
        asked.append(prompt)
        return next(replies)

    backend, rng = Language(ask, ["Old."]), random.Random(1)
    old = backend.start(rng)
    new = backend.rewrite("breadth", old, rng)
    assert (old.query, new.query, new.group) == ("Old.", "New.", "Old.")
    assert backend.rewrite("deepening", old, rng) == old  # nothing came
    assert [backend.same(old, new, rng), backend.same(old, new, rng)] == [False, None]
    assert backend.answer(new, rng) == replace(new, targets=("An answer",))
    assert backend.answer(new, rng) is None
    assert backend.queries == {"operator": 2, "reviewer": 6, "responder": 2}
    assert asked[6] == "New." and "New." in asked[7] and "An answer" in asked[7]


def test_diversity_by_hand() -> None:
    assert distinct_n(["a b a", "A b"], 1) == 2 / 5
    assert distinct_n(["a b a", "A b"], 2) == 2 / 3
    assert vendi_score(["a b"] * 4) == pytest.approx(1)
    assert vendi_score(["a", "b", "c"]) == pytest.approx(3)
    # Cosine 1/2 of "a" and "a b" with its pair would be 1/sqrt(3): eigenvalues (1 +- 1/sqrt(3)) / 2.
    high, low = (1 + 3**-0.5) / 2, (1 - 3**-0.5) / 2
    assert vendi_score(["a", "a b"]) == pytest.approx(high**-high * low**-low)


SHORT = Settings(updates=1, episodes=2, queries=60)


def test_rows_are_verified_distinct_and_say_where_they_come_from(tmp_path: Path) -> None:
    results = build(SHORT, tmp_path)
    rows = json.loads((tmp_path / "instructions.json").read_text())["examples"]
    task = load_task(TaskConfig("instructions", data_dir=str(tmp_path), num_test=20, num_validation=10), 1)
    assert len(rows) == len(task.train) == len({canonical(row) for row in task.train}) == results["rows"] > 30
    assert all(verdict.correct for verdict in task.feedback(task.train, [row.target for row in task.train]))
    # Tested on what no row of the file asks for together.
    assert all(map(is_held_out, task.test)) and not any(map(is_held_out, task.train))
    assert max(len(row.constraints) for row in task.test) == max(len(row.constraints) for row in task.train)
    origin = rows[1]["origin"]
    assert origin["operation"] in OPERATIONS and origin["parent"].startswith(QUERY)
    assert results["queries"]["operator"] == 60
    assert 0 < origin["queries"] <= rows[-1]["origin"]["queries"] <= sum(results["queries"].values())


@pytest.mark.parametrize("agent", ["random", "cycle", "none"])
def test_baselines(agent: Any, tmp_path: Path) -> None:
    results = build(replace(SHORT, agent=agent, rows=20), tmp_path)
    rows = json.loads((tmp_path / "instructions.json").read_text())["examples"]
    assert results["rows"] == len(rows) == 20
    operations = [row["origin"]["operation"] for row in rows]
    if agent == "none":
        assert operations == [None] * 20 and all(len(row["constraints"]) == 1 for row in rows)
    elif agent == "cycle":
        assert results["operations"] == pytest.approx(dict.fromkeys(OPERATIONS, 1 / 6))


def test_broken_off_the_same_command_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    build(SHORT, whole)
    answers = iter([Rules.answer] * 24)
    with pytest.raises(RuntimeError, match="StopIteration"), monkeypatch.context() as patch:
        patch.setattr(Rules, "answer", lambda *asked: next(answers)(*asked))
        build(SHORT, broken)
    assert 0 < len(json.loads((broken / "instructions.json").read_text())["examples"]) < 60
    steps = broken / "steps.jsonl"
    steps.write_bytes(steps.read_bytes()[:-30])  # a kill in the middle of a line
    build(SHORT, broken)
    for name in ("steps.jsonl", "instructions.json", "results.json"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
    with pytest.raises(UserError, match="holds instructions of other settings"):
        build(replace(SHORT, seed=2), broken)
    for name in ("steps.jsonl", "settings.json"):
        (broken / name).write_text("{\n")
        with pytest.raises(UserError, match=f"^{broken} cannot be read: "):
            build(SHORT, broken)
    for learner in ({"gama": 0.9}, {"gamma": "x"}, {"batch_size": 0}):
        with pytest.raises(UserError, match="^learner={"):
            build(replace(SHORT, agent="trpo", learner=learner), tmp_path / "begun")
    assert build(SHORT, tmp_path / "begun")["rows"] > 0  # nothing was begun by then


def teach(endpoint: Endpoint, most: int, folder: Path) -> Settings:
    """Settings whose endpoint rewrites by adding a letter, and finds that right."""

    def reply(prompt: str) -> str:
        if "Not Equal" in prompt:
            return "Not equal."
        if prompt.startswith("Request:"):
            return "yes"
        return prompt.splitlines()[-1] + "x" if "Reply with the request" in prompt else "Done."

    endpoint.reply = reply
    (folder / "requests.txt").write_text("Write a poem.\n\nCount.\n")
    own = {"base_url": url(endpoint), "model": "m", "max_calls": most, "concurrency": 3, "retries": 0}
    teacher = replace(SHORT.endpoint, **own)
    requests = str(folder / "requests.txt")
    return replace(SHORT, backend="endpoint", agent="random", requests=requests, endpoint=teacher)


def test_a_budget_is_never_passed_and_what_is_paid_for_is_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="endpoint.max_calls=0 are made"):
        build(teach(endpoint, 0, tmp_path), tmp_path / "none")
    assert not endpoint.asked
    with pytest.raises(UserError, match="endpoint.max_calls=50 are made.*the same command goes on"):
        build(teach(endpoint, 50, tmp_path), out)
    assert len(endpoint.asked) == 50
    rows = json.loads((out / "instructions.json").read_text())["examples"]
    assert rows and all(row["target"] == "Done." and row["input"].endswith("x") for row in rows)
    results = build(teach(endpoint, 1000, tmp_path), out)
    prompts = [asked["messages"][0]["content"] for asked in endpoint.asked]
    # 60 operations, reviews, answers and checks; what the first call had paid for is not asked again.
    assert sum(results["queries"].values()) == 240 and len(prompts) <= 240
    assert results["not said"] == results["no right answer"] == 0


def test_an_endpoint_that_fails_leaves_the_rows_so_far(endpoint: Endpoint, tmp_path: Path) -> None:
    settings = teach(endpoint, 1000, tmp_path)
    good, down = endpoint.reply, (500, "text/plain", b"down")
    endpoint.reply = lambda prompt: good(prompt) if len(endpoint.asked) < 100 else down
    with pytest.raises(UserError, match="500.*the same command goes on"):
        build(settings, tmp_path / "out")
    endpoint.reply = good
    assert build(settings, tmp_path / "out")["rows"] > 5


def test_a_policy_of_the_project_as_the_backend(tmp_path: Path) -> None:
    (tmp_path / "requests.txt").write_text("Count.")
    requests = str(tmp_path / "requests.txt")
    settings = replace(SHORT, backend="policy", agent="random", requests=requests, queries=6)
    with pytest.raises(UserError, match="python -m hir teams-rl"):
        build(settings, tmp_path / "out")  # of a task, there is no other model

    def ask(prompt: str, seed: int) -> str:
        return "not equal" if "Not Equal" in prompt else "yes" if "yes or no" in prompt else f"Say {seed}."

    assert build(settings, tmp_path / "out", ask, ["model.path=a"])["rows"] == 6
    with pytest.raises(UserError, match="other settings"):
        build(settings, tmp_path / "out", ask, ["model.path=b"])


@pytest.mark.slow(seconds=15)
def test_the_policy_is_asked_through_its_sampler() -> None:
    ask = ask_policy(["task=object_counting", "model.base.max_updates=20"])
    replies = [ask("I have a cat. How many animals do I have?", seed) for seed in (1, 1, 2, 3, 4, 5)]
    assert replies[0] == replies[1] and len({*replies}) > 1


def test_fine_tuning_first_and_then_feedback_alone() -> None:
    class Policy:
        decode = str

        @staticmethod
        def encode_answer(text: str) -> tuple[int, ...]:
            return (len(text),)

    settings = SFTHIR.Settings(sft_iterations=1, alpha=0.0, unlikelihood=0.0)
    method = SFTHIR(settings, Relabel(InstructionConfig()), Policy())  # type: ignore[arg-type]
    three = (constraint("three words", "count", number=3),)
    said = Rollout(0, QUERY, "Do.", "cat", (9,), Verdict(False, 0.0, (False,)), "cat, dog", (-0.1,), three)
    asked = f"{InstructionConfig().correct} three words"
    first = method.relabel([said, said], random.Random(1))
    assert [(row.instruction, row.output_ids, row.correct) for row in first] == [(asked, (8,), True)]
    later = method.relabel([replace(said, iteration=1)], random.Random(1))
    assert later == []  # nothing was met, and the target is not looked at


@pytest.mark.slow(seconds=40)
def test_from_the_agent_to_the_student_on_the_command_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    made, short = tmp_path / "teams", ["queries=120", "updates=1", "episodes=2"]
    done = run(environment, f"out={made}", *short, program="-m hir teams-rl")
    assert done.returncode == 0 and "rows: python train.py task=instructions" in done.stdout
    assert (made / "teams_rl.png").stat().st_size > 10_000
    small = [setting for setting in SMALL if not setting.startswith("task.num_train")]
    small += ["trainer.max_epochs=2", "model.base.max_updates=20"]
    data = ["task=instructions", f"task.data_dir={made}", "method=sft"]
    done = run(environment, *data, *small, f"run_dir={tmp_path / 'sft'}")
    assert done.returncode == 0 and "instructions (30)" in done.stdout
    both = ["task.teams_rl={queries: 120, updates: 1, episodes: 2}", "method.sft_iterations=1", *small]
    done = run(environment, "experiment=teams_rl", *both, f"run_dir={tmp_path / 'both'}")
    assert done.returncode == 0 and re.search("episodes .* 100%", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["backend=endpoint"], "requests must be a text file with a request a line, not None"),
        (["lr=1"], "lr=1 is no key of teams-rl"),
        (["backend=endpoint", "requests=nothing.txt"], "requests=nothing.txt cannot be read"),
        (["learner={cg: 1}"], "unexpected keyword argument 'cg'"),
        (["queries=0"], "in 0 operations nothing was changed and answered"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["teams-rl", f"out={tmp_path / 'out'}", "updates=1", "episodes=1", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
