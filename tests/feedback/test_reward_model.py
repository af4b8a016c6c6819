"""A reward model as the judge: tiny and random, or with a head set by hand."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from hir.errors import UserError
from hir.feedback.base import Feedback, Match, build_feedback
from hir.records import Constraint, Example

Save = Callable[..., Path]
CAT = Example("cat dog", ("two",))
RIGHT = Example("dog", ("one",), constraints=(Constraint("right", "length"),))


@pytest.fixture
def save(tmp_path: Path, word_tokenizer: Any) -> Save:
    """Saves a BERT of one layer with these labels; with a bias it gives that, whatever it reads."""

    def make(labels: list[str], bias: list[float] | None = None) -> Path:
        config = BertConfig(
            vocab_size=len(word_tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=12, initializer_range=0.5, pad_token_id=0,
            id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            model = BertForSequenceClassification(config)
        if bias:
            model.classifier.weight.data.zero_()
            model.classifier.bias.data = torch.tensor(bias)
        model.save_pretrained(tmp_path)
        word_tokenizer.save_pretrained(tmp_path)
        return tmp_path

    return make


def reward(folder: Path, **settings: Any) -> Feedback:
    named = {"name": "reward_model", "model": str(folder), **settings}
    return build_feedback(named, Match())


def scores(feedback: Feedback, *outputs: str) -> list[float]:
    return [verdict.score for verdict in feedback([CAT] * len(outputs), outputs)]


@pytest.mark.parametrize(("label", "score"), [("good", 0.8), ("bad", 0.2)])  # 4 / 5 and 1 / 5
def test_a_logit_becomes_a_score_and_by_the_threshold_right(save: Save, label: str, score: float) -> None:
    folder = save(["bad", "good"], [0.0, math.log(4)])
    for threshold in (0.3, 0.6, 0.9):
        [verdict] = reward(folder, threshold=threshold, label=label)([CAT], ["two"])
        assert verdict.score == pytest.approx(score) and verdict.judged
        assert verdict.correct == (score >= threshold)


def test_it_reads_query_instruction_and_answer_as_a_pair_and_cuts_long_ones(save: Save) -> None:
    feedback = reward(folder := save(["reward"]), batch_size=2)
    rows, outputs = [CAT, RIGHT, CAT], ["two", "one one one one", "one"]
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    # cat dog </s> two </s>; dog right </s> one one one one </s>; cat dog </s> one </s>
    ids = [[7, 8, 1, 10, 1], [8, 5, 1, 9, 9, 9, 9, 1], [7, 8, 1, 9, 1]]
    expected = [model(input_ids=torch.tensor([row])).logits.sigmoid().item() for row in ids]
    given = [verdict.score for verdict in feedback(rows, outputs)]
    assert given == pytest.approx(expected, abs=1e-5) and len({round(score, 2) for score in given}) == 3
    with torch.autocast("cpu", torch.bfloat16):  # as evaluation may ask
        assert [verdict.score for verdict in feedback(rows, outputs)] == given
    assert feedback([], []) == []

    long = reward(folder, max_tokens=12)
    # Of 12 tokens, 2 and 2 </s> are the prompt's, and 8 are left.
    nine, eight, seven = scores(long, *(" ".join(["two"] * n) for n in (9, 8, 7)))
    assert nine == pytest.approx(eight) != pytest.approx(seven)


def test_a_score_that_is_no_number_is_left_out(save: Save) -> None:
    feedback = reward(save(["reward"], [math.nan]))
    assert [(v.judged, v.correct, v.note) for v in feedback([CAT], ["two"])] == [(False, False, "no number")]
    with pytest.raises(UserError, match="feedback.model=.* failed on 8 of 8 answers: no number"):
        scores(feedback, *["two"] * 8)


def test_what_is_no_reward_model_is_refused(save: Save) -> None:
    whole = save(["bad", "good"])
    for settings, said in (
        *(({"label": label}, "feedback.label must be one of bad, good") for label in (None, "best")),
        ({"model": ""}, "feedback.model must be a folder"),
    ):
        with pytest.raises(UserError, match=said):
            reward(whole, **settings)
    BertForSequenceClassification.from_pretrained(whole).bert.save_pretrained(whole)
    with pytest.raises(UserError, match="no whole sequence classifier, it lacks classifier.bias"):
        reward(whole)


@pytest.mark.parametrize(
    ("files", "content", "said"),
    [
        ("model.safetensors", "{}", "cannot be loaded"),
        ("model.safetensors", None, "cannot be loaded.* no file named model.safetensors"),
        ("config.json", None, "cannot be loaded"),
        ("tokenizer*", None, "no tokenizer there that fits the model"),  # transformers would make one up
        ("tokenizer_config.json", None, "no tokenizer there that fits the model"),  # and more tokens here
    ],
)
def test_a_broken_folder_is_refused(save: Save, files: str, content: str | None, said: str) -> None:
    folder = save(["reward"])
    torch.save({}, folder / "pytorch_model.bin")  # which is never read
    for path in folder.glob(files):
        path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=f"feedback.model=.*{said}") as error:
        reward(folder)
    assert "\n" not in str(error.value)
