"""CausalPolicy: a decoder-only model as a policy.

The query comes first and the instruction after it, so that all answers to a query, under all instructions,
share the query: in training they are one tree of tokens, and what begins alike is computed once.
"""

from collections.abc import Mapping, Sequence
from os.path import commonprefix
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from hir.errors import UserError
from hir.policies.base import Batch, Output, Policy, buckets, evaluating, padded, register, row_tensors
from hir.records import TrainingExample

MAX_ANSWERS = 1024
"""Tokens of answers after which a query's rows begin another tree: attention costs the square of a tree."""
DATE = "26 Jul 2024"
"""For templates that name the day, Llama's own default: a prompt is the same tomorrow."""


class Tree(NamedTuple):
    """Token sequences as a tree of T nodes, depth first: what begins alike is there once."""

    ids: list[int]
    """(T,) their tokens."""
    depths: list[int]
    """(T,) their places in their sequences."""
    ends: list[int]
    """(T,) the first node that does not follow from it: node i reads node j where j <= i < ends[j]."""
    paths: dict[int, list[int]]
    """The nodes of each sequence."""


def grow(sequences: Mapping[int, tuple[int, ...]]) -> Tree:
    """The tree of numbered sequences, which may be equal or begin alike."""
    tree, path, before = Tree([], [], [], {}), list[int](), tuple[int, ...]()
    # In their order nodes come depth first.
    for number, sequence in sorted(sequences.items(), key=lambda pair: pair[1]):
        shared, size = len(commonprefix([sequence, before])), len(tree.ids)
        path = path[:shared] + [*range(size, size + len(sequence) - shared)]
        tree.ids.extend(sequence[shared:])
        tree.depths.extend(range(shared, len(sequence)))
        tree.ends.extend([0] * (len(sequence) - shared))
        tree.paths[number], before = path, sequence
        for node in path:
            tree.ends[node] = len(tree.ids)
    return tree


