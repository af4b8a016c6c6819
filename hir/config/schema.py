"""The typed configuration: what can be set, its defaults, its limits and what it means.

`python train.py --help` prints the text under each field. hir/config/load.py fills these classes.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from hir.errors import UserError


class ConfigError(UserError):
    """A mistake in a configuration file or in an argument of the command line."""


def check(ok: bool, key: str, rule: str, value: object) -> None:
    """Refuse a value with one line that names the key and the rule."""
    if not ok:
        raise ConfigError(f"{key} must be {rule}, not {value!r}")


def limited(default: Any, interval: str) -> Any:
    """A number of a dataclass that must be in the interval, such as [0, 1), or null."""
    return field(default=default, metadata={"interval": interval})


@dataclass
class TaskConfig:
    """What is asked, and how its rows are split."""

    name: str = "object_counting"
    """Name of a generated task, of a BigBench task, or of any file in data_dir."""
    mix: list[str] = field(default_factory=list)
    """Several tasks in one run, which share its numbers of rows evenly; name is then their label."""
    source: Literal["generated", "bbh", "bigbench", "teams_rl"] | None = None
    """generated, bbh (BIG-Bench Hard), bigbench (BIG-bench's task.json) or teams_rl (instructions that
    TeaMs-RL makes); null: generated where a generator exists and no data_dir is given, else bbh."""
    data_dir: str | None = None
    """Folder with NAME.json, NAME/task.json or BIG-bench's nested folders; null: download to the cache."""
    seed: int | None = limited(None, "[0, inf)")
    """Seed of the rows and the split; null: the run's seed."""
    split: Literal["random", "grouped"] = "random"
    """random, or grouped: rows that share a scenario stay on one side."""
    test_fraction: float = limited(0.2, "(0, 1)")
    """Share of a file's rows held out for the test (paper: 0.2)."""
    validation_fraction: float = limited(0.1, "(0, 1)")
    """Share of a file's rows carved from the training part for validation."""
    answers: Literal["given", "text"] = "given"
    """given: as the rows have them; text: the text of the right option in place of its letter, for supervised
    training and the tiny model's base. Letter and text are judged alike."""
    bad_rows: Literal["skip", "refuse"] = "skip"
    """skip: leave out a file's rows that cannot be used, and refuse one with over 5 %; refuse: over none."""
    num_train: int | None = limited(None, "[1, inf)")
    """Training queries; null: 8192 of a generated task, all of a file's training part."""
    num_validation: int = limited(256, "[1, inf)")
    """Validation rows of a generated task."""
    num_test: int = limited(1000, "[1, inf)")
    """Test rows of a generated task."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Difficulty settings of a generated task; its file in hir/tasks/ lists them. Of a mix, by its names."""
    teams_rl: dict[str, Any] = field(default_factory=dict)
    """What source=teams_rl does otherwise than `python -m hir teams-rl --help` says."""


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

    r: int = limited(0, "[0, inf)")
    """Rank; 0 trains all weights."""
    alpha: int = limited(16, "[1, inf)")
    """Scale of the adapters."""
    dropout: float = limited(0.0, "[0, 1)")
    """Dropout on the adapters' input."""
    target_modules: list[str] = field(default_factory=list)
    """Names of the layers that get adapters; all-linear for every linear layer but the head; none: peft's
    choice for the family, a T5's q and v, a Llama's q_proj and v_proj."""


