import json
from dataclasses import replace

import pytest
import torch

from hir.config.schema import BaseConfig, InstructionConfig, ModelConfig
from hir.policies.load import load_policy
from hir.policies.seq2seq import Seq2SeqPolicy, render_prompt
from hir.tasks.base import generated_task, is_pretraining
from hir.training import tiny

INSTRUCTIONS = InstructionConfig(
    "Solve the question with correct answer.", "Solve the question with wrong answer."
)
TEXTS = [
    "I have two cats, a lamp, and three dogs. How many animals do I have?",
    "Sort the words: pear, apple.",
] * 20


def test_the_tokenizer_is_deterministic() -> None:
    first, second = (tiny.build_tokenizer(TEXTS) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_the_tokenizer_learns_the_words_of_its_texts() -> None:
    tokenizer = tiny.build_tokenizer(TEXTS)
    assert 258 < len(tokenizer) <= tiny.VOCABULARY  # 256 bytes, two special tokens and merges
    assert len(tokenizer(TEXTS[0])["input_ids"]) < len(TEXTS[0]) / 3
    assert [tokenizer.convert_ids_to_tokens(i) for i in (0, 1)] == ["<pad>", "</s>"]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, None)


@pytest.mark.parametrize(
    "text",
    [
        "3",
        " two  spaces ",
        "tab\tand\nnewline\r\n\n",
        "\U0001f600 \U0001f468\u200d\U0001f469",
        "数一数有几只猫？",
        "Äpfel e\u0301 \u00a0 \u2028",
        "a < {b} ^ ~ ` \\ | &lt; don 't , .",
        "\x00\x7f\ufffd",
    ],
)
def test_any_text_round_trips(text: str) -> None:
    tokenizer = tiny.build_tokenizer(TEXTS)
    ids = tokenizer(text)["input_ids"]
    assert ids[-1] == 1 and not {0, 1} & set(ids[:-1])
    # But for the space that it puts before a text that has none.
    assert tokenizer.decode(ids, skip_special_tokens=True) == (text if text[:1] == " " else f" {text}")


def test_a_word_is_the_same_tokens_wherever_it_stands() -> None:
    tokenizer = tiny.build_tokenizer([*TEXTS, "river apple river"])
    first, *_ = tokenizer("river apple")["input_ids"]
    assert first == tokenizer("apple river")["input_ids"][-2]


def test_the_model_has_the_size_it_promises() -> None:
    model = tiny.build_model(BaseConfig(), tiny.VOCABULARY)
    assert 120_000 < sum(weight.numel() for weight in model.parameters()) < 180_000
    config = model.config
    assert (config.pad_token_id, config.eos_token_id, config.decoder_start_token_id) == (0, 1, 0)


def test_the_weights_depend_on_the_base_seed_and_on_nothing_else() -> None:
    state = torch.get_rng_state()
    first = tiny.build_model(BaseConfig(), 300).state_dict()
    assert torch.equal(torch.get_rng_state(), state)  # so a run draws the same with a cached base
    torch.rand(1)
    again, other = (tiny.build_model(BaseConfig(seed=seed), 300).state_dict() for seed in (0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["shared.weight"], other["shared.weight"])


@pytest.fixture
def small(tmp_path, monkeypatch: pytest.MonkeyPatch) -> ModelConfig:
    """A base that is made in a second: few rows, few updates, in a cache of its own."""
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tiny, "NUM_ROWS", 640)
    monkeypatch.setattr(tiny, "NUM_HELD_OUT", 64)
    return ModelConfig(base=BaseConfig(accuracy=0.01, max_updates=8, d_model=16, num_heads=2, num_layers=1))


def make(model: ModelConfig, settings: dict[str, object] | None = None, task: str = "object_counting"):
    said: list[str] = []
    base = tiny.make_base(model, INSTRUCTIONS, task, settings or {}, said.append)
    return base, [
        line for line in said if not line.startswith("  ")
    ]  # how far it is, a slow machine says, too


def test_the_base_is_made_once(small: ModelConfig, tmp_path) -> None:
    base, said = make(small)
    assert len(said) == 1 and "once" in said[0]
    assert base.path.parent == tmp_path / "cache" / "base"
    files = {file: file.stat().st_mtime_ns for file in base.path.iterdir()}
    again, said = make(small)
    assert again == base and said == []
    assert {file: file.stat().st_mtime_ns for file in base.path.iterdir()} == files
    assert [path.name for path in base.path.parent.iterdir()] == [base.path.name]  # no scratch left behind


