"""What a policy is: the language model as methods and samplers see it, from text to logits and back."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from hir.losses import chosen_log_probs, token_log_probs
from hir.policies.escape import TextEscape
from hir.records import TOKEN_VALUES, TrainingExample
from hir.registry import Registry

MAX_CACHED_PROMPTS = 20_000
SCORED_ROWS = 128
"""Rows a forward pass in ``Policy.score``."""
WORTH_A_CUT = 0.15
Item = TypeVar("Item", bound=Sized)

Batch = Mapping[str, Any]
"""B rows with N trained tokens in all: ``labels`` (N,), the tokens, and ``rows`` (N,), the row of each;
``weights`` and ``correct`` (B,); those of ``records.TOKEN_VALUES`` that the rows bring, (N,) each; and what
the policy needs besides."""


class Output(NamedTuple):
    """What a policy makes of a batch's N trained tokens under its K instructions, the rows' own first."""

    logits: Tensor
    """(K, N, V)"""
    hidden: Tensor
    """(K, N, D), the states that the logits are made of."""


class Policy(nn.Module):
    """A transformers model in float32 and its tokenizer; a kind of model brings ``collate`` and ``forward``.

    A prompt of more than ``max_input_tokens`` loses tokens in its middle, so that the instruction at its
    start and the question with the answer cue at its end stay.
    """

    attention: ClassVar[str | None] = None
    """Name of the attention that the model is loaded with; None for transformers' choice."""

    def __init__(self, model: Any, tokenizer: Any, max_input_tokens: int = 512) -> None:
        super().__init__()
        self.model, self.tokenizer, self.max_input_tokens = model, tokenizer, max_input_tokens
        self.text = TextEscape(tokenizer)
        self.root: tuple[Any] = (model,)
        """What holds the weights: the model, or what a strategy that shards them put around it. In a tuple,
        which makes it no part of the policy."""
        self._encoded: dict[str, list[int]] = {}  # a prompt is trained on in many batches
        config = model.config.get_text_config()  # of one that sees, too, its language model's
        self.pad_id: int = getattr(config, "pad_token_id", -1)
        self.eos_id: int = getattr(config, "eos_token_id", -1)
        self.end_ids = {self.eos_id}
        """Tokens that end a sampled answer, ``eos_id`` among them."""
        self.context: int | None = None
        """Most tokens that the model takes of a prompt and its answer; None: any number."""

    def collate(self, rows: Sequence[TrainingExample]) -> dict[str, Any]:
        """A ``Batch`` of B rows under K instructions, on the CPU."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Output:
        raise NotImplementedError

    @property
    def sharded(self) -> bool:
        """Whether a layer gathers its weights when it is called (FSDP): all devices must call it as often."""
        return isinstance(self.root[0], FullyShardedDataParallel)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def hidden_size(self) -> int:
        """Width D of the states that logits are made of."""
        return int(self.model.config.get_text_config().hidden_size)

    def render(self, instruction: str, query: str) -> str:
        """What the model reads: instruction, "Q:", the query and "A:"."""
        return f"{instruction}\nQ: {query}\nA:"

    def told(self, text: str) -> str:
        """What the model reads where a text is put to it that is no task's, such as a judge's question."""
        return text

    def token_ids(self, texts: Sequence[str], **options: Any) -> list[list[int]]:
        """Tokens of each prompt, whatever their number, end token last; options are the tokenizer's."""
        if not texts:  # which the tokenizer does not take
            return []
        escaped = [self.text.escape(text) for text in texts]
        ids: list[list[int]] = self.tokenizer(escaped, verbose=False, **options)["input_ids"]
        return ids

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Tokens of each prompt, at most ``max_input_tokens``."""
        if len(self._encoded) > MAX_CACHED_PROMPTS:
            self._encoded.clear()
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._encoded]
        for prompt, ids in zip(new, self.token_ids(new), strict=True):
            excess, head = max(0, len(ids) - self.max_input_tokens), self.max_input_tokens // 2
            self._encoded[prompt] = ids[:head] + ids[head + excess :]
        return [self._encoded[prompt] for prompt in prompts]

    def prompts_of(self, rows: Sequence[TrainingExample]) -> list[str]:
        """The K x B prompts of B rows under K instructions: all rows under their own, then the contrasts."""
        return [
            self.render(instruction, row.query)
            for instructions in zip(*((row.instruction, *row.contrast) for row in rows), strict=True)
            for instruction, row in zip(instructions, rows, strict=True)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of an answer's tokens, without its end token and outer spaces.

        Any other special token is text, which no answer has: were "<pad> 7" right a policy would pad.
        """
        kept = [token for token in ids if token not in self.end_ids]
        return self.text.unescape(self.tokenizer.decode(kept)).strip()

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens that a perfect policy would have sampled for each text, end token last."""
        return self.token_ids(texts)

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """Those for one text."""
        return tuple(self.answer_ids([text])[0])

    def pad(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """``input_ids`` and ``attention_mask`` on the policy's device, padded on the right, each (B, S)."""
        return padded(sequences, self.pad_id).to(self.device), token_mask(sequences).to(self.device)

    def score(
        self,
        rows: Sequence[TrainingExample],
        values: Callable[[Batch, Output], Tensor],
        model: Callable[[Batch], Output] | None = None,
    ) -> list[tuple[float, ...]]:
        """A number for each trained token of the rows, in eval mode and without gradients.

        ``values`` gives those of a batch, (N,), from what is made of it by the policy, or by ``model`` in its
        place, such as what ``frozen`` gave.
        """
        scores: list[tuple[float, ...]] = []
        for start in range(0, len(rows), SCORED_ROWS):
            batch = move_data_to_device(self.collate(rows[start : start + SCORED_ROWS]), self.device)
            with evaluating(self):
                numbers = values(batch, (model or self)(batch))
            scores += [tuple(part.tolist()) for part in numbers.split(batch["rows"].bincount().tolist())]
        return scores

    def frozen(self) -> Callable[[Batch], Output]:
        """The policy with its weights of now, for good: a copy, or itself with its adapters off."""
        if hasattr(self.model, "disable_adapter"):  # of peft; this context manager decorates functions, too
            without_adapters: Callable[[Batch], Output] = self.model.disable_adapter()(self.forward)
            return without_adapters
        twin = copy.deepcopy(self, {id(self.tokenizer): self.tokenizer}).requires_grad_(False).eval()
        return lambda batch: twin.to(self.device)(batch)


