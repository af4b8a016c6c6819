"""Whatever a model folder holds, it loads or one line says what is wrong; nothing of it is ever run."""

import json
import os
import pickle
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hir.config.schema import ModelConfig
from hir.errors import UserError
from hir.files import making
from hir.policies.load import load_policy

Break = Callable[[Path], object]


def put(name: str, content: bytes | str) -> Break:
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(content)


def edit(name: str = "config.json", **changes: object) -> Break:
    return lambda folder: put(name, json.dumps({**json.loads((folder / name).read_text()), **changes}))(
        folder
    )


def instead(name: str, make: Break) -> Break:
    return lambda folder: ((folder / name).unlink(), make(folder / name))


def shards_that_lead_out(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"x": "../../../etc/passwd"}, "metadata": {}}
    put("model.safetensors.index.json", json.dumps(index))(folder)


class Touch:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def pickles(folder: Path) -> None:
    for name in ("pytorch_model.bin", "adapter_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(pickle.dumps(Touch(folder.parent / "canary")))


def code(folder: Path) -> None:
    names = "T5Config as C, T5ForConditionalGeneration as M, PreTrainedTokenizerFast as T"
    text = f"import os; os.mkdir({str(folder.parent / 'canary')!r})\nfrom transformers import {names}\n"
    (folder / "custom_generate").mkdir()
    for name in ("evil.py", "custom_generate/generate.py", "modeling_t5.py", "__init__.py"):
        (folder / name).write_text(text)
    classes = {"AutoConfig": "evil.C", "AutoModelForSeq2SeqLM": "evil.M", "AutoTokenizer": ["evil.T"] * 2}
    edit(auto_map=classes)(folder)
    edit("tokenizer_config.json", auto_map=classes, tokenizer_class="T")(folder)


def adapter(folder: Path) -> None:
    pickles(folder)
    settings = {"peft_type": "LORA", "r": 2, "target_modules": ["q"], "task_type": "SEQ_2_SEQ_LM"}
    put("adapter_config.json", json.dumps({**settings, "base_model_name_or_path": "x/y"}))(folder)


DEEP = "[" * 100_000
SPLIT = {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}
CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
NO_FILE: dict[str, Break] = {
    "a pipe": os.mkfifo, "a folder": Path.mkdir, "a device": lambda path: path.symlink_to("/dev/zero"),
    "a loop": lambda path: path.symlink_to(path),
    "6 GiB of zeros": lambda path: (path.touch(), os.truncate(path, 6 * 2**30)),
}  # fmt: skip
REFUSED: dict[str, Break] = {
    **{f"{key} {value}": edit(**{key: value}) for key, values in {
        "num_heads": (0,), "d_model": (0, 10**30), "vocab_size": (0, 8),
        "relative_attention_num_buckets": (0,), "dropout_rate": (2.0, "x"),
        "pad_token_id": (10**9, None, [0]), "eos_token_id": (11,),
        "decoder_start_token_id": (None, "0"), "model_type": ("evil", ["t5"], None, "bert"),
        "quantization_config": ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "x"),
    }.items() for value in values},
    **{f"{name} {kind}": instead(name, make) for kind, make in NO_FILE.items()
       for name in ("config.json", "model.safetensors", "tokenizer.json")},
    **{f"{name} {text[:9]}": put(name, text) for text in ("", "[]", DEEP)
       for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")},
    "an adapter": adapter,
    "a header of 2^60 bytes": put("model.safetensors", struct.pack("<Q", 2**60) + b"{}"),
    "nothing in it": put("model.safetensors", struct.pack("<Q", 2) + b"{}"),
    "shards that lead out": shards_that_lead_out, "generation": put("generation_config.json", "[]"),
    "a broken regular expression": edit("tokenizer.json", pre_tokenizer=SPLIT),
    "a broken map": edit("tokenizer.json", normalizer=CHARSMAP),
    "a number as token": edit("tokenizer_config.json", pad_token=5),
}  # fmt: skip
LOADED: dict[str, Break] = {
    "whole": lambda folder: None, "pickles beside": pickles, "code beside": code,
    "more keys": edit(architectures="x", transformers_version=5, _name_or_path="../../etc"),
    "an attention of the hub": edit(attn_implementation="evil/kernel"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.filterwarnings("ignore")  # of the libraries, before they raise
@pytest.mark.parametrize("name", [*REFUSED, *LOADED])
def test_a_hostile_folder_is_refused_in_one_line_or_loads(folder: Path, name: str) -> None:
    ({**REFUSED, **LOADED}[name])(folder)
    if name in LOADED:
        load_policy(ModelConfig(name="test", path=str(folder)))
    else:
        with pytest.raises(UserError) as error:
            load_policy(ModelConfig(name="test", path=str(folder)))
        line = str(error.value)
        assert line.startswith(f"model.path={folder}") and line.isprintable() and len(line) < 600
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # nothing was executed


def test_what_a_killed_process_left_in_the_cache_goes_when_it_is_old(tmp_path: Path) -> None:
    for name, age in ((".made.ab.tmp", 7200), (".made.cd.tmp", 60)):  # the second may still be at work
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with making(tmp_path / "made"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"made", ".made.cd.tmp"}
    (tmp_path / "made" / "kept").touch()
    with pytest.raises(UserError, match="made cannot be written: Directory not empty"):
        with making(tmp_path / "made", cache=False):
            pass
