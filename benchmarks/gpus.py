"""Memory that a run needs on each GPU: `python -m benchmarks.gpus` prints it for FLAN-T5 on 1 to 16 of them.

An estimate from shapes alone, made before anything of it has run on a GPU:

    weights, gradients, AdamW's moments   16 bytes a weight, shared out by fsdp; ddp keeps gradients twice
    sampling's own weights, bf16          2 bytes a weight, on every GPU
    sampling's batches                    keys and values, bf16; batches of several sizes stay, hence twice
    what the backward pass reads          of the rows of one forward pass: ``activations``
    logits                                16 bytes each: bf16, log-probabilities, their gradient

All inputs have 512 tokens and all outputs 96, of four answers to a query, as buffer.group leaves them. What
cannot be told from shapes, CUDA itself and the allocator's holes, is a tenth more: ``SLACK``.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.models import SHAPES, Shape
from hir.config.load import load_config
from hir.config.schema import Config
from hir.t5.packing import MAX_PACK
from hir.training.datamodule import rows_per_device
from hir.training.strategies import choose_strategy

XXL = Shape("xxl", 4096, 64, 64, 10240, 24, 24, 32128)
MODELS = [*(SHAPES[name] for name in ("small", "base", "large", "xl")), XXL]
HARDWARE = {
    "1": ["trainer.devices=1"],
    "4": ["trainer.devices=4"],
    "8": ["trainer.devices=8"],
    "2x8": ["trainer.devices=8", "trainer.num_nodes=2"],
}
"""Arguments that say how many GPUs there are."""
FURTHER = {("1", "xxl"): ["model.lora.r=8"], ("8", "xxl"): ["training.rows_per_device=2"]}
"""What a model needs there beside its file."""
GPUS = (24, 40, 80, 141)
"""Gigabytes of usual ones."""
INPUT, OUTPUT, SAMPLES = 512, 96, 4
SLACK = 1.1
LORA_WEIGHTS = 8 * 2 * 3
"""Weights of adapters of rank 8 on q and v by d_model and layer, about: 2 matrices of d x 8 for each of 3."""


@dataclass(frozen=True)
class Setup:
    """What of a run's configuration decides about memory."""

    devices: int = 1
    strategy: str = "auto"
    rows: int = 64
    """Of a forward pass on one device."""
    sampling_batch: int = 64
    evaluation_batch: int = 128
    lora: bool = False
    element: int = 2
    """Bytes of a number in products: 2 under trainer.precision=bf16-mixed, else 4."""


@dataclass(frozen=True)
class Memory:
    """Bytes on each device."""

    state: float
    """Weights, gradients and moments; with fsdp, what is whole for a while, too."""
    sampling: float
    """Its weights and batches."""
    activations: float
    """Logits included."""

    @property
    def total(self) -> float:
        return SLACK * (self.state + self.sampling + self.activations)


def num_weights(shape: Shape) -> int:
    """All weights of a T5 whose head is a matrix of its own, biases of positions and norms included."""
    matrices = shape.encoder_layers * encoder_block(shape) + shape.decoder_layers * decoder_block(shape)
    norms = shape.d_model * (2 * shape.encoder_layers + 3 * shape.decoder_layers + 2)
    return matrices + norms + 2 * 32 * shape.heads + 2 * shape.d_model * shape.vocabulary


def encoder_block(shape: Shape) -> int:
    return 4 * shape.d_model * shape.inner + (3 if shape.gated else 2) * shape.d_model * shape.d_ff


def decoder_block(shape: Shape) -> int:
    return encoder_block(shape) + 4 * shape.d_model * shape.inner


def state(shape: Shape, setup: Setup) -> float:
    """Weights, gradients and the optimizer's moments, float32."""
    weights = num_weights(shape)
    if setup.lora:  # weights alone are kept of what is not trained
        trained = LORA_WEIGHTS * shape.d_model * (shape.encoder_layers + shape.decoder_layers)
        return 4 * weights + 16 * trained
    if setup.strategy == "fsdp" and setup.devices > 1:
        # Whole, with their gradients: the embedding and the head, and two blocks, one of them on its way.
        whole = 2 * shape.d_model * shape.vocabulary + 2 * decoder_block(shape)
        return 16 * weights / setup.devices + 8 * whole
    return (20 if setup.devices > 1 else 16) * weights


