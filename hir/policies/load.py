"""Loads FLAN-T5 or any sequence-to-sequence checkpoint as a policy, with adapters if asked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.activations import NewGELUActivation
from transformers.models.t5.modeling_t5 import T5LayerNorm

from hir.config.schema import LoraConfig, ModelConfig
from hir.errors import UserError
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.t5 import attention

LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    AttributeError,  # this and the next: a file holds a list, say, where transformers takes keys for granted
    TypeError,
)


def load_policy(config: ModelConfig) -> Seq2SeqPolicy:
    """The checkpoint at ``config.path``: a folder made by save_pretrained, or a name on the hub.

    Weights come as float32 from safetensors files only; code from a checkpoint is never run.

    Raises:
        UserError: nothing whole and loadable is there, or it is no encoder-decoder model.
    """
    path = str(config.path)
    local = Path(path).is_dir()
    if not local and (
        path.count("/") > 1 or path[:1] in "./~" or path.count("/") == 1 and Path(path.split("/")[0]).is_dir()
    ):
        raise UserError(f"model.path={path}: there is no such folder")
    options: dict[str, Any] = {"trust_remote_code": False}
    if not local:
        options["revision"] = config.revision or "main"
    where = "the folder" if local else "the Hugging Face hub (is the network there, and the name right?)"
    try:
        model_config = AutoConfig.from_pretrained(path, **options)
        if not model_config.is_encoder_decoder:
            raise UserError(
                f"model.path={path}: a {model_config.model_type} model is not sequence-to-sequence; "
                "give a T5-family checkpoint"
            )
        if config.dropout is not None:
            model_config.dropout_rate = config.dropout
        shared = attention.NAME if model_config.model_type in attention.FAMILY else None
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        if tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys() <= {"\u2581"}:
            # transformers makes one up where it finds no file; ByT5's needs none.
            files = " nor ".join(sorted(tokenizer.vocab_files_names.values()))
            raise UserError(f"model.path={path}: no tokenizer that knows a word there, neither {files}")
        with _quiet():
            model, info = AutoModelForSeq2SeqLM.from_pretrained(
                path,
                config=model_config,
                dtype=torch.float32,
                attn_implementation=config.attention or shared,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # refused below, in one line
                output_loading_info=True,
                **options,
            )
    except LOADING_ERRORS as error:
        reason = textwrap.shorten(str(error), 240) or type(error).__name__
        raise UserError(f"model.path={path} cannot be loaded from {where}: {reason}") from error
    if info["mismatched_keys"]:
        name, found, expected = sorted(info["mismatched_keys"])[0]
        raise UserError(
            f"model.path={path}: {len(info['mismatched_keys'])} weights have another shape than "
            f"its config.json says: {name} is {tuple(found)}, not {tuple(expected)}"
        )
    if info["missing_keys"]:
        raise UserError(
            f"model.path={path}: {len(info['missing_keys'])} weights are missing, "
            f"{sorted(info['missing_keys'])[0]} among them; is it a whole sequence-to-sequence checkpoint?"
        )
    for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        if not isinstance(getattr(model.config, name, None), int):
            raise UserError(f"model.path={path}: config.json has no {name}")
    for module in model.modules():
        if isinstance(getattr(module, "act", None), NewGELUActivation):
            # FLAN-T5's activation in one kernel; transformers writes it out in eight.
            module.act = nn.GELU(approximate="tanh")
        elif type(module) is T5LayerNorm:
            module.__class__ = RMSNorm
    if config.lora.r:
        model = add_lora(model, config.lora)
    return Seq2SeqPolicy(model, tokenizer, config.max_input_tokens)


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers does not print its table of a checkpoint's faults."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)


def add_lora(model: Any, config: LoraConfig) -> Any:
    """The model with low-rank adapters; only they are trained.

    Raises:
        UserError: peft is not installed, or the model has no layer of the given names.
    """
    try:
        import peft
    except ImportError as error:
        raise UserError("model.lora.r needs peft: pip install peft") from error
    settings = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_2_SEQ_LM,
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        # peft takes its own name for all layers only outside a list.
        target_modules="all-linear" if "all-linear" in config.target_modules else config.target_modules,
    )
    try:
        return peft.get_peft_model(model, settings)
    except ValueError as error:
        raise UserError(f"model.lora.target_modules: {str(error).splitlines()[0]}") from error


class RMSNorm(T5LayerNorm):
    """T5's norm, the same numbers, with a backward pass of its own: fewer passes through memory."""

    def forward(self, hidden: Tensor) -> Tensor:
        normed: Tensor = _RMSNorm.apply(hidden, self.weight, self.variance_epsilon)
        return normed


class _RMSNorm(torch.autograd.Function):
    """y = x w / rms(x). With u = x / rms(x) and h = g w: dx = (h - u mean(h u)) / rms(x), dw = sum(g u)."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        given, dtype = hidden.dtype, torch.promote_types(hidden.dtype, torch.float32)
        hidden = hidden.to(dtype)
        scale = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).square_()
        scale = scale.div_(hidden.shape[-1]).add_(epsilon).rsqrt_()
        unit = hidden * scale
        ctx.save_for_backward(unit, scale, weight)
        ctx.dtype = given
        half = weight.dtype in (torch.float16, torch.bfloat16)
        normed: Tensor = (unit * weight).to(weight.dtype if half else dtype)
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        unit, scale, weight = ctx.saved_tensors
        inner = gradient * weight
        along = (inner * unit).mean(-1, keepdim=True)
        of_hidden = inner.addcmul_(unit, along, value=-1).mul_(scale)
        of_weight = (gradient * unit).flatten(0, -2).sum(0)
        return of_hidden.to(ctx.dtype), of_weight.to(weight.dtype), None