@register("causal")
class CausalPolicy(Policy):
    """A Policy of a decoder-only model and its chat template, if any.

    UserError if it has no end token, or if rows are not the same to it in a tree as alone: it does not read
    by masks and positions, or changes its logits behind the head.
    """

    attention: ClassVar[str | None] = "sdpa"

    def __init__(self, model: Any, tokenizer: Any, max_input_tokens: int = 512) -> None:
        super().__init__(model, tokenizer, max_input_tokens)
        if tokenizer.eos_token_id is None:
            raise UserError("the tokenizer has no end token: name it as eos_token in tokenizer_config.json")
        self.eos_id = tokenizer.eos_token_id
        # A chat's turn may end with another token than a text: models list both.
        listed = model.generation_config.eos_token_id
        self.end_ids = {self.eos_id, *(listed if isinstance(listed, list) else [listed])} - {None}
        # Masks go by length, so that an end token may pad.
        self.pad_id = self.eos_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        config = model.config.get_text_config()
        limits = [getattr(config, name, None) for name in ("max_position_embeddings", "sliding_window")]
        self.context = min((limit for limit in limits if limit), default=None)
        if not {"\0", "\1"} <= {*self.render("\0", "\1")}:
            raise UserError("its chat template leaves out a user's message: set model.chat_template=false")
        if not self._reads_trees():
            raise UserError(f"a {config.model_type} model is not the same in a tree as in single rows")

    def render(self, instruction: str, query: str) -> str:
        """What the model reads: the query and then the instruction, as a user's message or after "Q:"."""
        if not self.tokenizer.chat_template:
            return f"Q: {query}\n{instruction}\nA:"
        return self.told(f"{query}\n{instruction}")

    def told(self, text: str) -> str:
        """The text as a user's message, where there is a chat template."""
        if not self.tokenizer.chat_template:
            return text
        options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
        options |= {"enable_thinking": False, "date_string": DATE}  # for templates that ask
        today = f"{{% macro strftime_now(form) %}}{DATE}{{% endmacro %}}"
        options["chat_template"] = today + self.tokenizer.get_chat_template()
        prompt: str = self.tokenizer.apply_chat_template([{"role": "user", "content": text}], **options)
        return prompt

    def token_ids(self, texts: Sequence[str], **options: Any) -> list[list[int]]:
        """Tokens of each prompt, whatever their number, with a start token where the model has one."""
        plain = not self.tokenizer.chat_template  # a template brings its own special tokens
        found = super().token_ids(texts, add_special_tokens=plain, **options)
        return [ids[:-1] if plain and ids[-1:] == [self.eos_id] else ids for ids in found]

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        # After "A:" an answer begins with a space, which tokenizers make part of its first word.
        before, space = ("", "") if self.tokenizer.chat_template else ("A:", " ")
        whole = [before, *(before + space + text for text in texts)]
        start, *found = super().token_ids(whole, add_special_tokens=False)
        return [[*ids[len(start) :], self.eos_id] for ids in found]

    def pad(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """``input_ids`` and ``attention_mask`` on the policy's device, padded on the left, each (B, S)."""
        input_ids, mask = super().pad([sequence[::-1] for sequence in sequences])
        return input_ids.flip(1), mask.flip(1)

    def collate(self, rows: Sequence[TrainingExample]) -> dict[str, Any]:
        """A batch of B rows under K instructions, the rows' own first, on the CPU, as trees.

        ``trees``, in buckets (R, T) of like size: tokens, depths and ends of their nodes, where padding reads
        itself; ``places`` (K, N), the nodes that the N trained tokens come after; and what methods read.
        """
        prompts = self.encode(self.prompts_of(rows))
        inputs = [
            (*prompt, *row.prefix_ids, *row.output_ids[:-1])
            for prompt, row in zip(prompts, [*rows] * (len(prompts) // len(rows)), strict=True)
        ]
        trees = []
        for group in groups(rows):
            trees.append(grow({n: inputs[n] for row in group for n in range(row, len(inputs), len(rows))}))
        batches, places, start = [], [[0]] * len(inputs), 0
        for bucket in buckets(sorted(trees, key=num_nodes), not self.sharded, num_nodes):
            width = num_nodes(bucket[-1])
            for tree in bucket:
                for number, path in tree.paths.items():
                    trained = len(rows[number % len(rows)].output_ids)
                    places[number] = [start + node for node in path[-trained:]]
                start += width
            ends = [[*tree.ends, *range(num_nodes(tree) + 1, width + 1)] for tree in bucket]
            ids, depths = [tree.ids for tree in bucket], [tree.depths for tree in bucket]
            batches.append((padded(ids, self.pad_id), padded(depths, 0), torch.tensor(ends)))
        flat = torch.tensor([place for of_row in places for place in of_row])
        return {"trees": batches, "places": flat.view(len(inputs) // len(rows), -1), **row_tensors(rows)}

    def forward(self, batch: Batch) -> Output:
        """Each node is computed once; logits are made for trained tokens alone."""
        trees = (self.states(ids, depths, self.tree_mask(ends)) for ids, depths, ends in batch["trees"])
        hidden = torch.cat([states.flatten(0, 1) for states in trees])[batch["places"]]
        return Output(self.logits(hidden), hidden)

    def tree_mask(self, ends: Tensor) -> Any:
        """What the nodes of trees with these ends (R, T) read: (R, 1, T, T)."""
        node = torch.arange(ends.shape[1], device=ends.device)
        return ((node <= node[:, None]) & (node[:, None] < ends[:, None]))[:, None]

    def states(self, input_ids: Tensor, positions: Tensor, read: Any = None, **cache: Any) -> Tensor:
        """States (R, T, D) of tokens (R, T) at these positions that read (R, 1, T, S), or all before them."""
        options = {"attention_mask": read, "position_ids": positions, "use_cache": bool(cache), **cache}
        states: Tensor = self.model.get_decoder()(input_ids=input_ids, **options)[0]
        return states

    def logits(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        logits: Tensor = self.model.get_output_embeddings()(states)
        return logits

    def _reads_trees(self) -> bool:
        rows = {0: (4, 5, 6), 1: (4, 7, 5)}
        *tree, paths = grow(rows)
        batch = {"trees": [torch.tensor(tree)[:, None]], "places": torch.tensor([paths[0], paths[1]])}
        with evaluating(self):
            in_tree = self(batch).logits
            alone = self.model(input_ids=torch.tensor([*rows.values()])).logits
            return torch.allclose(in_tree, alone, rtol=1e-3, atol=1e-3, equal_nan=True)


def groups(rows: Sequence[TrainingExample]) -> list[list[int]]:
    """Numbers of the rows that share a tree: those of a query, up to ``MAX_ANSWERS``."""
    found, newest, size = list[list[int]](), dict[str, list[int]](), dict[str, int]()
    for number, row in enumerate(rows):
        if size.get(row.query, MAX_ANSWERS) >= MAX_ANSWERS:
            newest[row.query], size[row.query] = [], 0
            found.append(newest[row.query])
        newest[row.query].append(number)
        size[row.query] += len(row.prefix_ids) + len(row.output_ids)
    return found


def num_nodes(tree: Tree) -> int:
    return len(tree.ids)
