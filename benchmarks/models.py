"""Random T5 models of the FLAN kind, prompts of an exact length for them, and answers that end."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from hir.config.schema import InstructionConfig, ModelConfig, SamplingConfig
from hir.policies.load import load_policy
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.relabel.base import Relabel
from hir.sampling.base import Sampler, build_sampler

INSTRUCTIONS = Relabel(InstructionConfig("correct", "wrong"))
SPECIAL = ["<pad>", "</s>", "<unk>", "Q:", "A:", "correct", "wrong"]
MAX_NEW_TOKENS = 32
TOP_K = 50
STOP_RATE = 1 / 8
LOGIT_SCALE = 3.0
"""Standard deviation of a random model's logits. At 3 the 50 likeliest of 512 tokens hold most mass, as
in a trained model. transformers' own start is near d_model ** 0.5: a query's answers would be much alike."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a T5."""

    name: str
    d_model: int
    d_kv: int
    heads: int
    d_ff: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    gated: bool = True


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("tiny", 64, 16, 4, 128, 2, 1, 768, gated=False),  # as hir/training/tiny.py builds it
        Shape("d128", 128, 32, 4, 256, 3, 3, 512),
        Shape("small", 512, 64, 6, 1024, 8, 8, 32128),
        Shape("base", 768, 64, 12, 2048, 12, 12, 32128),
        Shape("large", 1024, 64, 16, 2816, 24, 24, 32128),
        Shape("xl", 2048, 64, 32, 5120, 24, 24, 32128),
    )
}


@dataclass
class Pair:
    """One set of weights twice: in the project's policy, and in transformers' own model, for the peers."""

    shape: Shape
    policy: Seq2SeqPolicy
    plain: Seq2SeqPolicy
    stop_row: Tensor = field(default_factory=lambda: torch.empty(0))
    """The head's row of the end token that makes answers end."""

    def real_stops(self) -> None:
        """Answers end with probability STOP_RATE a token, about."""
        self._set_end(self.stop_row)

    def forced_length(self) -> None:
        """No answer ends: a logit of 0 is never among the TOP_K likeliest of so many."""
        self._set_end(torch.zeros_like(self.stop_row))

    @torch.no_grad()
    def _set_end(self, row: Tensor) -> None:
        for policy in (self.policy, self.plain):
            policy.model.lm_head.weight[policy.eos_id] = row.to(policy.model.lm_head.weight)

    def sampler(self, name: str) -> Sampler:
        """The project's sampler of that name."""
        config = SamplingConfig(name=name, top_k=TOP_K, max_new_tokens=MAX_NEW_TOKENS, batch_size=64)
        return build_sampler(self.policy, config, 64)


def make_pair(shape: Shape, device: str = "cpu", plain_dtype: torch.dtype = torch.float32) -> Pair:
    """Random weights, loaded by the project as it loads any checkpoint; the policy's stay float32."""
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(1)
        model = T5ForConditionalGeneration(t5_config(shape))
        # transformers 5 ties the head of every new T5; FLAN-T5's is a matrix of its own.
        head = torch.randn(shape.vocabulary, shape.d_model) * LOGIT_SCALE * shape.d_model**-0.5
        model.lm_head.weight = torch.nn.Parameter(head)
    tokenizer = build_tokenizer(shape.vocabulary)
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        policy = load_policy(ModelConfig(name=shape.name, path=folder, dropout=0.0))
    plain = Seq2SeqPolicy(model, tokenizer)
    pair = Pair(shape, policy.to(device), plain.to(device, plain_dtype))
    find_stop_row(pair)
    pair.real_stops()
    return pair


def t5_config(shape: Shape) -> T5Config:
    return T5Config(
        vocab_size=shape.vocabulary,
        d_model=shape.d_model,
        d_kv=shape.d_kv,
        d_ff=shape.d_ff,
        num_heads=shape.heads,
        num_layers=shape.encoder_layers,
        num_decoder_layers=shape.decoder_layers,
        feed_forward_proj="gated-gelu" if shape.gated else "relu",
        tie_word_embeddings=False,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,  # type: ignore[call-arg]
    )


def autocast(device: str) -> torch.autocast:
    """bfloat16 on a GPU, as the project trains and samples there; nothing on a CPU."""
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu")


def memory_folder() -> str | None:
    """Where files live in memory; None, the usual place, where there is no such folder."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def build_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """One token a word: SPECIAL, then w7, w8, ..."""
    words = [*SPECIAL, *(f"w{i}" for i in range(len(SPECIAL), vocabulary))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def texts(shape: Shape, number: int, words: int, seed: int = 0) -> list[str]:
    """So many different texts of so many random words, one token each."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(len(SPECIAL), shape.vocabulary, (number, words), generator=generator)
    return [" ".join(f"w{i}" for i in row) for row in ids.tolist()]


def prompts(shape: Shape, number: int, length: int, seed: int = 0) -> list[str]:
    """Prompts of ``length`` tokens, the end token included."""
    return texts(shape, number, length - 1, seed)


def mean_length(answers: Sequence[Sequence[Any]]) -> float:
    """Mean number of tokens of a sampler's answers, the end token included."""
    lengths = [len(tokens_of(answer)) for samples in answers for answer in samples]
    return sum(lengths) / len(lengths)


def tokens_of(answer: Any) -> tuple[int, ...]:
    return tuple(getattr(answer, "tokens", answer))


def ended(policy: Seq2SeqPolicy, tokens: list[int]) -> tuple[int, ...]:
    """Sampled tokens up to the end token."""
    return tuple(tokens[: tokens.index(policy.eos_id) + 1] if policy.eos_id in tokens else tokens)


def share_distinct(answers: Sequence[Sequence[Any]]) -> float:
    """Different answers by all answers, query by query: what begins alike can be computed once."""
    return sum(len({tokens_of(a) for a in samples}) for samples in answers) / sum(map(len, answers))


@torch.no_grad()
def find_stop_row(pair: Pair) -> None:
    """A row for the end token along the mean hidden state, as long as gives STOP_RATE on sampled answers."""
    plain, model = pair.plain, pair.plain.model.eval()
    inputs, mask = plain.pad(plain.encode(prompts(pair.shape, 16, 64, seed=99)))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        ids = model.generate(
            input_ids=inputs,
            attention_mask=mask,
            do_sample=True,
            top_k=TOP_K,
            max_new_tokens=MAX_NEW_TOKENS,
            suppress_tokens=[plain.eos_id],
        )
    hidden: list[Tensor] = []
    hook = model.lm_head.register_forward_pre_hook(lambda module, args: hidden.append(args[0]))
    logits = model(input_ids=inputs, attention_mask=mask, decoder_input_ids=ids[:, :-1]).logits
    hook.remove()
    states = hidden[0].flatten(0, 1).float()
    logits = logits.flatten(0, 1).float()
    logits[:, plain.eos_id] = -torch.inf
    kept = logits.topk(TOP_K - 1).values
    others, least = kept.logsumexp(-1), kept[:, -1]
    direction = states.mean(0)
    along = states @ direction
    low, high = 0.0, 1e3 / float(along.abs().mean())
    for _ in range(50):
        middle = (low + high) / 2
        end = middle * along
        rate = (torch.sigmoid(end - others) * (end > least)).mean()
        low, high = (middle, high) if rate < STOP_RATE else (low, middle)
    pair.stop_row = (low * direction).detach()


def copy_of(policy: Seq2SeqPolicy) -> Seq2SeqPolicy:
    """The policy with weights of its own, to train."""
    return copy.deepcopy(policy).train()
