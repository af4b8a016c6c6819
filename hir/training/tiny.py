"""The embedded tiny models: a byte-level tokenizer trained on generated tasks, and a short supervised base.

Relabeling has nothing to work on from chance, so the tiny model gets the head start that FLAN-T5 has from its
own training: a few updates on labelled rows that are disjoint from every row of every split and seed
(hir.tasks.base.is_pretraining). It is made once and cached under the hash of all that defines it.
"""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import tokenizers
import torch
import torch.nn.functional as F
import transformers
from lightning.fabric.utilities import move_data_to_device
from tokenizers import decoders, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from hir.config.load import task_settings
from hir.config.schema import BaseConfig, Config, SamplingConfig
from hir.feedback.answers import in_words
from hir.feedback.base import Feedback
from hir.files import cache_dir, making, write_json
from hir.policies.base import Policy
from hir.policies.causal import CausalPolicy
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.randomness import derive_seed
from hir.records import Example, TrainingExample
from hir.relabel.base import Relabel
from hir.sampling.base import build_sampler
from hir.tasks.base import GENERATORS, Task, generated_task

VOCABULARY = 768
NUM_HELD_OUT = 1024
NUM_HEADS = 4
EMBEDDED = ("instructions", "object_counting", "word_sorting")
"""What the base of a task that has no generator is trained on."""
WARMUP = 50
CHECK_EVERY = 5


@dataclass(frozen=True)
class Base:
    """Where the pre-trained tiny model lies, and how it was made."""

    path: Path
    tasks: tuple[str, ...]
    num_updates: int
    queries: frozenset[str]
    """Every query it saw a label of."""

    def unseen(self, task: Task) -> Task:
        """The task, tested on no row that it saw a label of; splits of generated tasks have none of those."""
        validation = tuple(row for row in task.validation if row.asked not in self.queries)
        test = tuple(row for row in task.test if row.asked not in self.queries)
        return replace(task, validation=validation, test=test)


