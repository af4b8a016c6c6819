"""T5 without gradients: its weights laid out for sampling, an encoder pass and a decode step.

Departs from transformers' modules in layout alone: query, key and value are one product, and so are the two
halves of a gated feed-forward layer; the norms' weights are multiplied into the products that follow them;
the keys and values of an encoded query serve all of its samples.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import ACT2FN

from hir.errors import UserError
from hir.policies.base import gathered

Layer = dict[str, Tensor]


@dataclass
class Queries:
    """P encoded queries: their cross-attention keys and values, and where padding is."""

    cross: list[Tensor]
    """(2, P, H, S, D) a layer: keys and values."""
    mask: Tensor
    """(P, 1, 1, S): 0 at tokens, float32's lowest number at padding."""


@dataclass
class Rows:
    """R partial answers: their self-attention keys and values, and the query that each belongs to."""

    cache: list[Tensor]
    """(2, capacity, H, T, D) a layer: keys and values; the first R rows are in use."""
    slot: Tensor | None = None
    """(R,) place of a row in the grid of P x ``width`` places, where the rows of a query lie side by side;
    None: the rows fill it one after another."""
    width: int = 1

    def follow(self, parents: Tensor, length: int) -> Tensor:
        """The places (R',) of the rows that go on from ``parents`` (R',), ascending: now the first R' places.

        A row stays where it is if it can; few are copied, ``length`` positions of each.
        """
        first = torch.ones_like(parents, dtype=torch.bool)
        torch.ne(parents[1:], parents[:-1], out=first[1:])
        stays = first & (parents < len(parents))
        place = parents.clone()
        if not stays.all():
            free = torch.ones_like(first)
            free[parents[stays]] = False
            place[~stays] = free.nonzero().squeeze(1)
            source, target = parents[~stays], place[~stays]
            for layer in self.cache:
                layer[:, target, :, :length] = layer[:, source, :, :length]
        return place


