import json
from dataclasses import replace

import pytest
import torch

from hir.config.schema import BaseConfig, Config, ModelConfig, TaskConfig
from hir.policies.load import load_policy
from hir.tasks.base import generated_task, is_pretraining
from hir.training import tiny


def test_the_tokenizer_is_deterministic_and_learns_the_words_of_its_texts() -> None:
    tokenizer, again = (tiny.build_tokenizer(["river apple river"]) for _ in range(2))
    assert tokenizer.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    first, second, end = tokenizer("river apple")["input_ids"]
    assert tokenizer("apple river")["input_ids"] == [second, first, end]  # wherever a word stands
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, end) == (0, 1, 1)


@pytest.mark.parametrize(
    "text",
    ["3", " two  spaces ", "tab\tand\nnewline\r\n\n", "\U0001f468\u200d 数一数 e\u0301 \x00", "&lt; ' ."],
)
def test_any_text_round_trips(text: str) -> None:
    tokenizer = tiny.build_tokenizer(["river"])
    ids = tokenizer(text)["input_ids"]
    assert ids[-1] == 1 and not {0, 1} & set(ids[:-1])
    # But for the space that it puts before a text that has none.
    assert tokenizer.decode(ids, skip_special_tokens=True) == (text if text[:1] == " " else f" {text}")


def test_the_weights_are_as_many_as_promised_and_draw_nothing_of_the_run() -> None:
    state = torch.get_rng_state()
    model = tiny.build_model(BaseConfig(), tiny.VOCABULARY)
    assert 120_000 < sum(weight.numel() for weight in model.parameters()) < 180_000
    assert torch.equal(torch.get_rng_state(), state)  # so a run draws the same with a cached base


@pytest.fixture
def small(tmp_path, monkeypatch: pytest.MonkeyPatch) -> ModelConfig:
    """A base that is made in a second: few rows, few updates, in a cache of its own."""
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tiny, "NUM_HELD_OUT", 64)
    base = BaseConfig(accuracy=0.01, max_updates=4, d_model=16, num_layers=1, num_rows=320)
    return ModelConfig(base=base)


def make(model: ModelConfig, **task: object) -> tuple[tiny.Base, list[str]]:
    """The base, and what was said."""
    said: list[str] = []
    return tiny.make_base(Config(model=model, task=TaskConfig(**task)), said.append), said


def test_the_base_is_made_once_loads_as_any_checkpoint_and_is_the_same_on_another_day(
    small: ModelConfig, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, said = make(small)
    assert len(said) == 1 and "once" in said[0] and base.num_updates == 4
    assert len(base.queries) == 320 and all(map(is_pretraining, base.queries))  # none of any split
    assert make(replace(small, max_input_tokens=64)) == (base, [])
    assert [*(tmp_path / "cache/base").iterdir()] == [base.path]  # no scratch left behind
    policy = load_policy(replace(small, path=str(base.path)))
    fresh = tiny.build_model(small.base, len(policy.tokenizer))
    assert not torch.equal(policy.model.shared.weight, fresh.shared.weight)  # training moved it
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "another"))
    torch.rand(1)
    second, said = make(small)
    assert said and second.path != base.path
    for name in ("model.safetensors", "tokenizer.json", "base.json"):
        assert (base.path / name).read_bytes() == (second.path / name).read_bytes()


def test_whatever_defines_the_base_gives_it_another_folder(small: ModelConfig) -> None:
    short = replace(small, base=replace(small.base, max_updates=1))
    other = replace(small, base=replace(small.base, d_model=32, max_updates=1))
    of_a_file, _ = make(short, name="snarks")
    made = [of_a_file, make(short)[0], make(other)[0], make(short, settings={"max_distractors": 0})[0]]
    assert len({base.path for base in made}) == 4
    given, texts = (make(short, name="date_understanding", answers=of)[0] for of in ("given", "text"))
    assert given.path != texts.path and given.queries == texts.queries
    counting = [query for query in of_a_file.queries if query.startswith("I have ")]
    assert 0 < len(counting) < len(of_a_file.queries)
    of_a_mix, _ = make(short, name="two", mix=["object_counting", "word_sorting"])
    longest = [max(len(query) for query in base.queries) for base in (of_a_file, of_a_mix)]
    assert make(short, name="files", mix=["snarks", "boojums"])[0] == of_a_file
    assert longest[1] > 200 > 120 > longest[0]  # a mix's rows are as difficult as the real ones


@pytest.mark.parametrize(("needed", "updates"), [(0, 4), (2 * 64, 12)])
def test_pretraining_stops_at_the_accuracy_that_the_tasks_own_judge_finds(
    small: ModelConfig, monkeypatch: pytest.MonkeyPatch, needed: int, updates: int
) -> None:
    """It is measured every CHECK_EVERY updates; once so many were judged any answer is right."""
    monkeypatch.setattr(tiny, "WARMUP", 2)
    monkeypatch.setattr(tiny, "CHECK_EVERY", 4)
    judged: list[str] = []
    task = type(generated_task("object_counting", {}))
    verify = staticmethod(lambda row, output: judged.append(output) or len(judged) > needed)
    monkeypatch.setattr(task, "verify", verify)
    base, _ = make(replace(small, base=replace(small.base, accuracy=0.5, max_updates=200)))
    made = json.loads((base.path / "base.json").read_text())
    assert (made["accuracy"], base.num_updates) == (1.0, updates)