def build_tokenizer(texts: Sequence[str], end: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE: deterministic, and any UTF-8 text round-trips without an unknown token.

    But for a space before it, as T5's own: a word is the same tokens at the start of an answer as in a list.
    """
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
        )
    special = {"pad_token": "<pad>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special)


def build_model(config: BaseConfig, vocabulary: int) -> transformers.PreTrainedModel:
    """A T5 of about 0.15 M parameters with random weights, or a Llama of 0.2 M."""
    width = config.d_model
    options: dict[str, Any] = {"vocab_size": vocabulary, "pad_token_id": 0, "eos_token_id": 1}
    with torch.random.fork_rng(devices=[]):  # a run does not depend on whether its base was made or cached
        torch.manual_seed(derive_seed(config.seed, 0, 0, "tiny weights"))
        if config.kind == "llama":
            options |= {"hidden_size": width, "intermediate_size": 3 * width, "tie_word_embeddings": True}
            options |= {"num_hidden_layers": config.num_layers, "num_attention_heads": NUM_HEADS}
            return transformers.LlamaForCausalLM(transformers.LlamaConfig(bos_token_id=None, **options))
        options |= {"d_model": width, "d_kv": width // NUM_HEADS, "d_ff": 2 * width, "num_heads": NUM_HEADS}
        options |= {"num_layers": config.num_layers, "num_decoder_layers": 1, "dropout_rate": 0.0}
        options |= {"relative_attention_max_distance": 64, "decoder_start_token_id": 0}
        return transformers.T5ForConditionalGeneration(transformers.T5Config(**options))


def make_base(config: Config, say: Callable[[str], None] = print) -> Base:
    """The pre-trained tiny model for a task, from the cache or made now.

    A generated task gets a base trained on its own kind of rows, a mix one on those of all its tasks; any
    other task gets one trained on the EMBEDDED. No run's seed changes it: it stands in for a published model.
    """
    task, base = config.task.name, config.model.base
    own, mix = config.task.settings, config.task.mix
    names = tuple(name for name in mix or (task,) if name in GENERATORS) or EMBEDDED
    given = {name: own.get(name, {}) for name in mix} if mix else {task: own}
    sources = [generated_task(name, given.get(name, task_settings(name))) for name in names]
    share = [source.pretraining_rows(base.seed, base.num_rows // len(sources)) for source in sources]
    rows = [row for turn in zip(*share, strict=True) for row in turn]
    if config.task.answers == "text":
        rows = [*map(in_words, rows)]
    definition: dict[str, object] = {
        "base": asdict(base),
        "instructions": [config.instructions.correct, config.instructions.wrong],
        "rows": hashlib.sha256("\0".join(r.asked + "\0" + r.targets[0] for r in rows).encode()).hexdigest(),
        "recipe": ["prefix space", VOCABULARY, NUM_HELD_OUT, NUM_HEADS, WARMUP, CHECK_EVERY, _device(config)],
        "versions": [torch.__version__, transformers.__version__, tokenizers.__version__],
    }
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / "base" / digest
    if not path.is_dir():
        with making(path) as whole:
            say(f"making the tiny base once: supervised pre-training on {len(rows)} labelled rows of its own")
            policy, made = _pretrain(config, rows, [source.feedback() for source in sources], say)
            policy.model.save_pretrained(whole)
            policy.tokenizer.save_pretrained(whole)
            write_json(whole / "base.json", {**definition, **made})
    made = json.loads((path / "base.json").read_text(encoding="utf-8"))
    return Base(path, names, made["num_updates"], frozenset(row.asked for row in rows))


def _device(config: Config) -> str:
    return "cuda" if torch.cuda.is_available() and config.trainer.get("accelerator") != "cpu" else "cpu"


def _pretrain(
    config: Config, rows: list[Example], judges: Sequence[Feedback], say: Callable[[str], None]
) -> tuple[Policy, dict[str, float]]:
    """Supervised training up to a greedy accuracy on the first rows, held out; the judges take turns.

    On a GPU it is in bf16, whatever the run's precision.
    """
    base, phi = config.model.base, Relabel(config.instructions)
    held_out, train = rows[:NUM_HELD_OUT], rows[NUM_HELD_OUT:]
    # p_wrong is in it so that both instructions cost alike.
    texts = [f"{phi.goal(row)}\nQ: {row.query}\nA:" for row in train[:4096]]
    texts += [row.targets[0] for row in train[:4096]]
    kind = CausalPolicy if base.kind == "llama" else Seq2SeqPolicy
    tokenizer = build_tokenizer([*texts, *[phi.wrong] * (len(texts) // 8)], end=kind is Seq2SeqPolicy)
    policy: Policy = kind(build_model(base, len(tokenizer)), tokenizer)
    policy.to(_device(config))
    prompts = [policy.render(phi.goal(row), row.query) for row in held_out]
    targets = [policy.encode_answer(row.targets[0]) for row in train]
    pairs = [TrainingExample(-1, r.query, phi.goal(r), t, True) for r, t in zip(train, targets, strict=True)]
    longest = max(map(len, targets))
    sampling = SamplingConfig("causal" if base.kind == "llama" else "t5", max_new_tokens=longest)
    sampler = build_sampler(policy, sampling, greedy_batch_size=256)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=base.lr, weight_decay=0.0)
    rng = random.Random(derive_seed(base.seed, 0, 0, "tiny pre-training"))
    accuracy, update = 0.0, 0
    policy.train()
    while accuracy < base.accuracy and update < base.max_updates:
        update += 1
        for group in optimizer.param_groups:
            group["lr"] = base.lr * min(1.0, update / WARMUP)
        batch = move_data_to_device(policy.collate(rng.sample(pairs, base.batch_size)), policy.device)
        with torch.autocast(policy.device.type, torch.bfloat16, policy.device.type == "cuda"):
            loss = F.cross_entropy(policy(batch).logits[0], batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        if update > WARMUP and update % CHECK_EVERY == 0:
            judged = zip(held_out, sampler.greedy(prompts), cycle(judges), strict=False)
            right = [judge([row], [policy.decode(ids)])[0].correct for row, ids, judge in judged]
            accuracy = sum(right) / len(right)
            if update % 25 == 0:
                say(f"  {update} updates: {accuracy:.2f} of held-out rows are right, {base.accuracy} wanted")
    return policy, {"accuracy": accuracy, "num_updates": update}