class T5Weights:
    """The weights of a T5-family model in the layout and number format of sampling, and the model they make.

    ``refresh`` reads the transformers model, with or without adapters; UserError where it is of another kind.
    The decoder has ``max_new_tokens`` positions. ``dtype`` is the format of the products; sums, norms and
    softmax are float32, as under autocast.
    """

    def __init__(self, model: Any, max_new_tokens: int, dtype: torch.dtype) -> None:
        config = model.config
        if config.model_type not in ("t5", "mt5"):
            other = "generate" if config.is_encoder_decoder else "causal"
            raise UserError(f"sampling=t5 decodes T5 and mT5, not {config.model_type}: set sampling={other}")
        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.dtype = dtype
        self.heads: int = config.num_heads
        self.floor = torch.tensor((config.d_model * config.layer_norm_epsilon) ** 0.5)
        """What keeps the norm of a vector from zero."""
        self.gated: bool = config.is_gated_act
        # gelu_new is the same in five operations.
        act = "gelu_pytorch_tanh" if config.dense_act_fn == "gelu_new" else config.dense_act_fn
        self.act: Callable[[Tensor], Tensor] = ACT2FN[act]
        self.device: torch.device = self.model.device
        self.max_distance: int = config.relative_attention_max_distance
        self.encoder: list[Layer] = [{} for _ in self.model.encoder.block]
        self.decoder: list[Layer] = [{} for _ in self.model.decoder.block]
        self.ends: Layer = {}
        """Embedding and head."""
        self.positions = max_new_tokens

    @torch.no_grad()
    def refresh(self, root: nn.Module) -> None:
        """Read the live weights from a policy's ``root``, into the same memory as before."""
        with gathered(root):
            for layer, name, weight in self._layout():
                weight = weight.t() if name not in ("embedding", "bias") else weight
                if name in layer:
                    layer[name].copy_(weight)
                else:
                    dtype = torch.float32 if name == "bias" else self.dtype
                    layer[name] = weight.to(dtype, copy=True, memory_format=torch.contiguous_format)

    def _layout(self) -> Iterator[tuple[Layer, str, Tensor]]:
        model, gain = self.model, self.model.config.d_model**0.5  # of a norm of 1 to a mean square of 1
        yield self.ends, "embedding", model.shared.weight
        encoder_norm = model.encoder.final_layer_norm.weight * gain
        norm = model.decoder.final_layer_norm.weight * gain
        scaled = getattr(model.config, "scale_decoder_outputs", False)  # the first T5's, not mT5's
        scale = model.config.d_model**-0.5 if scaled else 1.0
        yield self.ends, "head", effective_weight(model.lm_head) * norm * scale
        blocks = [*model.encoder.block, *model.decoder.block]
        for layer, block in zip([*self.encoder, *self.decoder], blocks, strict=True):
            with gathered(block):
                attention, norm = block.layer[0].SelfAttention, block.layer[0].layer_norm.weight * gain
                yield layer, "qkv", _stacked(attention.q, attention.k, attention.v) * norm
                yield layer, "o", effective_weight(attention.o)
                if attention.has_relative_attention_bias:
                    # For the distances -span to span; all beyond are in one bucket with the last.
                    span = self.max_distance
                    bias = attention.compute_bias(1, 2 * span + 1, past_seen_tokens=span)
                    bias = bias[0, :, 0].float()  # (H, 2 span + 1)
                    if attention.is_decoder:
                        # (H, T) for 1 - T to 0: the last t of them are those of position t - 1.
                        distance = torch.arange(1 - self.positions, 1, device=bias.device).clamp(min=-span)
                        bias = bias[:, distance + span]
                    yield layer, "bias", bias
                if attention.is_decoder:
                    cross, norm = block.layer[1].EncDecAttention, block.layer[1].layer_norm.weight * gain
                    yield layer, "cross_q", effective_weight(cross.q) * norm
                    yield layer, "cross_kv", _stacked(cross.k, cross.v) * encoder_norm
                    yield layer, "cross_o", effective_weight(cross.o)
                dense, norm = block.layer[-1].DenseReluDense, block.layer[-1].layer_norm.weight * gain
                yield layer, "wi", _stacked(*((dense.wi_0, dense.wi_1) if self.gated else (dense.wi,))) * norm
                yield layer, "wo", effective_weight(dense.wo)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Queries:
        """Encode P queries of S tokens, padding included, both (P, S)."""
        mask = torch.where(attention_mask[:, None, None] > 0, 0.0, torch.finfo(torch.float32).min)
        position = torch.arange(input_ids.shape[1], device=input_ids.device)
        distance = (position[None] - position[:, None]).clamp(-self.max_distance, self.max_distance)
        hidden = F.embedding(input_ids.flatten(), self.ends["embedding"]).float()  # (P * S, d)
        bias = mask
        for layer in self.encoder:
            if "bias" in layer:
                bias = layer["bias"][:, distance + self.max_distance] + mask  # (P, H, S, S)
            q, k, v = self._heads(self._norm(hidden).mm(layer["qkv"]), input_ids.shape, 3)
            self._add(hidden, self._attend(q, k, v, bias), layer["o"])
            self._feed_forward(hidden, layer)
        hidden = self._norm(hidden)
        products = (hidden.mm(layer["cross_kv"]) for layer in self.decoder)
        return Queries([self._heads(kv, input_ids.shape, 2).contiguous() for kv in products], mask)

    def room(self, number: int, length: int) -> list[Tensor]:
        """Memory for keys and values, (2, number, H, length, D) a layer, with nothing in it yet."""
        shape = (2, number, self.heads, length, self.decoder[0]["o"].shape[0] // self.heads)
        return [torch.empty(shape, dtype=self.dtype, device=self.device) for _ in self.decoder]

    def decode(self, tokens: Tensor, at: int, rows: Rows, queries: Queries) -> Tensor:
        """One decode step: logits (R, V), float32, of what follows ``tokens`` (R,), all at one position.

        ``rows`` gets the step's keys and values; their slots point to ``queries``.
        """
        hidden = F.embedding(tokens, self.ends["embedding"]).float()
        num_rows, length, bias = len(tokens), at + 1, hidden
        for i, layer in enumerate(self.decoder):
            if "bias" in layer:
                bias = layer["bias"][None, :, None, -length:]  # (1, H, 1, L)
            new = self._norm(hidden).mm(layer["qkv"]).view(num_rows, 3, self.heads, 1, -1).transpose(0, 1)
            cache = rows.cache[i][:, :num_rows]
            cache[:, :, :, at:length] = new[1:]
            keys, values = cache[:, :, :, :length].unbind()
            self._add(hidden, self._attend(new[0], keys, values, bias), layer["o"])
            q = self._norm(hidden).mm(layer["cross_q"])
            self._add(hidden, self._cross(q, i, rows, queries), layer["cross_o"])
            self._feed_forward(hidden, layer)
        return self._norm(hidden).mm(self.ends["head"]).float()

    def _cross(self, q: Tensor, i: int, rows: Rows, queries: Queries) -> Tensor:
        """Attention (R, I) to the input, whose keys and values the rows of a query share; q is (R, I)."""
        num_queries = len(queries.mask)
        if rows.slot is not None:
            q = q.new_zeros(num_queries * rows.width, q.shape[1]).index_copy_(0, rows.slot, q)
        (grid,) = self._heads(q, (num_queries, rows.width), 1)
        keys, values = queries.cross[i]
        out = self._attend(grid, keys, values, queries.mask)
        return out if rows.slot is None else out[rows.slot]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Attention without scale, (B * L, I) from heads (B, H, L, D) and (B, H, S, D)."""
        scores = q.flatten(0, 1).bmm(k.flatten(0, 1).transpose(1, 2)).float()
        weights = scores.view(*q.shape[:3], -1).add_(bias).softmax(-1).to(v.dtype)
        out = weights.flatten(0, 1).bmm(v.flatten(0, 1)).view(q.shape)
        return out.transpose(1, 2).reshape(q.shape[0] * q.shape[2], -1)

    def _heads(self, x: Tensor, shape: Sequence[int], parts: int) -> Tensor:
        """(B * L, parts * I) -> (parts, B, H, L, D), with (B, L) the shape."""
        return x.view(*shape, parts, self.heads, -1).permute(2, 0, 3, 1, 4)

    def _feed_forward(self, hidden: Tensor, layer: Layer) -> None:
        """Adds a feed-forward layer's output to ``hidden``, in place."""
        inner = self._norm(hidden).mm(layer["wi"])
        if self.gated:
            gate, inner = inner.chunk(2, -1)
            inner = self.act(gate) * inner
        else:
            inner = self.act(inner)
        self._add(hidden, inner, layer["wo"])

    def _add(self, hidden: Tensor, x: Tensor, weight: Tensor) -> None:
        """Adds a product to ``hidden``, in place."""
        if weight.dtype == hidden.dtype:
            hidden.addmm_(x, weight)
        else:
            hidden += x.mm(weight)

    def _norm(self, hidden: Tensor) -> Tensor:
        """Root mean square norm; its weight and sqrt(d) are in the products that follow."""
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        return hidden.div(torch.hypot(length, self.floor)).to(self.dtype)


def effective_weight(linear: Any) -> Tensor:
    """A linear layer's weight (out, in), its low-rank adapters (peft) added."""
    weight: Tensor = linear.weight
    for adapter in getattr(linear, "active_adapters", ()):
        weight = weight + linear.get_delta_weight(adapter)
    return weight


def _stacked(*linears: Any) -> Tensor:
    return torch.cat([effective_weight(linear) for linear in linears])
