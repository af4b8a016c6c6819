"""A language model as the judge, against an endpoint on this machine."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hir.errors import UserError
from hir.feedback.base import Feedback, build_feedback
from hir.feedback.match import Match, exact_match
from hir.records import Constraint, Example, Verdict

ROW = Example("How many?", ("3", "three"))
KEY = "sk-secret"
RIGHT, WRONG = Verdict(True, 1.0), Verdict(False, 0.0)


def said(text: object) -> bytes:
    """The body of a reply that says so."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Endpoint(ThreadingHTTPServer):
    """Replies as ``reply`` says to a prompt: a text, or status, content type and body."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.reply: Callable[[str], Any] = lambda prompt: "yes"
        self.now = self.most = 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked | {"path": self.path, "key": self.headers["Authorization"]})
        self.server.now += 1
        self.server.most = max(self.server.most, self.server.now)
        reply = self.server.reply(asked["messages"][0]["content"])
        self.server.now -= 1
        status, kind, body = (200, "application/json", said(reply)) if isinstance(reply, str) else reply
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        for byte in (body[i : i + 1] for i in range(len(body))) if kind == "slow" else [body]:
            time.sleep(0.2 if kind == "slow" else 0)
            try:
                self.wfile.write(byte)
            except OSError:
                return  # nobody waits for it any longer

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Endpoint]:
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HIR_CACHE", str(tmp_path / "cache"))
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def judge(endpoint: Endpoint, **settings: Any) -> Feedback:
    url = f"http://127.0.0.1:{endpoint.server_port}/v1"
    small = {"base_url": url, "model": "m", "backoff": 0.01, "retries": 2, "timeout": 10.0}
    return build_feedback({"name": "judge", **small, **settings}, Match(exact_match))


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
    assert feedback.about([ROW]) == "judge m at 127.0.0.1"


@pytest.mark.parametrize(
    ("scale", "reply", "verdict"),
    [
        (1, "yes", RIGHT),
        (1, "**No.**", WRONG),
        (1, "It says no.\nBut it is right.\n\n  Yes \n", RIGHT),
        (1, "I can say neither yes nor no", None),
        (1, "score: 1 of 1", None),
        (10, "score: 10 of 10", RIGHT),
        (10, "A try.\n**Score: 7/10**", Verdict(False, 0.7)),
        (10, "score: 9.5 out of 10.", Verdict(True, 0.95)),
        (10, "score: 0 of 10", WRONG),
        (10, "score: 11 of 10", None),
        (10, "score: -1 of 10", None),
        (10, "score: 7 of 100", None),
        (10, "yes", None),
        (10, "score: nan of 10", None),
    ],
)
def test_the_verdict_is_read_from_the_last_line(
    endpoint: Endpoint, scale: int, reply: str, verdict: Verdict | None
) -> None:
    endpoint.reply = lambda prompt: reply
    given = one(judge(endpoint, scale=scale, threshold=0.95))
    assert given == verdict if verdict else not given.judged and "cannot be read" in given.note


JSON = "application/json"
BROKEN = [
    ((500, JSON, b"{}"), "500"),
    ((429, JSON, b'{"error": {"message": "slow down"}}'), "slow down"),
    ((200, "text/html", b"<html>hello</html>"), "AttributeError"),
    ((200, JSON, b'{"choices": '), "JSONDecodeError"),
    ((200, JSON, b"[]"), ""),
    ((200, JSON, b'{"choices": []}'), "IndexError"),
    ((200, JSON, said(None)), "AttributeError"),
    ((200, JSON, said("  ")), "empty"),
    ((200, JSON, said([1])), "AttributeError"),
    ((200, JSON, b"\xff\xfe"), ""),
]


@pytest.mark.parametrize(("reply", "note"), BROKEN)
def test_a_broken_reply_is_asked_for_again_and_then_left_out(
    endpoint: Endpoint, reply: tuple[int, str, bytes], note: str
) -> None:
    endpoint.reply = lambda prompt: reply
    verdict = one(judge(endpoint))
    assert not verdict.judged and not verdict.correct and note in verdict.note and "\n" not in verdict.note
    assert len(endpoint.asked) == 3  # and two retries
    endpoint.reply = lambda prompt: reply if len(endpoint.asked) < 5 else "yes"
    assert one(judge(endpoint)) == RIGHT  # it was not kept, and the second of these tries is good


def test_characters_that_are_none_are_read(endpoint: Endpoint) -> None:
    endpoint.reply = lambda prompt: (200, JSON, said("\ud800\nyes"))
    assert one(judge(endpoint)) == one(judge(endpoint)) == RIGHT and len(endpoint.asked) == 1


def test_a_refused_request_is_not_repeated(endpoint: Endpoint) -> None:
    endpoint.reply = lambda prompt: (400, JSON, b'{"error": {"message": "too long"}}')
    assert "too long" in one(judge(endpoint)).note and len(endpoint.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_name_ends_the_run_at_once_and_the_key_is_not_shown(
    endpoint: Endpoint, status: int
) -> None:
    body = json.dumps({"error": {"message": f"{KEY} is no key"}}).encode()
    endpoint.reply = lambda prompt: (status, JSON, body)
    with pytest.raises(
        UserError, match=rf"m at 127.0.0.1 cannot be asked: .*{status}.*\*\*\* is no key"
    ) as error:
        one(judge(endpoint))
    assert KEY not in str(error.value) and len(endpoint.asked) == 1


@pytest.mark.parametrize("kind", ["silent", "slow"])
def test_an_endpoint_that_hangs_is_left_alone(endpoint: Endpoint, kind: str) -> None:
    """The slow one sends a byte now and then, and would take 40 s."""
    over = threading.Event()
    endpoint.reply = lambda prompt: over.wait(20) and "yes" if kind == "silent" else (200, "slow", b" " * 200)
    start = time.monotonic()
    assert "no reply within 0.5 s" in one(judge(endpoint, timeout=0.5, retries=0)).note
    assert time.monotonic() - start < 10
    over.set()


def test_an_endpoint_that_is_not_there_fails(endpoint: Endpoint) -> None:
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


def test_so_many_are_asked_at_a_time(endpoint: Endpoint) -> None:
    endpoint.reply = lambda prompt: time.sleep(0.05) or "yes"
    judge(endpoint, concurrency=3)([ROW] * 24, [str(i) for i in range(24)])
    assert 2 <= endpoint.most <= 3


@pytest.mark.parametrize(
    "wrong",
    [{"base_url": ""}, {"base_url": "file:///etc"}, {"base_url": "http://[::1/v1"}, {"base_url": "http://a:b/v1"},
     {"model": ""}, {"prompt": "Is it right?"}, {"max_calls": -1}, {"timeout": 0}],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_before_training(wrong: dict[str, Any]) -> None:
    pytest.importorskip("openai")
    settings = {"name": "judge", "base_url": "http://127.0.0.1:9/v1", "model": "m", **wrong}
    with pytest.raises(UserError, match=f"feedback.{next(iter(wrong))}( must be|=)"):
        build_feedback(settings, Match(exact_match))


def test_it_says_what_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match="needs openai: pip install openai"):
        build_feedback({"name": "judge", "base_url": "http://a/v1", "model": "m"}, Match(exact_match))