@dataclass
class BaseConfig:
    """The supervised pre-training that gives the embedded tiny model its head start."""

    kind: Literal["t5", "llama"] = "t5"
    """What is made: a T5, or a decoder-only Llama."""
    accuracy: float = limited(0.3, "(0, 1]")
    """Stop once accuracy on labelled rows of its own reaches this."""
    seed: int = limited(0, "[0, inf)")
    """Seed of weights and rows; the base is the same for every run seed."""
    d_model: int = limited(64, "[4, inf)")
    """Width of the tiny model, shared by 4 attention heads; feed-forward layers are 2 or 3 times as wide."""
    num_layers: int = limited(2, "[1, inf)")
    """Layers of a T5's encoder, whose decoder has one; of a Llama."""
    num_rows: int = limited(8192, "[2048, inf)")
    """Labelled rows, of which 1024 are held out."""
    batch_size: int = limited(64, "[1, 512]")
    """Rows an update."""
    lr: float = limited(3e-3, "(0, inf)")
    """Learning rate of AdamW."""
    max_updates: int = limited(1000, "[1, inf)")
    """Give up reaching the accuracy after so many updates."""

    def __post_init__(self) -> None:
        rule = "a multiple of 8 for a Llama, whose 4 heads turn pairs of numbers"
        check(self.kind != "llama" or self.d_model % 8 == 0, "model.base.d_model", rule, self.d_model)


@dataclass
class ModelConfig:
    """The policy."""

    name: str = "tiny"
    """tiny and tiny_causal build an embedded model; any other name is a label of model.path."""
    path: str | None = None
    """Folder made by save_pretrained or name on the Hugging Face hub; null with model=tiny, tiny_causal."""
    revision: str | None = None
    """Commit or tag on the hub; null: its default branch."""
    max_input_tokens: int = limited(512, "[1, inf)")
    """Longest prompt, in tokens; a longer one is cut in its middle."""
    chat_template: bool | None = None
    """Render a decoder-only model's prompts by its chat template; null: where it has one."""
    policy: str | None = None
    """seq2seq: any encoder-decoder model; t5: the same numbers, faster, for the T5 family; causal: any
    decoder-only model; or a module of yours; null: what suits the model."""
    dropout: float | None = limited(None, "[0, 1)")
    """Dropout rate in training; null: the checkpoint's own."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass and keep none: less memory, a third slower."""
    shard: bool = False
    """Share out weights and optimizer over several devices: trainer.strategy=fsdp, where none is set."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    base: BaseConfig = field(default_factory=BaseConfig)


@dataclass
class SamplingConfig:
    """Online sampling."""

    name: str = "t5"
    """t5: the project's own decoder, for the T5 family; causal: for decoder-only models, each prompt read
    once; generate: transformers' generate, for any model; vllm: vLLM's engine on each GPU (docs/vllm.md)."""
    max_queries: int | None = limited(None, "[1, inf)")
    """Most queries an iteration, over all devices; null: every training query (paper)."""
    num_samples: int = limited(4, "[1, inf)")
    """Answers drawn for a query (paper: 4)."""
    temperature: float = limited(1.0, "(0, inf)")
    """Softmax temperature (paper: 1)."""
    retry_temperature: float | None = limited(None, "(0, inf)")
    """Where no answer to a query was right num_samples more are drawn, at this temperature: above 1 it finds
    answers that the policy is sure not to give, and would never hear are right; null: none (paper)."""
    retry_top_k: int | None = limited(None, "[0, inf)")
    """top_k of those draws; null: the same. The hotter they are, the fewer tokens they should choose from."""
    top_k: int = limited(50, "[0, inf)")
    """Keep the k likeliest tokens; 0 keeps all."""
    top_p: float = limited(1.0, "(0, 1]")
    """Keep the likeliest tokens that together hold this probability."""
    max_new_tokens: int = limited(32, "[1, inf)")
    """Longest answer, in tokens."""
    batch_size: int = limited(64, "[1, inf)")
    """Queries a forward pass on one device."""
    gpu_memory_utilization: float = limited(0.3, "(0, 1)")
    """Share of a GPU's memory that sampling=vllm takes while it samples."""


@dataclass
class BufferConfig:
    """What of the relabeled rows is trained on."""

    window: int = limited(1, "[0, inf)")
    """Iterations kept; 0 keeps all."""
    max_wrong_fraction: float | None = limited(None, "[0, 1]")
    """Largest share of wrong rows in a batch, so that failures do not swamp it; null: all as they come."""
    deduplicate: bool = True
    """Drop repeats of an output to the same query and instruction."""
    group: bool = True
    """Train on the rows of a query together: the more there are, the fewer prompts are encoded."""


