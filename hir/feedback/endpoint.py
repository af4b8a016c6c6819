"""A language model at an endpoint of OpenAI's kind: replies kept on disk, calls counted and limited."""

import hashlib
import importlib
import json
import os
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hir.config.schema import check, limited
from hir.errors import UserError
from hir.files import atomic_write, writing


class NoReply(Exception):
    """A call failed, for the reason that it names; another may not."""


@dataclass
class EndpointSettings:
    """Which model, and how it is called. The key is $OPENAI_API_KEY."""

    base_url: str = ""
    """The endpoint, such as https://api.openai.com/v1 or http://localhost:8000/v1."""
    model: str = ""
    """The model's name there."""
    max_calls: int = limited(1000, "[0, inf)")
    """Most calls, failed ones included, of all runs that share the replies on disk; then the run ends."""
    timeout: float = limited(60.0, "(0, inf)")
    """Seconds without a sign of a reply after which a call has failed."""
    retries: int = limited(3, "[0, 20]")
    """Further tries after a time-out or a refusal for now."""
    concurrency: int = limited(8, "[1, 1000]")
    """Calls at a time."""
    request: dict[str, Any] = field(default_factory=lambda: {"temperature": 0})
    """Whatever else the endpoint takes, such as max_tokens."""


class Endpoint:
    """Replies of a model, kept in a folder beside the number of calls; errors name ``section``'s keys."""

    def __init__(self, settings: EndpointSettings, section: str, folder: Path) -> None:
        self.settings, self.section, self.folder = settings, section, folder
        check(bool(settings.model), f"{section}.model", f"the model's name at {section}.base_url", "")
        given, address = settings.base_url, f"{section}.base_url"
        check(bool(re.match("https?://", given)), address, "an http(s) address", given)
        self.key = os.environ.get("OPENAI_API_KEY", "").strip() or "no key"
        try:
            self.openai: Any = importlib.import_module("openai")
            self.client = self.openai.OpenAI(
                base_url=given,
                api_key=self.key,
                timeout=settings.timeout,
                max_retries=settings.retries,
                # A retry is a call, too.
                http_client=self.openai.DefaultHttpxClient(event_hooks={"request": [self._count]}),
            )
        except ImportError as error:
            raise UserError(f"{address} needs openai: pip install openai") from error
        except Exception as error:  # openai's and its client's for a wrong address are no ValueError
            raise UserError(f"{address}={given}: {error}") from error
        self.name = f"{settings.model} at {self.client.base_url.host}"

    def ask(self, prompt: str, seed: int | None = None) -> str:
        """The reply, from the disk if it was had before: to the same prompt with the same seed.

        NoReply where there is none this time; UserError where there will be none, or no call is left.
        """
        model, request = self.settings.model, self.settings.request
        asked = [self.settings.base_url, model, request, prompt, *([] if seed is None else [seed])]
        text = json.dumps(asked, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        path = self.folder / name[:2] / f"{name}.txt"
        if path.exists():
            return path.read_text(encoding="utf-8", errors="replace")
        try:
            given = self.client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": prompt}], extra_body=request
            )
            reply: str = given.choices[0].message.content.encode(errors="replace").decode().strip()
        except self.openai.APIStatusError as error:
            note = textwrap.shorten(str(error).replace(self.key, "***"), 200)
            if error.status_code in (401, 403, 404):
                raise UserError(f"{self.name} cannot be asked: {note}") from error
            raise NoReply(note) from error
        except (self.openai.OpenAIError, AttributeError, LookupError, TypeError, ValueError) as error:
            if isinstance(error.__cause__, UserError):  # from _count, as older clients pass it on
                raise error.__cause__ from None
            # An endpoint may send anything; the text of the error might hold the key.
            raise NoReply(f"no reply ({type(error.__cause__ or error).__name__})") from error
        if reply:
            atomic_write(path, reply.encode())
        return reply

    def _count(self, request: object) -> None:
        """Put a call on the account before it is made; UserError if there is none left."""
        path, most = self.folder / "calls", self.settings.max_calls
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file:  # of a byte a call, to which any process appends
                if file.tell() < most and file.write(b".") and file.tell() <= most:
                    return
        raise UserError(
            f"{self.section}.max_calls={most} are made, as {path} counts: raise it (no reply is lost)"
        )