def sampling(shape: Shape, setup: Setup, length: int = INPUT, tokens: int = OUTPUT) -> float:
    """Weights, and keys and values of a batch for sampling and of one for evaluation, and of smaller ones."""
    batches = [(setup.sampling_batch, SAMPLES), (setup.evaluation_batch, 1)]
    positions = sum(queries * (length + answers * tokens) for queries, answers in batches)
    caches = 2 * 2 * shape.decoder_layers * shape.inner * positions
    return setup.element * (num_weights(shape) + caches)


def activations(
    shape: Shape, setup: Setup, length: int = INPUT, tokens: int = OUTPUT, samples: int = SAMPLES
) -> float:
    """What the backward pass reads of one forward pass under two instructions, and the logits.

    With e bytes a number in products, a token keeps in a layer: of each norm a float32 vector and its input's
    copies in the format of products (3 for q, k, v; 2 for the gated halves), q, k, v, attention's output
    twice, 4 vectors of the feed-forward layer's width, and bytes of dropout.
    """
    d, inner, wide, e = shape.d_model, shape.inner, shape.d_ff, setup.element
    copies = e if e < 4 else 0  # in float32 the norm's output serves all, and is counted once below
    once = 4 if e == 4 else 0
    attention = 4 * d + 3 * copies * d + once * d + 5 * e * inner + d
    feed_forward = 4 * d + 2 * copies * d + once * d + (4 * e + 1) * wide + d
    cross = 4 * d + copies * d + once * d + 3 * e * inner + d
    samples = min(samples, setup.rows)
    queries = -(-setup.rows // samples)
    prompts = 2 * queries
    inputs = prompts * length
    outputs = 2 * setup.rows * tokens
    packs = 2 * queries * -(-samples // max(1, MAX_PACK // tokens))
    bias = e * shape.heads * length  # a token's share of positions and mask; attention reads a copy a layer
    encoder = shape.encoder_layers * inputs * (attention + feed_forward + bias)
    decoder = shape.decoder_layers * outputs * (attention + cross + feed_forward)
    read = packs * length * (4 * d + shape.decoder_layers * (2 * copies * d + 2 * e * inner))
    return encoder + decoder + read + 16 * outputs * shape.vocabulary


def memory(shape: Shape, setup: Setup) -> Memory:
    """The estimate."""
    return Memory(state(shape, setup), sampling(shape, setup), activations(shape, setup))


def setup_of(config: Config) -> Setup:
    """What the configuration says of memory; trainer.devices must be a number."""
    trainer = config.trainer
    devices = int(trainer["devices"]) * int(trainer.get("num_nodes", 1))
    return Setup(
        devices=devices,
        strategy=choose_strategy(config),
        rows=rows_per_device(config, devices),
        sampling_batch=config.sampling.batch_size,
        evaluation_batch=config.evaluation.batch_size,
        lora=config.model.lora.r > 0,
        element=2 if str(trainer.get("precision")).startswith("bf16") else 4,
    )


def arguments(hardware: str, model: str) -> list[str]:
    """Of train.py, for a size of FLAN-T5 on that hardware."""
    return [
        "experiment=paper",
        f"model=flan_t5_{model}",
        *HARDWARE[hardware],
        *FURTHER.get((hardware, model), []),
    ]


def fits(memory: Memory) -> str:
    """The smallest of the usual GPUs that it fits on."""
    return next((f"{size} GB" for size in GPUS if memory.total <= size * 1e9), "none")


def main(console: Console) -> None:
    table = Table("GPUs", "model", "strategy", "rows", "state", "sampling", "activations", "in all", "fits")
    for name in HARDWARE:
        for shape in MODELS:
            setup = setup_of(load_config(arguments(name, shape.name)))
            needed = memory(shape, setup)
            parts = (needed.state, needed.sampling, needed.activations, needed.total)
            several = "ddp" if setup.devices > 1 else "none"
            strategy = "adapters" if setup.lora else setup.strategy.replace("auto", several)
            shown = (f"{part / 1e9:.1f}" for part in parts)
            table.add_row(name, shape.name, strategy, str(setup.rows), *shown, fits(needed))
        table.add_section()
    console.print("GB on each GPU, estimated; not measured on any")
    console.print(table)


if __name__ == "__main__":
    main(Console(width=110))
