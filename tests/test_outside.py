"""One file each, from outside: a task, feedback, a relabeling, a policy, a sampler and a method."""

from pathlib import Path

import yaml

from tests.command_line import SMALL, run

FILES = {
    "halving": """
from dataclasses import dataclass
from hir.records import Example
from hir.tasks.base import GeneratedTask, register

@register("halving")
class Halving(GeneratedTask):
    @dataclass(frozen=True)
    class Settings:
        largest: int = 9999

    def example(self, rng):
        half = rng.randrange(self.settings.largest)
        return Example(f"What is half of {2 * half}?", (str(half),))
""",
    "lenient": """
from dataclasses import dataclass
from hir.feedback.base import register
from hir.records import Verdict

@register("lenient")
class Lenient:
    @dataclass
    class Settings:
        longest: int = 3

    def __init__(self, settings, own):
        self.longest = settings.longest

    def about(self, rows):
        return f"at most {self.longest} characters"

    def __call__(self, rows, outputs):
        return [Verdict(len(output) <= self.longest, 0.0) for output in outputs]
""",
    "polite": """
from dataclasses import dataclass, replace
from hir.relabel.base import register
from hir.relabel.correctness import Correctness

@register("polite")
class Polite(Correctness):
    @dataclass
    class Settings:
        word: str = "Please."

    def __init__(self, instructions, config):
        super().__init__(replace(instructions, correct=f"{config.word} {instructions.correct}"))
""",
    "shouting": """
from hir.policies.base import register
from hir.policies.seq2seq import Seq2SeqPolicy

@register("shouting")
class Shouting(Seq2SeqPolicy):
    def render(self, instruction, query, prefix=""):
        print("RENDERED", end=" ")
        return super().render(instruction, query.upper(), prefix)
""",
    "same": """
from hir.sampling.base import register
from hir.sampling.generate import GenerateSampler

@register("same")
class Same(GenerateSampler):
    def sample(self, prompts, num_samples, *arguments, **options):
        assert all("WHAT IS HALF OF" in prompt for prompt in prompts)
        return [answers * num_samples for answers in super().sample(prompts, 1, *arguments, **options)]
""",
    "every": """
from dataclasses import dataclass
from hir.methods.base import Method, register, supervised_loss
from hir.records import TrainingExample

@register("every")
class Every(Method):
    @dataclass
    class Settings:
        epsilon: float = 0.25

    def __init__(self, config, relabel, policy):
        self.config, self.phi = config, relabel

    def relabel(self, rollouts, rng):
        return [TrainingExample.of(r, self.phi.instruction(r)) for r in rollouts]

    def loss(self, policy, batch):
        return supervised_loss(policy, batch, self.config.epsilon)
""",
}


def test_a_run_takes_one_of_each_from_the_users_folder(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name, text in FILES.items():
        (tmp_path / "mine" / f"{name}.py").write_text(text)
    chosen = f"""
        task=mine.halving task.settings.largest=90000 feedback.name=mine.lenient feedback.longest=4
        relabel.name=mine.polite model.policy=mine.shouting sampling=mine.same method=mine.every
        method.epsilon=0.125 trainer.max_epochs=1 model.base.max_updates=1 run_dir={tmp_path / "run"}
    """.split()
    where = {**environment, "PYTHONPATH": str(tmp_path)}
    done = run(where, *SMALL, *chosen)
    assert done.returncode == 0, done.stderr
    assert "at most 4 characters" in done.stdout and "RENDERED" in done.stdout
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["method"] == {"name": "mine.every", "epsilon": 0.125}
    assert config["feedback"] == {"name": "mine.lenient", "longest": 4}
    assert config["relabel"] == {"name": "mine.polite", "word": "Please."}
    samples = (tmp_path / "run" / "samples.jsonl").read_text()
    assert '"instruction": "Please. Solve the question with correct answer."' in samples
    refused = run(where, *SMALL, *chosen, "method.epsilom=1")
    said = "error: method.epsilom is no setting of mine.every: did you mean method.epsilon?\n"
    assert (refused.returncode, refused.stderr) == (2, said)
