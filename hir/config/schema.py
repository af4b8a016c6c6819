"""The typed configuration: what can be set, its defaults, its limits and what it means.

The text under each field is what `python train.py --help` prints. hir/config/load.py fills these classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hir.errors import UserError


class ConfigError(UserError):
    """A mistake in a configuration file or in an argument of the command line."""


def check(ok: bool, key: str, rule: str, value: object) -> None:
    """Refuse a value with one line that names the key and the rule."""
    if not ok:
        raise ConfigError(f"{key} must be {rule}, not {value!r}")


def check_range(section: str, config: object, interval: str, *names: str) -> None:
    """Refuse any of a section's values, but null, that is not in the interval, such as [0, 1)."""
    low, high = map(float, interval[1:-1].split(","))
    for name in names:
        if (value := getattr(config, name)) is not None:
            above = value >= low if interval[0] == "[" else value > low
            below = value <= high if interval[-1] == "]" else value < high
            check(above and below, f"{section}.{name}", f"in {interval}", value)


def as_integer(value: Any) -> Any:
    """A whole float, as W&B and YAML write some integers, as an integer; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass
class TaskConfig:
    """What is asked, and how its rows are split."""

    name: str = "object_counting"
    """Name of a generated task, of a BigBench task, or of any file in data_dir."""
    source: Literal["generated", "bbh", "bigbench"] | None = None
    """generated, bbh (BIG-Bench Hard) or bigbench (BIG-bench's task.json); null: generated where a generator
    exists and no data_dir is given, else bbh."""
    data_dir: str | None = None
    """Folder with NAME.json, NAME/task.json or BIG-bench's nested folders; null: download to the cache."""
    seed: int | None = None
    """Seed of the rows and the split; null: the run's seed."""
    split: Literal["random", "grouped"] = "random"
    """random, or grouped: rows that share a scenario stay on one side."""
    test_fraction: float = 0.2
    """Share of a file's rows held out for the test (paper: 0.2)."""
    validation_fraction: float = 0.1
    """Share of a file's rows carved from the training part for validation."""
    num_train: int | None = None
    """Training queries; null: 8192 of a generated task, all of a file's training part."""
    num_validation: int = 256
    """Validation rows of a generated task."""
    num_test: int = 1000
    """Test rows of a generated task."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Difficulty settings of a generated task; its file in hir/tasks/ lists them."""

    def __post_init__(self) -> None:
        check(self.name != "", "task.name", "the name of a task", self.name)
        check_range("task", self, "(0, 1)", "test_fraction", "validation_fraction")
        held_out = self.test_fraction + self.validation_fraction
        check(held_out < 1, "task.test_fraction + task.validation_fraction", "below 1", held_out)
        check_range("task", self, "[1, inf)", "num_train", "num_validation", "num_test")
        check_range("task", self, "[0, inf)", "seed")


@dataclass
class InstructionConfig:
    """The texts that state the goal."""

    correct: str = "Solve the question with correct answer."
    """p_correct: conditions sampling and evaluation, and labels right answers."""
    wrong: str = "Solve the question with wrong answer."
    """p_wrong: labels wrong answers."""
    others: list[str] = field(default_factory=list)
    """Further instructions that method.contrast=set contrasts with."""

    def __post_init__(self) -> None:
        rule = "another text than instructions.correct"
        check(self.wrong != self.correct, "instructions.wrong", rule, self.wrong)


@dataclass
class LoraConfig:
    """Low-rank adapters through peft (pip install peft)."""

    r: int = 0
    """Rank; 0 trains all weights."""
    alpha: int = 16
    """Scale of the adapters."""
    dropout: float = 0.0
    """Dropout on the adapters' input."""
    target_modules: list[str] = field(default_factory=lambda: ["q", "v"])
    """Names of the layers that get adapters; all-linear for every linear layer but the head."""

    def __post_init__(self) -> None:
        check_range("model.lora", self, "[0, inf)", "r")
        check_range("model.lora", self, "[1, inf)", "alpha")
        check_range("model.lora", self, "[0, 1)", "dropout")


@dataclass
class BaseConfig:
    """The supervised pre-training that gives the embedded tiny model its head start."""

    accuracy: float = 0.3
    """Stop once accuracy on labelled rows of its own reaches this."""
    seed: int = 0
    """Seed of weights and rows; the base is the same for every run seed."""
    d_model: int = 64
    """Width of the tiny T5; its feed-forward layers are twice as wide."""
    num_heads: int = 4
    """Attention heads; they divide d_model."""
    num_layers: int = 2
    """Layers of its encoder; its decoder has one."""
    lr: float = 3e-3
    """Learning rate of the pre-training."""
    max_updates: int = 1000
    """Give up reaching the accuracy after so many updates of 64 rows."""

    def __post_init__(self) -> None:
        check_range("model.base", self, "(0, 1]", "accuracy")
        check_range("model.base", self, "[0, inf)", "seed")
        check_range("model.base", self, "[1, inf)", "d_model", "num_heads", "num_layers", "max_updates")
        check_range("model.base", self, "(0, inf)", "lr")
        divides = self.d_model % self.num_heads == 0
        check(divides, "model.base.num_heads", "a divisor of d_model", self.num_heads)


@dataclass
class ModelConfig:
    """The policy."""

    name: str = "tiny"
    """tiny builds the embedded model; any other name is a label of model.path."""
    path: str | None = None
    """Folder made by save_pretrained or name on the Hugging Face hub, T5 family; null with model=tiny."""
    revision: str | None = None
    """Commit or tag on the hub; null: its default branch."""
    max_input_tokens: int = 512
    """Longest prompt the encoder takes, in tokens."""
    overlong: Literal["cut", "refuse"] = "cut"
    """What happens to a longer prompt: cut (in its middle) or refuse."""
    policy: str | None = None
    """seq2seq: any encoder-decoder model; t5: the same numbers, faster, for the T5 family; or a module of
    yours; null: t5 where it can be had."""
    attention: str | None = None
    """Attention implementation of transformers, such as eager or sdpa, for another policy than t5, which has
    its own; null: the policy's choice."""
    dropout: float | None = None
    """Dropout rate in training; null: the checkpoint's own."""
    shard: bool = False
    """Share out weights and optimizer over several devices: trainer.strategy=fsdp, where none is set."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    base: BaseConfig = field(default_factory=BaseConfig)

    def __post_init__(self) -> None:
        named = self.name == "tiny" or self.path is not None
        check(named, "model.path", "a folder or a hub name where model.name is not tiny", self.path)
        check_range("model", self, "[1, inf)", "max_input_tokens")
        check_range("model", self, "[0, 1)", "dropout")


@dataclass
class SamplingConfig:
    """Online sampling."""

    name: str = "t5"
    """t5: the project's own decoder, for the T5 family; generate: transformers' generate, for any model."""
    max_queries: int | None = None
    """Most queries an iteration, over all devices; null: every training query (paper)."""
    num_samples: int = 4
    """Answers drawn for a query (paper: 4)."""
    temperature: float = 1.0
    """Softmax temperature (paper: 1)."""
    retry_temperature: float | None = None
    """Where no answer to a query was right num_samples more are drawn, at this temperature: above 1 it finds
    answers that the policy is sure not to give, and would never hear are right; null: none (paper)."""
    retry_top_k: int | None = None
    """top_k of those draws; null: the same. The hotter they are, the fewer tokens they should choose from."""
    top_k: int = 50
    """Keep the k likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the likeliest tokens that together hold this probability."""
    max_new_tokens: int = 32
    """Longest answer, in tokens."""
    batch_size: int = 64
    """Queries a forward pass on one device."""

    def __post_init__(self) -> None:
        check_range(
            "sampling", self, "[1, inf)", "max_queries", "num_samples", "max_new_tokens", "batch_size"
        )
        check_range("sampling", self, "(0, inf)", "temperature", "retry_temperature")
        check_range("sampling", self, "[0, inf)", "top_k", "retry_top_k")
        check_range("sampling", self, "(0, 1]", "top_p")


@dataclass
class BufferConfig:
    """What of the relabeled rows is trained on."""

    window: int = 1
    """Iterations kept; 0 keeps all."""
    max_wrong_fraction: float | None = None
    """Largest share of wrong rows in a batch, so that failures do not swamp it; null: all as they come."""
    deduplicate: bool = True
    """Drop repeats of an output to the same query and instruction."""
    group: bool = True
    """Train on the rows of a query together: the more there are, the fewer prompts are encoded."""

    def __post_init__(self) -> None:
        check_range("buffer", self, "[0, inf)", "window")
        check_range("buffer", self, "[0, 1]", "max_wrong_fraction")


@dataclass
class TrainingConfig:
    """Offline training of an iteration."""

    batch_size: int = 64
    """Rows an optimizer step, over all devices and accumulated batches (paper: 64)."""
    rows_per_device: int | None = None
    """Most rows of a forward pass on one device, as its memory allows; gradients are accumulated until
    batch_size is reached. null: all at once."""
    passes: float = 10
    """Passes over an iteration's samples (paper: 10); used where num_updates is null."""
    num_updates: int | None = None
    """Optimizer steps an iteration; null: passes x samples / batch_size."""
    lr: float = 5e-4
    """Learning rate of AdamW (paper: 5e-4)."""
    final_lr: float | None = None
    """Learning rate reached linearly at the last step; null: constant."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    compile: bool = False
    """torch.compile the forward pass: about a minute at the start, worth it in long runs on a GPU."""

    def __post_init__(self) -> None:
        check_range("training", self, "[1, inf)", "batch_size", "rows_per_device", "num_updates")
        check_range("training", self, "(0, inf)", "passes", "lr")
        check_range("training", self, "[0, inf)", "final_lr", "weight_decay")


@dataclass
class EvaluationConfig:
    """Greedy accuracy under p_correct and p_wrong."""

    every: int = 1
    """Iterations between evaluations on the validation split; the last one is always evaluated."""
    tasks: list[str] = field(default_factory=list)
    """Further tasks to evaluate on; their answers, too, have at most sampling.max_new_tokens."""
    data_dir: str | None = None
    """Folder of their files; null: task.data_dir."""
    batch_size: int = 128
    """Rows a forward pass on one device."""
    samples_every: int = 5
    """Iterations between printed samples; 0 prints none."""
    num_logged_rollouts: int = 16
    """Rollouts of an iteration that go into samples.jsonl."""

    def __post_init__(self) -> None:
        check_range("evaluation", self, "[1, inf)", "every", "batch_size")
        check_range("evaluation", self, "[0, inf)", "samples_every", "num_logged_rollouts")


@dataclass
class WandbConfig:
    """Weights & Biases, used with logger=wandb; docs/wandb.md. Nothing here changes what is trained."""

    project: str | None = None
    """Project; null: $WANDB_PROJECT, else hir."""
    entity: str | None = None
    """User or team that owns the project; null: $WANDB_ENTITY, else the key's own."""
    name: str | None = None
    """Name of the run; null: $WANDB_NAME, else the name of its folder."""
    group: str | None = None
    """Group of runs it is shown in; null: $WANDB_RUN_GROUP, else none."""
    tags: list[str] = field(default_factory=list)
    """Labels to filter runs by; empty: $WANDB_TAGS, else none."""
    notes: str | None = None
    """A text about the run; null: $WANDB_NOTES, else none."""
    log_checkpoint: bool = False
    """At the end keep the last checkpoint and config.yaml as an artifact, fit for resume=FOLDER."""


@dataclass
class Config:
    """A whole run."""

    seed: int = 1
    """Seed of everything random in the run."""
    run_dir: str | None = None
    """Folder of the run; null: outputs/<date>-<name>-<six letters and digits>."""
    resume: str | None = None
    """Run folder or checkpoint that is continued; null: a fresh run."""
    logger: Literal["csv", "wandb"] = "csv"
    """csv: the files of the run's folder alone; wandb: Weights & Biases as well."""
    task: TaskConfig = field(default_factory=TaskConfig)
    instructions: InstructionConfig = field(default_factory=InstructionConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    feedback: dict[str, Any] = field(default_factory=lambda: {"name": None})
    """Who judges answers. feedback.name is a file of hir/feedback/, or a module of yours, or null for the
    task's own judge; all else are settings of that file."""
    relabel: dict[str, Any] = field(default_factory=lambda: {"name": "correctness"})
    """Which instruction an answer is trained under. relabel.name is a file of hir/relabel/, or a module of
    yours; all else are settings of that file."""
    method: dict[str, Any] = field(default_factory=lambda: {"name": "hir"})
    """Training rows and loss. method.name is a file of hir/methods/, or a module of yours; all else are
    settings of that file, listed below, and those of another file are left out."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    buffer: BufferConfig = field(default_factory=BufferConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    trainer: dict[str, Any] = field(default_factory=lambda: {"max_epochs": 31})
    """Arguments of Lightning's Trainer; trainer.max_epochs is the number of HIR iterations, each one epoch
    (the reference code makes 1 + 30)."""

    def __post_init__(self) -> None:
        check(self.seed >= 0, "seed", "at least 0", self.seed)
