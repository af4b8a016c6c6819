"""A language model as the judge: at an endpoint of OpenAI's kind (pip install openai), or the policy."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from hir.config.schema import check, limited
from hir.errors import UserError
from hir.feedback.base import FEW, Feedback, check_failures, register, unjudged
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

    An endpoint's replies lie in the cache, $HIR_CACHE/judge, beside the number of calls; its key is
    $OPENAI_API_KEY. Without one a frozen copy of the policy that training starts from is asked, greedily.
    """

    @dataclass
    class Settings:
        base_url: str = ""
        """The endpoint, such as https://api.openai.com/v1 or http://localhost:8000/v1; empty: the policy."""
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
        """Seconds without a sign of a reply after which a call has failed."""
        retries: int = limited(3, "[0, 20]")
        """Further tries after a time-out or a refusal for now."""
        concurrency: int = limited(8, "[1, 1000]")
        """Calls at a time."""
        request: dict[str, Any] = field(default_factory=lambda: {"temperature": 0})
        """Whatever else the endpoint takes, such as max_tokens."""

    ask_policy: Callable[[list[str]], list[str]] | None = None
    """Gives the replies of the policy's start to prompts; whoever makes the policy sets it."""

    def __init__(self, settings: Settings, own: Feedback) -> None:
        self.settings, self.url, self.cache = settings, settings.base_url, cache_dir() / "judge"
        self.graded, self.name = settings.scale > 1, "policy as it was at the start"
        check("{answer}" in settings.prompt, "feedback.prompt", "a text with {answer}", settings.prompt)
        where = "the judge's name at feedback.base_url, and empty without one"
        check(bool(settings.model) == bool(self.url), "feedback.model", where, settings.model)
        if not self.url:
            return
        check(bool(re.match("https?://", self.url)), "feedback.base_url", "an http(s) address", self.url)
        self.key = os.environ.get("OPENAI_API_KEY", "").strip() or "no key"
        try:
            self.openai: Any = importlib.import_module("openai")
            self.client = self.openai.OpenAI(
                base_url=self.url,
                api_key=self.key,
                timeout=settings.timeout,
                max_retries=settings.retries,
                # A retry is a call, too.
                http_client=self.openai.DefaultHttpxClient(event_hooks={"request": [self._count]}),
            )
        except ImportError as error:
            raise UserError("feedback.base_url needs openai: pip install openai") from error
        except Exception as error:  # openai's and its client's for a wrong address are no ValueError
            raise UserError(f"feedback.base_url={self.url}: {error}") from error
        self.name = f"judge {settings.model} at {self.client.base_url.host}"

    def about(self, rows: Sequence[Example]) -> str:
        return self.name

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        prompts = [self._prompt(row, output) for row, output in zip(rows, outputs, strict=True)]
        different, verdicts = [*dict.fromkeys(prompts)], list[Verdict]()
        if self.url:
            # In parts: thousands of answers do not wait for a judge that is gone.
            size = max(FEW, 4 * self.settings.concurrency)
            with ThreadPoolExecutor(self.settings.concurrency) as pool:
                for start in range(0, len(different), size):
                    part = [*pool.map(self._judge, different[start : start + size])]
                    verdicts += check_failures(part, f"the {self.name}")
        elif different:
            assert self.ask_policy
            verdicts += check_failures([*map(self._read, self.ask_policy(different))], f"the {self.name}")
        of = dict(zip(different, verdicts, strict=True))
        return [of[prompt] for prompt in prompts]

    def _prompt(self, row: Example, output: str) -> str:
        values = {"query": row.query, "answer": output, "target": " or ".join(row.targets) or "not known"}
        values["instruction"] = "; ".join(constraint.text for constraint in row.constraints)
        scale = self.settings.scale
        form = "yes if it is right, else no" if scale == 1 else f"score: N of {scale}, {scale} being perfect"
        # At once, for an answer may hold "{target}".
        text = re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], name[0]), self.settings.prompt)
        return f"{text.strip()} End with a line that says nothing but {form}."

    def _judge(self, prompt: str) -> Verdict:
        """The verdict of the endpoint, or of its reply in the cache."""
        model, request = self.settings.model, self.settings.request
        asked = json.dumps([self.url, model, request, prompt], sort_keys=True, default=str)
        name = hashlib.sha256(asked.encode(errors="replace")).hexdigest()
        path = self.cache / name[:2] / f"{name}.txt"
        if path.exists():
            return self._read(path.read_text(encoding="utf-8", errors="replace"))
        try:
            given = self.client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": prompt}], extra_body=request
            )
            reply = given.choices[0].message.content.encode(errors="replace").decode().strip()
        except self.openai.APIStatusError as error:
            note = textwrap.shorten(str(error).replace(self.key, "***"), 200)
            if error.status_code in (401, 403, 404):
                raise UserError(f"the {self.name} cannot be asked: {note}") from error
            return unjudged(note)
        except self.openai.APITimeoutError:
            return unjudged(f"no reply within {self.settings.timeout:g} s")
        except (self.openai.OpenAIError, AttributeError, LookupError, TypeError, ValueError) as error:
            if isinstance(error.__cause__, UserError):  # from _count, as older clients pass it on
                raise error.__cause__ from None
            # An endpoint may send anything; the text of the error might hold the key.
            return unjudged(f"no reply ({type(error.__cause__ or error).__name__})")
        if not reply:
            return unjudged("an empty reply")
        atomic_write(path, reply.encode())
        return self._read(reply)

    def _count(self, request: object) -> None:
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
            return unjudged(f"a verdict that cannot be read: {textwrap.shorten(line, 80)}")
        return Verdict(points >= self.settings.threshold, points)
