"""Loads any sequence-to-sequence or decoder-only checkpoint as a policy, with adapters if asked."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from hir.config.schema import LoraConfig, ModelConfig
from hir.errors import UserError, reason
from hir.policies.base import POLICIES, Policy
from hir.policies.smollm2 import find_model

DROPOUTS = ("dropout", "dropout_rate", "pdrop")
"""How the names end that models have for their dropout rates."""


def load_policy(config: ModelConfig) -> Policy:
    """The checkpoint at ``config.path``: a folder made by save_pretrained, or a name on the hub.

    Weights come as float32 from safetensors files only; code from a checkpoint is never run. UserError where
    nothing whole and loadable is there, or it is another kind of model.
    """
    where = f"model.path={config.path}"
    options: dict[str, Any] = {"trust_remote_code": False, "revision": config.revision or "main"}
    try:
        path = find_model(str(config.path))
        model_config = AutoConfig.from_pretrained(path, **options)
        if config.dropout is not None:
            names = [name for name in model_config.to_dict() if name.endswith(DROPOUTS)]
            model_config.update(dict.fromkeys(names, config.dropout))
        if getattr(model_config, "quantization_config", None):
            raise UserError(f"{where} is quantized, and float32 weights are trained: take one that is not")
        loader: Any = AutoModelForSeq2SeqLM if model_config.is_encoder_decoder else AutoModelForCausalLM
        # The T5 family has a policy of its own, of the same numbers.
        name = "t5" if model_config.model_type in ("t5", "mt5") else "seq2seq"
        kind = POLICIES[config.policy or (name if model_config.is_encoder_decoder else "causal")]
        # Whatever config.json says: it could name one whose code lies on the hub.
        model_config._attn_implementation = kind.attention
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        if tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys() <= {"\u2581"}:
            # transformers makes one up where it finds no file; ByT5's needs none.
            raise UserError(f"{where}: no tokenizer that knows a word there")
        options |= {"config": model_config, "dtype": torch.float32, "attn_implementation": kind.attention}
        # Weights of another shape are refused below, by name.
        options |= {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
        model, info = loader.from_pretrained(path, **options)
        if config.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the libraries raise any on a broken file; a tokenizer's is no Exception
        raise UserError(f"{where} cannot be loaded, from here or from the hub: {reason(error)}") from error
    unfit = [*sorted(info["missing_keys"]), *sorted(name for name, *_ in info["mismatched_keys"])]
    if unfit:
        what = f"{len(unfit)} weights are missing or of another shape than config.json says"
        raise UserError(f"{where}: {what}, {unfit[0]} among them")
    # An answer's odds are those of the policy and sampling.*, whatever penalties the checkpoint comes with.
    model.generation_config = type(model.generation_config)(eos_token_id=model.generation_config.eos_token_id)
    if config.chat_template and not tokenizer.chat_template:
        raise UserError(f"{where} has no chat template (a base model?): leave out model.chat_template")
    if config.chat_template is False:
        tokenizer.chat_template = None
    if config.lora.r:
        torch.manual_seed(0)  # peft draws from torch's own generator, which is seeded anew for each iteration
        model = add_lora(model, config.lora)
    try:
        policy: Policy = kind(model, tokenizer, config.max_input_tokens)
    except Exception as error:  # a model and a chat template fail at what they do not know in any way
        raise UserError(f"{where}: {reason(error)}") from error
    vocabulary = model.get_input_embeddings().num_embeddings
    start = getattr(policy, "start_id", 0)
    ids = {"pad_token_id": policy.pad_id, "eos_token_id": policy.eos_id, "decoder_start_token_id": start}
    for name, number in ids.items():
        if not isinstance(number, int) or not 0 <= number < vocabulary:
            raise UserError(f"{where}: {name} {number} is none of the {vocabulary} tokens of the model")
    return policy


def add_lora(model: Any, config: LoraConfig) -> Any:
    """The model with low-rank adapters; only they are trained.

    UserError where peft is not installed, or the model has no layer of the given names.
    """
    try:
        import peft
    except ImportError as error:
        raise UserError("model.lora.r needs peft: pip install peft") from error
    layers = config.target_modules
    settings = peft.LoraConfig(
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        # peft takes its own name for all layers only outside a list.
        target_modules="all-linear" if "all-linear" in layers else layers or None,
    )
    try:
        return peft.get_peft_model(model, settings)
    except ValueError as error:
        raise UserError(f"model.lora.target_modules: {str(error).splitlines()[0]}") from error
