"""sampling=vllm, with a stand-in that answers by the weights it is handed and forgets them asleep."""

import sys
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from hir.config.schema import SamplingConfig
from hir.errors import UserError
from hir.policies.base import Policy
from hir.sampling.base import build_sampler
from hir.sampling.vllm import checkpoint_weights
from tests.sampling.models import check_log_probs, generated, make_causal_policy

PROMPTS = ["Q: dog A:", "right wrong Q: two one A:", "cat", "wrong Q: cat cat A:"]


class LLM:
    def __init__(self, model: str, load_format: str, dtype: str, logprobs_mode: str, **options: Any) -> None:
        assert (load_format, dtype, logprobs_mode) == ("dummy", "float32", "raw_logprobs")
        self.model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model)).requires_grad_(False)
        self.wake_up = self.reset_prefix_cache = lambda: None

    def sleep(self, level: int) -> None:
        for weight in self.model.parameters():
            weight.fill_(torch.nan)

    def apply_model(self, function: Any) -> None:
        function(SimpleNamespace(load_weights=lambda given: self.model.load_state_dict(dict(given))))

    def generate(self, prompts: list[Any], params: list[Any], use_tqdm: bool) -> list[Any]:
        asked = zip(prompts, params, strict=True)
        return [SimpleNamespace(outputs=[self.answer(**p, s=s, i=i) for i in range(s.n)]) for p, s in asked]

    def answer(self, prompt_token_ids: list[int], s: Any, i: int) -> Any:
        torch.manual_seed(s.seed + i)
        tokens, steps = list[int](), list[dict[int, Any]]()
        while len(tokens) < s.max_tokens and tokens[-1:] != s.stop_token_ids:
            own = self.model(torch.tensor([prompt_token_ids + tokens])).logits[0, -1].log_softmax(-1)
            drawn = (own / s.temperature).exp().multinomial(1) if s.temperature else own.argmax()
            tokens.append(int(drawn))
            steps.append({tokens[-1]: SimpleNamespace(logprob=float(own[tokens[-1]]))})
        return SimpleNamespace(token_ids=tokens, logprobs=steps)


@pytest.fixture
def policy(word_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Policy:
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=LLM, SamplingParams=SimpleNamespace))
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")  # and so put back afterwards
    return make_causal_policy("llama", word_tokenizer, attention_bias=True, tie_word_embeddings=False)


def test_answers_are_those_of_the_policy_as_it_is(policy: Policy) -> None:
    sampler = build_sampler(policy, SamplingConfig(name="vllm", max_new_tokens=5), 2)
    before, greedy = torch.get_rng_state(), []
    for _ in range(2):  # the second time with other weights
        greedy.append(sampler.greedy(PROMPTS))
        answers = sampler.sample(PROMPTS, 3, seed=1)
        assert answers == sampler.sample(PROMPTS, 3, seed=1) != sampler.sample(PROMPTS, 3, seed=2)
        assert greedy[-1] == [generated(policy, prompt, 5) for prompt in PROMPTS]
        check_log_probs(policy, PROMPTS, answers)
        policy.model.get_output_embeddings().weight.data.neg_()
    assert greedy[0] != greedy[1] and torch.equal(torch.get_rng_state(), before)
    assert sampler.sample([], 2, seed=1) == []


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_the_engine_gets_adapters_as_part_of_the_weights_that_they_change(policy: Policy) -> None:
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(policy.model, settings)
    handed = {name: weight.clone() for name, weight in checkpoint_weights(adapted)}
    torch.testing.assert_close(handed, dict(adapted.merge_and_unload().state_dict()))


def test_what_is_missing_is_said_in_a_line(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["vllm"], "LLM")
    with pytest.raises(UserError, match="^sampling=vllm cannot start vLLM: .* no attribute 'LLM'$"):
        build_sampler(policy, SamplingConfig(name="vllm"), 2).greedy(PROMPTS)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="^sampling=vllm needs vLLM: pip install vllm$"):
        build_sampler(policy, SamplingConfig(name="vllm"), 2)
