"""A language model as the judge, asked through an endpoint of OpenAI's kind: pip install openai."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib
import json
import os
import re
import textwrap
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from hir.config.schema import check, limited
from hir.errors import UserError
from hir.feedback.base import Feedback, register
from hir.feedback.failures import FEW, check_failures
from hir.files import atomic_write, cache_dir, writing
from hir.records import Example, Verdict

PROMPT = """{query}
{instruction}

A right answer: {target}
The given answer: {answer}

Judge the given answer."""


@register("judge")
class Judge:
    """Feedback by a model that is asked in a prompt, once about each different answer.

    Its replies lie in the cache, $HIR_CACHE/judge, beside the number of calls. The key is $OPENAI_API_KEY.
    """

    @dataclass
    class Settings:
        base_url: str = ""
        """The endpoint, such as https://api.openai.com/v1 or http://localhost:8000/v1."""
        model: str = ""
        """The judge's name there."""
        prompt: str = PROMPT
        """What it is asked, with {query}, {instruction} (its constraints), {answer} and {target}; the form of
        the reply is added."""
        scale: int = limited(1, "[1, 1000]")
        """1: it says yes or no; else it gives points, so many to a perfect answer."""
        threshold: float = limited(1.0, "(0, 1]")
        """Least share of the points that is right."""
        max_calls: int = limited(1000, "[0, inf)")
        """Most calls, failed ones included, of all runs that share the cache; then the run ends."""
        timeout: float = limited(60.0, "(0, inf)")
        """Seconds until a reply must be there as a whole."""
        retries: int = limited(3, "[0, 20]")
        """Further tries after a time-out, a refusal for now or a broken reply."""
        backoff: float = limited(1.0, "[0, 60]")
        """Seconds before the second try; twice as many before each further one, up to 60."""
        concurrency: int = limited(8, "[1, 1000]")
        """Calls at a time."""
        request: dict[str, Any] = field(default_factory=lambda: {"temperature": 0})
        """Whatever else the endpoint takes, such as max_tokens."""

    def __init__(self, settings: Settings, own: Feedback) -> None:
        self.settings, url = settings, settings.base_url
        check(url.startswith(("http://", "https://")), "feedback.base_url", "an http(s) address", url)
        check(bool(settings.model), "feedback.model", "the judge's name at the endpoint", settings.model)
        check("{answer}" in settings.prompt, "feedback.prompt", "a text with {answer}", settings.prompt)
        try:
            self.openai: Any = importlib.import_module("openai")
            self.openai.OpenAI(base_url=url, api_key="none").close()
            self.name = f"judge {settings.model} at {urlsplit(url).hostname}"
        except ImportError as error:
            raise UserError("feedback.name=judge needs openai: pip install openai") from error
        except Exception as error:  # openai's and its client's for a wrong address are no ValueError
            raise UserError(f"feedback.base_url={url}: {error}") from error
        self.key = os.environ.get("OPENAI_API_KEY", "").strip() or "no key"
        self.cache = cache_dir() / "judge"
        self.graded = settings.scale > 1

    def about(self, rows: Sequence[Example]) -> str:
        return self.name

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        prompts = [self._prompt(row, output) for row, output in zip(rows, outputs, strict=True)]
        future = asyncio.run_coroutine_threadsafe(self._judge_all([*dict.fromkeys(prompts)]), _loop())
        try:
            verdicts = future.result()
        finally:
            future.cancel()  # where it is interrupted
        return [verdicts[prompt] for prompt in prompts]

    def _prompt(self, row: Example, output: str) -> str:
        values = {"query": row.query, "answer": output, "target": " or ".join(row.targets) or "not known"}
        values["instruction"] = "; ".join(constraint.text for constraint in row.constraints)
        scale = self.settings.scale
        form = "yes if it is right, else no" if scale == 1 else f"score: N of {scale}, {scale} being perfect"
        # At once, for an answer may hold "{target}".
        text = re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], name[0]), self.settings.prompt)
        return f"{text.strip()} End with a line that says nothing but {form}."

    async def _judge_all(self, prompts: Sequence[str]) -> dict[str, Verdict]:
        verdicts: dict[str, Verdict] = {}
        turn, size = asyncio.Semaphore(self.settings.concurrency), max(FEW, 4 * self.settings.concurrency)
        url = self.settings.base_url
        async with self.openai.AsyncOpenAI(base_url=url, api_key=self.key, max_retries=0) as client:
            # In parts: thousands of answers do not wait for a judge that is gone.
            for start in range(0, len(prompts), size):
                part = prompts[start : start + size]
                asking = (self._judge(client, turn, prompt) for prompt in part)
                # One may find that no call is left: those under way have been counted, and are kept.
                judged = await asyncio.gather(*asking, return_exceptions=True)
                for prompt, verdict in zip(part, judged, strict=True):
                    if isinstance(verdict, BaseException):
                        raise verdict
                    verdicts[prompt] = verdict
                check_failures([verdicts[prompt] for prompt in part], f"the {self.name}")
        return verdicts

    async def _judge(self, client: Any, turn: asyncio.Semaphore, prompt: str) -> Verdict:
        asked = [self.settings.base_url, self.settings.model, self.settings.request, prompt]
        name = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
        path, note = self.cache / name[:2] / f"{name}.txt", ""
        reply = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        if not reply:
            async with turn:
                reply, note = await self._ask(client, prompt)
            if reply:
                atomic_write(path, reply.encode())
        return self._read(reply) if reply else _none(note)

    async def _ask(self, client: Any, prompt: str) -> tuple[str, str]:
        """The judge's reply, or why there is none."""
        settings, note = self.settings, ""
        message = {"role": "user", "content": prompt}
        for attempt in range(settings.retries + 1):
            await asyncio.sleep(min(60, settings.backoff * 2 ** (attempt - 1)) if attempt else 0)
            self._count()
            call = client.chat.completions.create(
                model=settings.model, messages=[message], extra_body=settings.request
            )
            try:
                # The client's own limit begins anew with every byte.
                completion = await asyncio.wait_for(call, settings.timeout)
                reply = completion.choices[0].message.content.encode(errors="replace").decode().strip()
                if reply:
                    return reply, ""
                note = "an empty reply"
            except self.openai.APIStatusError as error:
                note, code = textwrap.shorten(str(error).replace(self.key, "***"), 200), error.status_code
                if code in (401, 403, 404):
                    raise UserError(f"the {self.name} cannot be asked: {note}") from error
                if code < 500 and code not in (408, 409, 429):
                    break
            except asyncio.TimeoutError:
                note = f"no reply within {settings.timeout:g} s"
            except (self.openai.OpenAIError, AttributeError, LookupError, TypeError, ValueError) as error:
                # An endpoint may send anything; the text of the error might hold the key.
                note = f"no reply ({type(error.__cause__ or error).__name__})"
        return "", note

    def _count(self) -> None:
        """Put a call on the account before it is made; UserError if there is none left."""
        path, most = self.cache / "calls", self.settings.max_calls
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file:  # of a byte a call, to which any process appends
                if file.tell() < most and file.write(b".") and file.tell() <= most:
                    return
        raise UserError(f"feedback.max_calls={most} are made, as {path} counts: raise it (no reply is lost)")

    def _read(self, reply: str) -> Verdict:
        """The verdict in a reply's last line."""
        line, scale = reply.rpartition("\n")[2].casefold(), self.settings.scale
        if scale == 1:
            points = {"yes": 1.0, "no": 0.0}.get(re.sub(r"[\W_]+", "", line))
        else:
            number = r"score[\s:*]+(\d{1,9}(?:\.\d{1,9})?) ?(?:out of|of|/) ?"
            found = re.search(rf"{number}{scale}(?!\d)", line)
            points = float(found[1]) / scale if found else None
        if points is None or points > 1:
            return _none(f"a verdict that cannot be read: {textwrap.shorten(line, 80)}")
        return Verdict(points >= self.settings.threshold, points)


def _none(note: str) -> Verdict:
    return Verdict(False, 0.0, judged=False, note=note)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """In a thread of its own: in a notebook that of the main thread is taken."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="judge", daemon=True).start()
    return loop
