"""A language model as the judge: an endpoint on this machine, or the policy's own start."""

import json
import re
import sys
import threading
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hir.errors import UserError
from hir.feedback.base import Feedback, Match, build_feedback
from hir.feedback.judge import Judge
from hir.records import Constraint, Example, Verdict
from tests.command_line import SMALL, run
from tests.endpoint import KEY, Endpoint, said, url

ROW = Example("How many?", ("3", "three"))
RIGHT, WRONG = Verdict(True, 1.0), Verdict(False, 0.0)


def judge(endpoint: Endpoint, **settings: Any) -> Feedback:
    small = {"base_url": url(endpoint), "model": "m", "retries": 2, "timeout": 10.0}
    return build_feedback({"name": "judge", **small, **settings}, Match())


def one(feedback: Feedback, output: str = "3") -> Verdict:
    [verdict] = feedback([ROW], [output])
    return verdict


def test_it_is_asked_in_the_prompt_once_about_each_different_answer(endpoint: Endpoint) -> None:
    row = Example("Go.", (), constraints=(Constraint("Be brief.", "a"), Constraint("Be loud.", "b")))
    endpoint.reply = lambda prompt: "no" if "{target}" in prompt else "yes"
    prompt = "{instruction}|{query}|{answer}|{target}|{json}"
    feedback = judge(endpoint, prompt=prompt, request={"max_tokens": 9})
    assert feedback([ROW, row, ROW, ROW], ["3", "{target}", "3", "4"]) == [RIGHT, WRONG, RIGHT, RIGHT]
    asked = sorted(request["messages"][0]["content"].partition(" End with")[0] for request in endpoint.asked)
    assert asked == sorted(["|How many?|3|3 or three|{json}", "|How many?|4|3 or three|{json}",
                            "Be brief.; Be loud.|Go.|{target}|not known|{json}"])  # fmt: skip
    first = endpoint.asked[0]
    assert (first["model"], first["max_tokens"], first["temperature"]) == ("m", 9, 0)
    assert (first["path"], first["key"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert feedback.name == "judge m at 127.0.0.1"


REPLIES = [
    (1, "yes", RIGHT),
    (1, "**No.**", WRONG),
    (1, "It says no.\nBut it is right.\n\n  Yes \n", RIGHT),
    (1, "I can say neither yes nor no", None),
    (1, "score: 1 of 1", None),
    (10, "score: 10 of 10", RIGHT),
    (10, "A try.\n**Score: 7/10**", Verdict(False, 0.7)),
    (10, "score: 9.5 out of 10.", Verdict(True, 0.95)),
    (10, "score: 0 of 10", WRONG),
    *((10, reply, None) for reply in ("score: 11 of 10", "score: -1 of 10", "score: 7 of 100", "yes", "nan")),
]


def test_the_verdict_is_read_from_the_last_line(endpoint: Endpoint) -> None:
    for scale, reply, verdict in REPLIES:
        endpoint.reply = lambda prompt, reply=reply: reply  # type: ignore[misc]
        given = one(judge(endpoint, scale=scale, threshold=0.95), reply)
        assert given == verdict if verdict else not given.judged and "cannot be read" in given.note, reply


JSON = "application/json"
BROKEN = [
    ((500, JSON, b"{}"), "500", 3),  # with two retries
    ((429, JSON, b'{"error": {"message": "slow down"}}'), "slow down", 3),
    ((400, JSON, b'{"error": {"message": "too long"}}'), "too long", 1),
    ((200, "text/html", b"<html>hello</html>"), "AttributeError", 1),
    ((200, JSON, b'{"choices": '), "JSONDecodeError", 1),
    ((200, JSON, b'{"choices": []}'), "IndexError", 1),
    ((200, JSON, said(None)), "AttributeError", 1),
    ((200, JSON, said("  ")), "cannot be read", 1),
]


@pytest.mark.parametrize(("reply", "note", "calls"), BROKEN)
def test_a_broken_reply_is_no_verdict_and_is_not_kept(
    endpoint: Endpoint, reply: tuple[int, str, bytes], note: str, calls: int
) -> None:
    endpoint.reply = lambda prompt: reply
    verdict = one(judge(endpoint))
    assert not verdict.judged and not verdict.correct and note in verdict.note and "\n" not in verdict.note
    assert len(endpoint.asked) == calls
    endpoint.reply = lambda prompt: "yes"
    assert one(judge(endpoint)) == RIGHT


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_name_ends_the_run_at_once_and_the_key_is_not_shown(
    endpoint: Endpoint, status: int
) -> None:
    endpoint.reply = lambda prompt: (status, JSON, json.dumps({"error": {"message": f"{KEY} bad"}}).encode())
    with pytest.raises(UserError, match=rf"m at 127.0.0.1 cannot be asked: .*{status}.*\*\*\* bad") as error:
        one(judge(endpoint))
    assert KEY not in str(error.value) and len(endpoint.asked) == 1


def test_an_endpoint_that_hangs_or_is_not_there_is_left_alone(endpoint: Endpoint) -> None:
    over, start = threading.Event(), time.monotonic()
    endpoint.reply = lambda prompt: over.wait(20) and "yes"
    assert "no reply (ReadTimeout)" in one(judge(endpoint, timeout=0.5, retries=0)).note
    assert time.monotonic() - start < 10
    over.set()
    assert not one(judge(endpoint, base_url="http://127.0.0.1:9/v1", retries=0)).judged


def test_when_most_fail_the_run_ends_and_the_others_are_not_asked(endpoint: Endpoint) -> None:
    endpoint.reply = lambda prompt: (500, JSON, b"{}") if "answer: 1" in prompt else "yes"
    outputs = [f"{first}{i}" for first in "21" for i in range(100, 108)]  # of 8 each, judged 8 at a time
    feedback = judge(endpoint, concurrency=1, retries=0)
    with pytest.raises(UserError, match="the judge m at 127.0.0.1 failed on 8 of 8 answers: .*500"):
        feedback([ROW] * 24, outputs + [f"3{i}" for i in range(8)])
    assert len(endpoint.asked) == 16
    assert sum(v.judged for v in feedback([ROW] * 8, outputs[4:12])) == 4  # half is not most


def test_what_was_judged_is_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.reply = lambda prompt: (200, JSON, said("\ud800\nyes"))  # a character that is none
    assert one(judge(endpoint)) == RIGHT
    endpoint.reply = lambda prompt: "no"
    assert one(judge(endpoint, max_calls=1)) == RIGHT and len(endpoint.asked) == 1
    for other in ({"model": "n"}, {"request": {"top_p": 0.5}}, {"prompt": "{answer}?"}, {"scale": 10}):
        assert not one(judge(endpoint, **other)).correct  # asked otherwise
    assert len(endpoint.asked) == 5
    assert KEY not in "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())


def test_no_call_is_made_beyond_the_budget_by_all_runs_together(endpoint: Endpoint) -> None:
    def reply(prompt: str) -> Any:
        time.sleep(0.1)  # some are under way when another finds that none is left
        return (500, JSON, b"{}") if "answer: 7\n" in prompt else "yes"

    endpoint.reply = reply
    outputs = [str(i) for i in range(20)]
    for _ in range(2):  # with another process, say
        with pytest.raises(UserError, match="feedback.max_calls=12 are made, as .*calls counts: raise it"):
            judge(endpoint, max_calls=12)([ROW] * 20, outputs)
    assert len(endpoint.asked) == 12  # tries that failed are some of them
    verdicts = judge(endpoint, max_calls=40)([ROW] * 20, outputs)
    assert [i for i, verdict in enumerate(verdicts) if not verdict.judged] == [7]
    asked = Counter(request["messages"][0]["content"] for request in endpoint.asked)
    assert sorted(asked.values())[:19] == [1] * 19 and len(endpoint.asked) <= 40  # no reply was lost


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"base_url": "http://a:b/v1"}, "feedback.base_url="),
        ({"base_url": "file:///etc"}, "feedback.base_url must be an http"),
        *(({name: ""}, "feedback.model must be the judge's name") for name in ("base_url", "model")),
        ({"prompt": "Is it right?"}, "feedback.prompt must be"),
        ({"max_calls": -1}, "feedback.max_calls must be"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_training(
    wrong: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"name": "judge", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    with pytest.raises(UserError, match=said):
        build_feedback({**settings, **wrong}, Match())
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match="needs openai: pip install openai"):
        build_feedback(settings, Match())


def test_the_policy_is_asked_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    feedback = build_feedback({"name": "judge", "prompt": "{answer}?"}, Match())
    assert isinstance(feedback, Judge) and feedback([], []) == []
    feedback.ask_policy = lambda prompts: [prompt.partition("?")[0] for prompt in prompts]
    given = feedback([ROW] * 3, ["yes", "no", "maybe"])
    assert [(v.judged, v.correct) for v in given] == [(True, True), (True, False), (False, False)]
    with pytest.raises(UserError, match="the policy as it was at the start failed on 8 of 8 answers: a verd"):
        feedback([ROW] * 8, [*"abcdefgh"])


@pytest.mark.slow
def test_a_run_leaves_out_what_was_not_judged_and_says_so(
    endpoint: Endpoint, environment: dict[str, str], tmp_path: Path
) -> None:
    """The endpoint refuses to judge answers to a fifth of the queries."""

    def refused(query: str) -> bool:
        return zlib.crc32(query.encode()) % 5 == 0

    def reply(prompt: str) -> Any:
        found = re.match(r"(.*)\n\n\nA right answer: (.*)\nThe given answer: (.*)", prompt)
        query, right, given = found.groups() if found else ("", "", "")
        return (400, JSON, b"{}") if refused(query) else "yes" if given == right else "no"

    endpoint.reply = reply
    chosen = ["feedback.name=judge", f"feedback.base_url={url(endpoint)}", "feedback.model=m",
              "feedback.concurrency=32", "evaluation.num_logged_rollouts=200"]  # fmt: skip
    quiet = {**environment, "NO_PROXY": "127.0.0.1", "OPENAI_API_KEY": KEY}
    done = run(quiet, *SMALL, *chosen, "trainer.max_epochs=1", f"run_dir={tmp_path / 'run'}")
    assert done.returncode == 0 and not done.stderr, done.stderr
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    lost = 32 * 4 - len(samples)
    assert 0 < lost < 32 * 4 and not any(refused(sample["query"]) for sample in samples)
    assert f"note    {lost} answers were not judged, and are left out: Error code: 400" in done.stdout
    assert f"Answers without a verdict: The judge failed on {lost} answers" in done.stdout
    header, *_, row = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    measured = dict(zip(header.split(","), row.split(","), strict=True))
    assert measured["num_unjudged"] == str(lost) and 0 < float(measured["val/judged"]) < 1
    right = sum(sample["correct"] for sample in samples) / len(samples)
    assert float(measured["fraction_correct"]) == pytest.approx(right, abs=1e-6)
