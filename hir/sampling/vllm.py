"""Sampling with vLLM: an engine in the trainer's process, one on each GPU.

Written against what vLLM documents and tested with a stand-in: docs/vllm.md says what has not been run.
"""

import importlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hir.config.schema import SamplingConfig
from hir.distributed import rank
from hir.errors import UserError, reason
from hir.policies.base import padded
from hir.randomness import derive_seed
from hir.sampling.base import Batches, Prompts, Sampler, register


@register("vllm")
class VLLMSampler(Sampler):
    """A Sampler of a decoder-only policy; UserError where vLLM is not installed or cannot start.

    Every ``draw`` hands the engine the policy's weights; in between it sleeps, its memory on the GPU free.
    It makes batches of its own: ``batch_size`` is not asked for.
    """

    def __init__(self, policy: Any, config: SamplingConfig, greedy_batch_size: int) -> None:
        super().__init__(policy, config, greedy_batch_size)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        try:
            self.vllm: Any = importlib.import_module("vllm")
        except ImportError as error:
            raise UserError("sampling=vllm needs vLLM: pip install vllm") from error
        self.engine: Any = None

    def draw(self, encoded: Prompts, num_samples: int, seed: int | None, config: SamplingConfig) -> Batches:
        device, eos = self.policy.device, self.policy.eos_id
        given: dict[str, Any] = {"n": num_samples, "max_tokens": config.max_new_tokens, "logprobs": 0}
        given |= {"temperature": config.temperature, "top_k": config.top_k, "top_p": config.top_p}
        given |= {"temperature": 0.0} if seed is None else {}
        # The end tokens are the policy's, whatever the model's files say.
        given |= {"ignore_eos": True, "stop_token_ids": sorted(self.policy.end_ids), "detokenize": False}
        seeds = [derive_seed(seed or 0, i, 0, "vllm") for i in encoded]
        params = [self.vllm.SamplingParams(seed=own, **given) for own in seeds]
        mixed = torch.is_autocast_enabled(device.type)
        # The engine seeds torch's generators, and is not to meet the trainer's autocast.
        generators = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with generators, torch.autocast(device.type, enabled=False):
            if self.engine is None:
                self.engine = self._start("bfloat16" if mixed else "float32")
            if not encoded:  # a rank without prompts starts it all the same, for ranks do so together
                return
            self.engine.wake_up()
            self.engine.apply_model(lambda model: model.load_weights(checkpoint_weights(self.policy.model)))
            self.engine.reset_prefix_cache()  # keys of the weights before
            prompts = [{"prompt_token_ids": ids} for ids in encoded.values()]
            answered = self.engine.generate(prompts, params, use_tqdm=False)
            self.engine.sleep(level=1)
        answers = [answer for of_prompt in answered for answer in of_prompt.outputs]
        steps = [zip(answer.token_ids, answer.logprobs, strict=True) for answer in answers]
        log_probs = [torch.tensor([of_step[token].logprob for token, of_step in answer]) for answer in steps]
        yield padded([answer.token_ids for answer in answers], eos), pad_sequence(log_probs, batch_first=True)

    def _start(self, dtype: str) -> Any:
        policy = self.policy
        # As torchrun says it: from that alone an engine learns its device. Whoever started several processes
        # has said it already, and address and port, any free one, are read where there is no process group.
        place = {"RANK": rank(), "LOCAL_RANK": policy.device.index or 0, "MASTER_ADDR": "127.0.0.1"}
        for name, value in {**place, "MASTER_PORT": 0}.items():
            os.environ.setdefault(name, str(value))
        options: dict[str, Any] = {
            "distributed_executor_backend": "external_launcher",
            "gpu_memory_utilization": self.config.gpu_memory_utilization,
            "max_model_len": policy.max_input_tokens + self.config.max_new_tokens,
            "logprobs_mode": "raw_logprobs",  # at temperature 1 and without cuts
        }
        options |= {"load_format": "dummy", "skip_tokenizer_init": True, "enable_sleep_mode": True}
        try:
            with tempfile.TemporaryDirectory() as folder:
                policy.model.config.save_pretrained(folder)
                engine = self.vllm.LLM(model=folder, dtype=dtype, **options)
                engine.sleep(level=1)
                return engine
        except Exception as error:  # of the machine or the model
            raise UserError(f"sampling=vllm cannot start vLLM: {reason(error)}") from error


def checkpoint_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Name in a checkpoint and value of each weight of a model, low-rank adapters (peft) added to theirs."""
    for name, weight in model.named_parameters():
        owner, adapted, _ = name.rpartition(".base_layer.weight")
        if adapted:
            layer = model.get_submodule(owner)
            weight = sum((layer.get_delta_weight(adapter) for adapter in layer.active_adapters), weight)
        if ".lora_" not in name:
            yield name.removeprefix("base_model.model.").replace(".base_layer", ""), weight.detach()
