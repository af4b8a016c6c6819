import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ByT5Tokenizer, GPT2Config, T5Config, T5ForConditionalGeneration

from hir.config.schema import LoraConfig, ModelConfig
from hir.errors import UserError
from hir.policies.load import load_policy
from hir.policies.seq2seq import Seq2SeqPolicy
from hir.t5 import attention
from tests.policies.rows import ROWS


def load(path: object, **config) -> Seq2SeqPolicy:
    return load_policy(ModelConfig(name="test", path=str(path), **config))


def test_load_gives_back_what_was_saved(folder: Path, policy: Seq2SeqPolicy) -> None:
    loaded = load(folder, max_input_tokens=6)
    saved = policy.model.state_dict()
    assert loaded.model.state_dict().keys() == saved.keys()
    assert all(torch.equal(weight, saved[name]) for name, weight in loaded.model.state_dict().items())
    assert loaded.encode(["right Q: dog"]) == [[5, 3, 8, 1]]
    assert (loaded.pad_id, loaded.eos_id, loaded.start_id) == (0, 1, 0)
    assert loaded.max_input_tokens == 6


def test_weights_saved_as_bf16_come_as_float32(tmp_path: Path, policy: Seq2SeqPolicy) -> None:
    policy.model.bfloat16().save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.model.shared.weight, policy.model.shared.weight.float())


def test_dropout_overrides_the_checkpoint(folder: Path) -> None:
    def rates(policy: Seq2SeqPolicy) -> set[float]:
        return {module.p for module in policy.modules() if isinstance(module, torch.nn.Dropout)}

    assert rates(load(folder)) == {0.0}
    assert rates(load(folder, dropout=0.25)) == {0.25}


def test_t5_packs_outputs_unless_another_attention_is_asked_for(folder: Path) -> None:
    rows = [*ROWS, replace(ROWS[0], output_ids=(7, 8, 1))]
    logits = []
    for asked, used in ((None, attention.NAME), ("eager", "eager"), ("sdpa", "sdpa")):
        policy = load(folder, attention=asked).double()
        assert policy.model.config._attn_implementation == used
        logits.append(policy(policy.collate(rows)).logits)
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0], rtol=1e-6, atol=1e-6)


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def pickle_only(folder: Path) -> None:
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def causal(folder: Path) -> None:
    GPT2Config(vocab_size=11, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=1).save_pretrained(
        folder
    )


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def one_missing(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["decoder.block.0.layer.0.SelfAttention.q.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (shutil.rmtree, " is no folder here"),
    "pickle": (pickle_only, "no file named model.safetensors"),
    "causal": (causal, "a gpt2 model is not sequence-to-sequence"),
    "cut short": (cut_short, "cannot be loaded, from here or from the hub: "),
    "one missing": (
        one_missing,
        "1 weights are missing or of another shape than config.json says, "
        "decoder.block.0.layer.0.SelfAttention.q.weight among them",
    ),
    "other shape": (lambda folder: edit_config(folder, d_ff=48), "4 weights are missing or of another shape"),
    "wrong type": (lambda folder: edit_config(folder, num_heads="two"), "'num_heads' expected int, got str"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "not a valid JSON file"),
    "half a tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
    "no tokenizer": (
        without_tokenizer,
        "no tokenizer that knows a word there, neither spiece.model nor tokenizer.json",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_folder_is_refused_in_one_line(folder: Path, fault: str) -> None:
    break_it, said = BROKEN[fault]
    break_it(folder)
    with pytest.raises(UserError) as error:
        load(folder)
    message = str(error.value)
    assert message.startswith(f"model.path={folder}") and said in message and "\n" not in message


def test_byt5_needs_no_file_of_words_and_loses_no_character(tmp_path: Path) -> None:
    shape = T5Config(vocab_size=384, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
                     decoder_start_token_id=0)  # fmt: skip
    T5ForConditionalGeneration(shape).save_pretrained(tmp_path)
    ByT5Tokenizer().save_pretrained(tmp_path)
    policy = load(tmp_path)
    assert policy.token_ids(["a", "bc\u00e9"]) == [
        [100, 1],
        [101, 102, 198, 172, 1],
    ]  # bytes + 3
    for text in ("if a < b: {c} &lt; ~ caf\u00e9 , \U0001f600 .", "&amp;lt; \u2581 a  b\nc"):
        assert policy.decode(policy.encode_answer(text)) == policy.text.escape(text) == text


CANNOT = "cannot be loaded, from here or from the hub: "


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("hir-test/no-such-model", CANNOT),
        *((path, "is no folder here, and no name") for path in ("./none", "~/none", "one/two/three")),
    ],
)
def test_what_is_neither_here_nor_on_the_hub(path: str, reason: str, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"model.path={path} {reason}")
    assert "\n" not in message


# Adapters. peft asks transformers for an attribute under its former name.
peft_warning = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def trainable(policy: Seq2SeqPolicy) -> set[str]:
    return {name for name, weight in policy.named_parameters() if weight.requires_grad}


@peft_warning
def test_lora_trains_adapters_of_the_named_layers_alone(folder: Path) -> None:
    policy = load(folder, lora=LoraConfig(r=2, target_modules=["q"]))
    names = trainable(policy)
    # One q in the encoder and two in the decoder (self and cross), two matrices each.
    assert len(names) == 6 and all(".q.lora_" in name for name in names)
    # 16 x 2 and 2 x 16 numbers an adapter
    assert sum(w.numel() for w in policy.parameters() if w.requires_grad) == 3 * 2 * 32
    # Every linear layer but the head.
    names = trainable(load(folder, lora=LoraConfig(r=2, target_modules=["all-linear"])))
    assert {name.partition(".lora_")[0].rpartition(".")[2] for name in names} == {*"qkvo", "wi", "wo"}


@pytest.mark.parametrize("lora", [False, True])
@peft_warning
def test_the_frozen_policy_stays_where_it_was(folder: Path, lora: bool) -> None:
    policy = load(folder, lora=LoraConfig(r=2 if lora else 0))
    frozen, batch = policy.frozen(), policy.collate(ROWS)
    before = policy(batch).logits
    with torch.no_grad():
        for weight in policy.parameters():
            if weight.requires_grad:
                weight.add_(0.1)
    assert (policy(batch).logits - before).abs().max() > 1e-3
    torch.testing.assert_close(frozen(batch).logits, before)
    assert (policy(batch).logits - before).abs().max() > 1e-3  # adapters are on again


@peft_warning
def test_lora_on_layers_that_are_not_there(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^model\.lora\.target_modules: .*no_such_layer.*") as error:
        load(folder, lora=LoraConfig(r=2, target_modules=["no_such_layer"]))
    assert "\n" not in str(error.value)


def test_untied_output_head_stays_untied(folder: Path) -> None:
    """FLAN-T5 stores an lm_head of its own; a loader that tied it to the embedding would lose the model."""
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["shared.weight"] + 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load(folder).model
    assert torch.equal(loaded.lm_head.weight, weights["lm_head.weight"])
    assert torch.equal(loaded.shared.weight, weights["shared.weight"])
