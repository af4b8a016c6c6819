"""A file from outside with one of each: a task, feedback, a relabeling, a policy, a sampler and a method."""

from pathlib import Path

import yaml

from tests.command_line import SMALL, run

TEXT = """
from dataclasses import dataclass, replace

from hir.feedback import base as feedback
from hir.methods import base as methods
from hir.methods.farl import FARL
from hir.policies import base as policies
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.records import Example, TrainingExample, Verdict
from hir.relabel import base as relabel
from hir.relabel.base import Relabel
from hir.sampling import base as sampling
from hir.sampling.generate import GenerateSampler
from hir.tasks import base as tasks

@tasks.register("own")
class Halving(tasks.GeneratedTask):
    @dataclass(frozen=True)
    class Settings:
        largest: int = 9999

    def example(self, rng):
        half = rng.randrange(self.settings.largest)
        return Example(f"What is half of {2 * half}?", (str(half),))

@feedback.register("own")
class Lenient:
    @dataclass
    class Settings:
        longest: int = 3

    def __init__(self, settings, own):
        self.longest = settings.longest

    def __call__(self, rows, outputs):
        return [Verdict(len(output) <= self.longest, 0.0) for output in outputs]

@relabel.register("own")
class Polite(Relabel):
    @dataclass
    class Settings:
        word: str = "Please."

    def __init__(self, instructions, config):
        super().__init__(replace(instructions, correct=f"{config.word} {instructions.correct}"))

@policies.register("own")
class Shouting(Seq2SeqPolicy):
    def render(self, instruction, query):
        print("RENDERED", end=" ")
        return super().render(instruction, query.upper())

@sampling.register("own")
class Same(GenerateSampler):
    def sample(self, prompts, num_samples, *arguments, **options):
        assert all("WHAT IS HALF OF" in prompt for prompt in prompts)
        return [answers * num_samples for answers in super().sample(prompts, 1, *arguments, **options)]

@methods.register("own")
class Every(FARL):
    @dataclass
    class Settings:
        epsilon: float = 0.25

    def __init__(self, config, phi, policy):
        self.config, self.phi = config, phi

    def relabel(self, rollouts, rng):
        return [TrainingExample.of(rollout, self.phi.instruction(rollout)) for rollout in rollouts]
"""


def test_a_run_takes_one_of_each_from_the_users_folder(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(TEXT)
    chosen = f"""
        task=mine.own task.settings.largest=90000 feedback.name=mine.own feedback.longest=4
        relabel.name=mine.own model.policy=mine.own sampling=mine.own method=mine.own method.epsilon=0.125
        trainer.max_epochs=1 model.base.max_updates=1 run_dir={tmp_path / "run"}
    """.split()
    where = {**environment, "PYTHONPATH": str(tmp_path)}
    done = run(where, *SMALL, *chosen)
    assert done.returncode == 0, done.stderr
    assert "judge   mine.own" in done.stdout and "RENDERED" in done.stdout
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["method"] == {"name": "mine.own", "epsilon": 0.125}
    assert config["feedback"] == {"name": "mine.own", "longest": 4}
    assert config["relabel"] == {"name": "mine.own", "word": "Please."}
    samples = (tmp_path / "run" / "samples.jsonl").read_text()
    assert '"instruction": "Please. Solve the question with correct answer."' in samples
    refused = run(where, *SMALL, *chosen, "method.epsilom=1")
    said = "error: method.epsilom is no setting of mine.own: did you mean method.epsilon?\n"
    assert (refused.returncode, refused.stderr) == (2, said)
