import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hir.config.schema import LoraConfig, ModelConfig
from hir.errors import UserError
from hir.policies.load import load_policy
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.t5 import packing
from tests.policies.rows import ROWS


def load(path: object, **config) -> Seq2SeqPolicy:
    return load_policy(ModelConfig(name="test", path=str(path), **config))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_load_gives_back_what_was_saved_as_float32(tmp_path: Path, policy: Seq2SeqPolicy) -> None:
    """FLAN-T5 stores an lm_head of its own; a loader that tied it to the embedding would lose the model."""
    saved = policy.model.bfloat16().state_dict()
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    saved["lm_head.weight"] = saved["shared.weight"] + 1
    change_weights(tmp_path, lambda weights: weights.update({"lm_head.weight": saved["lm_head.weight"]}))
    loaded = load(tmp_path, max_input_tokens=6)
    weights = loaded.model.state_dict()
    assert weights.keys() == saved.keys()
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(torch.equal(weight, saved[name].float()) for name, weight in weights.items())
    assert loaded.encode(["right Q: dog"]) == [[5, 3, 8, 1]]
    assert (loaded.pad_id, loaded.eos_id, loaded.start_id) == (0, 1, 0)
    assert loaded.max_input_tokens == 6


def test_dropout_overrides_the_checkpoint(folder: Path) -> None:
    for dropout, rate in ((None, 0.0), (0.25, 0.25)):
        modules = load(folder, dropout=dropout).modules()
        assert {module.p for module in modules if isinstance(module, torch.nn.Dropout)} == {rate}


def test_t5_packs_outputs_unless_the_plain_policy_is_asked_for(folder: Path) -> None:
    rows = [*ROWS, replace(ROWS[0], output_ids=(7, 8, 1))]
    logits = []
    for asked, used in ((None, packing.ATTENTION), ("seq2seq", "sdpa")):
        policy = load(folder, policy=asked).double()
        assert policy.model.config._attn_implementation == used
        logits.append(policy(policy.collate(rows)).logits)
    torch.testing.assert_close(*logits, rtol=1e-6, atol=1e-6)


def pickle_only(folder: Path) -> None:
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def neither(folder: Path) -> None:
    transformers.ViTConfig().save_pretrained(folder)


def bidirectional(folder: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=11, pad_token_id=0, **sizes)
    transformers.BertLMHeadModel(config).save_pretrained(folder)


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


MISSING = "decoder.block.0.layer.0.SelfAttention.q.weight"


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (pickle_only, "no file named model.safetensors"),
        (neither, "Unrecognized configuration class"),
        (bidirectional, "a bert model is not the same in a tree as in single rows"),
        (
            lambda folder: change_weights(folder, lambda weights: weights.pop(MISSING)),
            f"1 weights are missing or of another shape than config.json says, {MISSING} among them",
        ),
        (partial(edit, d_ff=48), "4 weights are missing or of another shape"),
        (partial(edit, quantization_config={"x": 1}), "is quantized, and float32 weights are trained"),
        (without_tokenizer, "no tokenizer that knows a word there"),
    ],
)
def test_a_broken_folder_is_refused_with_the_reason(
    folder: Path, break_it: Callable[[Path], object], said: str
) -> None:
    """More of them: tests/robustness/test_model_folders.py."""
    break_it(folder)
    with pytest.raises(UserError) as error:
        load(folder)
    assert str(error.value).startswith(f"model.path={folder}") and said in str(error.value)


def test_byt5_needs_no_file_of_words_and_loses_no_character(tmp_path: Path) -> None:
    sizes = {"vocab_size": 384, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    config = transformers.T5Config(**sizes, decoder_start_token_id=0)
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    transformers.ByT5Tokenizer().save_pretrained(tmp_path)
    policy = load(tmp_path)
    assert policy.encode_answer("bc\u00e9") == (101, 102, 198, 172, 1)  # bytes + 3
    for text in ("if a < b: {c} &lt; ~ caf\u00e9 , \U0001f600 .", "&amp;lt; \u2581 a  b\nc"):
        assert policy.decode(policy.encode_answer(text)) == policy.text.escape(text) == text


@pytest.mark.parametrize("path", ["hir-test/no-such-model", "./none", "~/none", "one/two/three"])
def test_what_is_neither_here_nor_on_the_hub(path: str, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"model.path={path} cannot be loaded, from here or from the hub: ")
    assert "\n" not in message
    with pytest.raises(UserError, match=r"^model.path=~/model.gguf is a GGUF: give the folder"):
        load("~/model.gguf")


# Adapters. peft asks transformers for an attribute under its former name.
peft_warning = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@peft_warning
def test_lora_trains_adapters_of_the_named_layers_alone(folder: Path) -> None:
    def trained(*layers: str) -> dict[str, torch.Size]:
        policy = load(folder, lora=LoraConfig(r=2, target_modules=list(layers)))
        return {name: weight.shape for name, weight in policy.named_parameters() if weight.requires_grad}

    # One q in the encoder and two in the decoder (self and cross), two matrices each.
    shapes = trained("q")
    assert len(shapes) == 6 and all(".q.lora_" in name for name in shapes)
    assert {*shapes.values()} == {(16, 2), (2, 16)}
    one, again = (load(folder, lora=LoraConfig(r=2)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)  # whatever torch drew before
    # Every linear layer but the head.
    layers = {name.partition(".lora_")[0].rpartition(".")[2] for name in trained("all-linear")}
    assert layers == {*"qkvo", "wi", "wo"}
    with pytest.raises(UserError, match=r"^model\.lora\.target_modules: .*no_such_layer.*") as error:
        trained("no_such_layer")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rank", [0, 2])
@peft_warning
def test_the_frozen_policy_stays_where_it_was(folder: Path, rank: int) -> None:
    policy = load(folder, dropout=0.5, lora=LoraConfig(r=rank)).train()
    frozen, batch = policy.frozen(), policy.collate(ROWS)
    before = policy.eval()(batch).logits
    with torch.no_grad():
        for weight in policy.parameters():
            if weight.requires_grad:
                weight.add_(0.1)
    assert (policy(batch).logits - before).abs().max() > 1e-3
    torch.testing.assert_close(frozen(batch).logits, before)
    assert (policy(batch).logits - before).abs().max() > 1e-3  # adapters are on again
