"""Who rewrites a request, says whether that changed it, and answers it."""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hir.config.schema import check
from hir.errors import UserError
from hir.records import Example
from hir.teams_rl.operations import PROMPTS

REWRITE = """{what}
Reply with the request alone, which has at most twenty words more than this one:

{request}"""

COMPARE = """First request: {old}

Second request: {new}

Do they have the same constraints, and the same depth and breadth? Reply with Equal or Not Equal."""

CHECK = """Request: {request}

Answer: {answer}

Does the answer do all that the request asks for? Reply with yes or no."""

Ask = Callable[[str, int], str]
"""A model's reply to a prompt; the same for the same seed."""


class Language:
    """Operator, reviewer and responder by a language model, for requests in plain text.

    What each draws is a function of ``rng``. ``queries`` says how often each was asked, ``requests`` are
    those that episodes start from, and so many ``threads`` may ask at a time.
    """

    def __init__(self, ask: Ask, requests: Sequence[str], threads: int = 1) -> None:
        self.ask, self.requests, self.threads = ask, requests, threads
        self.queries: Counter[str] = Counter()

    def start(self, rng: random.Random) -> Example:
        """A request from which an episode starts."""
        return Example(text := rng.choice(self.requests), (), group=text)

    def rewrite(self, operation: str, request: Example, rng: random.Random) -> Example:
        """The request after an operation; itself where nothing came of it."""
        prompt = REWRITE.format(what=PROMPTS[operation], request=request.query)
        return replace(request, query=self._ask("operator", prompt, rng) or request.query)

    def same(self, old: Example, new: Example, rng: random.Random) -> bool | None:
        """Whether two requests ask for the same; None if the reviewer did not say."""
        prompt = COMPARE.format(old=old.query, new=new.query)
        for _ in range(2):  # asked once more, if it must be
            reply = self._ask("reviewer", prompt, rng)
            if found := re.search(r"\b(not[\s-]+)?equal\b", reply, re.IGNORECASE):
                return found[1] is None
        return None

    def answer(self, request: Example, rng: random.Random) -> Example | None:
        """The request with an answer that the reviewer finds to be right; None if there is none."""
        answer = self._ask("responder", request.query, rng)
        check = CHECK.format(request=request.query, answer=answer)
        right = answer and re.match(r"\W*yes\b", self._ask("reviewer", check, rng), re.IGNORECASE)
        return replace(request, targets=(answer,)) if right else None

    def _ask(self, who: str, prompt: str, rng: random.Random) -> str:
        self.queries[who] += 1
        return self.ask(prompt, rng.getrandbits(32)).strip()


def read_requests(path: str | None) -> list[str]:
    """The requests of a text file, one a line; UserError if there are none."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines() if path else []
    except (OSError, ValueError) as error:
        raise UserError(f"requests={path} cannot be read: {error}") from error
    requests = [line.strip() for line in lines if line.strip()]
    check(bool(requests), "requests", "a text file with a request a line", path)
    return requests