@dataclass
class TrainingConfig:
    """Offline training of an iteration."""

    batch_size: int = limited(64, "[1, inf)")
    """Rows an optimizer step, over all devices and accumulated batches (paper: 64)."""
    rows_per_device: int | None = limited(None, "[1, inf)")
    """Most rows of a forward pass on one device; gradients are accumulated. null: all at once."""
    rank_timeout: float = limited(1800, "(0, inf)")
    """Seconds that a process waits for another, while starting too, before the run is given up."""
    passes: float = limited(10, "(0, inf)")
    """Passes over an iteration's samples (paper: 10); used where num_updates is null."""
    num_updates: int | None = limited(None, "[1, inf)")
    """Optimizer steps an iteration; null: passes x samples / batch_size."""
    lr: float = limited(5e-4, "(0, inf)")
    """Learning rate of AdamW (paper: 5e-4)."""
    final_lr: float | None = limited(None, "[0, inf)")
    """Learning rate reached linearly at the last step, and kept by a longer resume; null: constant."""
    weight_decay: float = limited(0.0, "[0, inf)")
    """Weight decay of AdamW."""


@dataclass
class EvaluationConfig:
    """Greedy accuracy under p_correct and p_wrong."""

    every: int = limited(1, "[1, inf)")
    """Iterations between evaluations on the validation split; the last one is always evaluated."""
    tasks: list[str] = field(default_factory=list)
    """Further tasks, on their test rows; bbh/NAME, bigbench/NAME, generated/NAME: on all of that source."""
    data_dir: str | None = None
    """Folder of their files, or of folders bbh and bigbench; null: task.data_dir."""
    batch_size: int = limited(128, "[1, inf)")
    """Rows a forward pass on one device."""
    samples_every: int = limited(5, "[0, inf)")
    """Iterations between printed samples; 0 prints none."""
    num_logged_rollouts: int = limited(16, "[0, inf)")
    """Rollouts of an iteration that go into samples.jsonl."""


@dataclass
class Config:
    """A whole run."""

    seed: int = limited(1, "[0, inf)")
    """Seed of everything random in the run."""
    run_dir: str | None = None
    """Folder of the run; null: outputs/<date>-<name>-<six letters and digits>."""
    resume: str | None = None
    """Run folder or checkpoint that is continued; null: a fresh run."""
    logger: Literal["csv", "wandb"] = "csv"
    """csv: the files of the run's folder alone; wandb: Weights & Biases as well (docs/wandb.md)."""
    task: TaskConfig = field(default_factory=TaskConfig)
    instructions: InstructionConfig = field(default_factory=InstructionConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    feedback: dict[str, Any] = field(default_factory=lambda: {"name": None})
    """Who judges answers. feedback.name is a file of hir/feedback/, or a module of yours, or null for the
    task's own judge; all else are settings of that file."""
    relabel: dict[str, Any] = field(default_factory=lambda: {"name": "correctness"})
    """Which instruction an answer is trained under: likewise a file of hir/relabel/, and its settings."""
    method: dict[str, Any] = field(default_factory=lambda: {"name": "hir"})
    """Training rows and loss: likewise of hir/methods/; settings of another of the project's are left out."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    buffer: BufferConfig = field(default_factory=BufferConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    trainer: dict[str, Any] = field(default_factory=lambda: {"max_epochs": 31})
    """Arguments of Lightning's Trainer; max_epochs is the number of HIR iterations (reference: 1 + 30)."""

    def __post_init__(self) -> None:
        rule = "null with model=tiny, and with model=hub a folder or a hub name"
        tiny = self.model.name in ("tiny", "tiny_causal")
        check(tiny == (self.model.path is None), "model.path", rule, self.model.path)
        for section in ("feedback", "relabel", "method"):
            name = getattr(self, section).get("name", {})
            named = (isinstance(name, str) and name != "") or (section == "feedback" and name is None)
            check(named, f"{section}.name", "that of a file or a module", name)