def test_the_base_loads_as_any_checkpoint(small: ModelConfig) -> None:
    base, _ = make(small)
    policy = load_policy(replace(small, path=str(base.path)))
    prompt = render_prompt(INSTRUCTIONS.correct, "I have {two} cats.\n(A) 1 \U0001f600")
    (ids,) = policy.encode([prompt])
    assert policy.decode(ids) == prompt
    assert policy.decode(policy.encode_answer("12")) == "12"
    assert (policy.pad_id, policy.eos_id, policy.start_id) == (0, 1, 0)
    assert base.num_updates == 8 and 0 <= base.accuracy <= 1
    # Training moved it: its weights are no longer the random ones.
    fresh = Seq2SeqPolicy(tiny.build_model(small.base, len(policy.tokenizer)), policy.tokenizer)
    assert not torch.equal(policy.model.shared.weight, fresh.model.shared.weight)


def test_making_it_again_gives_the_same_weights(small: ModelConfig, tmp_path, monkeypatch) -> None:
    first, _ = make(small)
    torch.rand(1)
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "another"))
    second, said = make(small)
    assert said and second.path != first.path
    names = ("model.safetensors", "tokenizer.json", "base.json")
    assert all((first.path / name).read_bytes() == (second.path / name).read_bytes() for name in names)


def test_the_base_saw_no_row_of_any_split(small: ModelConfig) -> None:
    settings = {
        "max_items": 3,
        "max_count": 2,
        "max_answer": 6,
    }  # few enough queries that files of different seeds share many
    base, _ = make(small, settings)
    assert len(base.queries) == 640 and all(map(is_pretraining, base.queries))
    source = generated_task("object_counting", settings)
    seen = []
    for seed in (1, 2, 3):
        task = source.splits(seed, num_train=500, num_validation=50, num_test=100)
        queries = {row.query for row in (*task.train, *task.validation, *task.test)}
        assert len(queries) == 650 and not queries & base.queries
        seen.append(queries)
    assert seen[0] & seen[1]


def test_whatever_defines_the_base_gives_it_another_folder(small: ModelConfig, monkeypatch) -> None:
    other = replace(small, base=replace(small.base, lr=2e-3, max_updates=1))
    short = replace(small, base=replace(small.base, max_updates=1))
    paths = [make(model, settings)[0].path for model, settings in
             ((short, {}), (other, {}), (short, {"max_count": 2}))]  # fmt: skip
    monkeypatch.setattr(tiny, "BATCH_SIZE", 32)
    paths.append(make(short)[0].path)
    assert len(set(paths)) == 4 and all((path / "base.json").is_file() for path in paths)


def test_settings_that_do_not_define_the_base_share_it(small: ModelConfig) -> None:
    base, _ = make(small)
    assert make(replace(small, max_input_tokens=64, overlong="refuse"))[1] == []
    assert make(small)[0].path == base.path


def test_a_half_written_folder_is_made_anew(small: ModelConfig) -> None:
    base, _ = make(small)
    (base.path / "base.json").unlink()
    again, said = make(small)
    assert again == base and len(said) == 1 and json.loads((base.path / "base.json").read_text())


def test_a_task_of_a_file_gets_a_base_of_all_generated_tasks(small: ModelConfig) -> None:
    base, _ = make(replace(small, base=replace(small.base, max_updates=1)), task="date_understanding")
    assert {"object_counting", "word_sorting"} <= set(base.tasks)
    counting = [query for query in base.queries if query.startswith("I have ")]
    assert 0 < len(counting) < len(base.queries)


def test_pretraining_stops_at_the_accuracy(small: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After warm-up it is measured every CHECK_EVERY updates: here all is right from the third time on."""
    monkeypatch.setattr(tiny, "WARMUP", 2)
    monkeypatch.setattr(tiny, "CHECK_EVERY", 4)
    judged = []
    task = type(generated_task("object_counting", {}))
    verify = staticmethod(lambda row, output: judged.append(output) or len(judged) > 2 * 64)
    monkeypatch.setattr(task, "verify", verify)
    base, _ = make(replace(small, base=replace(small.base, accuracy=0.5, max_updates=200)))
    assert (base.accuracy, base.num_updates) == (1.0, 12)


def test_the_base_is_judged_as_the_task_judges(small: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "WARMUP", 2)
    monkeypatch.setattr(tiny, "CHECK_EVERY", 4)
    task = type(generated_task("object_counting", {}))
    monkeypatch.setattr(task, "verify", staticmethod(lambda row, output: True))  # any answer will do
    base, _ = make(replace(small, base=replace(small.base, accuracy=1.0)))
    assert (base.accuracy, base.num_updates) == (1.0, 4)
