"""Loads FLAN-T5 or any sequence-to-sequence checkpoint as a policy, with adapters if asked."""

import os
import textwrap
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

from hir.config.parts import LoraConfig
from hir.config.schema import ModelConfig
from hir.errors import UserError
from hir.policies.base import POLICIES
from hir.policies.seq2seq import Seq2SeqPolicy


def load_policy(config: ModelConfig) -> Seq2SeqPolicy:
    """The checkpoint at ``config.path``: a folder made by save_pretrained, or a name on the hub.

    Weights come as float32 from safetensors files only; code from a checkpoint is never run.

    Raises:
        UserError: nothing whole and loadable is there, or it is no encoder-decoder model.
    """
    path, where = os.path.expanduser(str(config.path)), f"model.path={config.path}"
    options: dict[str, Any] = {"trust_remote_code": False, "revision": config.revision or "main"}
    try:
        model_config = AutoConfig.from_pretrained(path, **options)
        if not model_config.is_encoder_decoder:
            raise UserError(f"{where}: a {model_config.model_type} model is not sequence-to-sequence")
        if config.dropout is not None:
            model_config.dropout_rate = config.dropout
        # The T5 family has a policy of its own, of the same numbers.
        kind = POLICIES[config.policy or ("t5" if model_config.model_type in ("t5", "mt5") else "seq2seq")]
        # Whatever config.json says: it could name one whose code lies on the hub.
        model_config._attn_implementation = kind.attention
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        if tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys() <= {"\u2581"}:
            # transformers makes one up where it finds no file; ByT5's needs none.
            raise UserError(f"{where}: no tokenizer that knows a word there")
        options |= {"config": model_config, "dtype": torch.float32, "attn_implementation": kind.attention}
        # Weights of another shape are refused below, by name.
        options |= {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
        model, info = AutoModelForSeq2SeqLM.from_pretrained(path, **options)
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the libraries raise any on a broken file; a tokenizer's is no Exception
        reason = textwrap.shorten(str(error), 240) or type(error).__name__
        raise UserError(f"{where} cannot be loaded, from here or from the hub: {reason}") from error
    unfit = [*sorted(info["missing_keys"]), *sorted(name for name, *_ in info["mismatched_keys"])]
    if unfit:
        what = f"{len(unfit)} weights are missing or of another shape than config.json says"
        raise UserError(f"{where}: {what}, {unfit[0]} among them")
    vocabulary = model.get_input_embeddings().num_embeddings
    for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        number = getattr(model.config, name, None)
        if not isinstance(number, int) or not 0 <= number < vocabulary:
            raise UserError(f"{where}: {name} {number} is none of the {vocabulary} tokens of the model")
    if config.lora.r:
        model = add_lora(model, config.lora)
    policy: Seq2SeqPolicy = kind(model, tokenizer, config.max_input_tokens)
    return policy


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