POLICIES: Registry[Any] = Registry(__package__, "model.policy")
"""By name, the class of a policy: ``kind(model, tokenizer, max_input_tokens)``."""
register = POLICIES.register


@contextmanager
def evaluating(policy: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients; the mode it was in comes back."""
    training = policy.training
    policy.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        policy.train(training)


def gathered(module: nn.Module) -> AbstractContextManager[None]:
    """Within it a sharded module has its full weights, but for parts that are sharded by themselves."""
    return FullyShardedDataParallel.summon_full_params(module, recurse=False, writeback=False)


def label_log_probs(batch: Batch, output: Output) -> Tensor:
    """(N,) log-probabilities of a batch's trained tokens under their own instruction."""
    return chosen_log_probs(token_log_probs(output.logits[0]), batch["labels"])


def row_tensors(rows: Sequence[TrainingExample]) -> dict[str, Tensor]:
    """What of B rows methods read: see ``Batch``."""
    brought = [name for name in TOKEN_VALUES if getattr(rows[0], name)]
    return {
        "labels": torch.tensor([token for row in rows for token in row.output_ids]),
        "rows": torch.tensor([i for i, row in enumerate(rows) for _ in row.output_ids]),
        "weights": torch.tensor([row.weight for row in rows]),
        "correct": torch.tensor([row.correct for row in rows]),
        **{name: torch.tensor([v for row in rows for v in getattr(row, name)]) for name in brought},
    }


def padded(sequences: Sequence[Sequence[int]], value: int) -> Tensor:
    """Right-padded (B, longest) long tensor."""
    longest = max(len(sequence) for sequence in sequences)
    return torch.tensor([[*sequence, *[value] * (longest - len(sequence))] for sequence in sequences])


def token_mask(sequences: Sequence[Sequence[int]]) -> Tensor:
    """(B, longest): 1 at tokens, 0 at padding."""
    return padded([[1] * len(sequence) for sequence in sequences], 0)


def buckets(
    items: Sequence[Item], cut: bool = True, length: Callable[[Item], int] = len
) -> list[Sequence[Item]]:
    """Items, ordered by length, cut where that drops at least ``WORTH_A_CUT`` of the padded tokens.

    All in one if not ``cut``.
    """
    longest = length(items[-1])
    # A cut at i pads the first i to the length of the last of them.
    saved, at = max(((longest - length(item)) * i, i) for i, item in enumerate(items, 1))
    if not cut or saved < WORTH_A_CUT * len(items) * longest:
        return [items]
    return [*buckets(items[:at], cut, length), *buckets(items[at:], cut, length)]
