"""A language model as the judge: at an endpoint of OpenAI's kind (pip install openai), or the policy."""

import re
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hir.config.schema import check, limited
from hir.feedback.base import Feedback, check_failures, register, unjudged
from hir.feedback.endpoint import Endpoint, EndpointSettings, NoReply
from hir.files import cache_dir
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
    class Settings(EndpointSettings):
        prompt: str = PROMPT
        """What it is asked, with {query}, {instruction} (its constraints), {answer} and {target}; the form of
        the reply is added."""
        scale: int = limited(1, "[1, 1000]")
        """1: it says yes or no; else it gives points, so many to a perfect answer."""
        threshold: float = limited(1.0, "(0, 1]")
        """Least share of the points that is right."""

    ask_policy: Callable[[list[str]], list[str]] | None = None
    """Gives the replies of the policy's start to prompts; whoever makes the policy sets it."""

    def __init__(self, settings: Settings, own: Feedback) -> None:
        self.settings, self.url = settings, settings.base_url
        self.graded, self.name = settings.scale > 1, "policy as it was at the start"
        check("{answer}" in settings.prompt, "feedback.prompt", "a text with {answer}", settings.prompt)
        where = "the judge's name at feedback.base_url, and empty without one"
        check(bool(settings.model) == bool(self.url), "feedback.model", where, settings.model)
        if self.url:
            self.endpoint = Endpoint(settings, "feedback", cache_dir() / "judge")
            self.name = f"judge {self.endpoint.name}"

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        prompts = [self._prompt(row, output) for row, output in zip(rows, outputs, strict=True)]
        different, verdicts = [*dict.fromkeys(prompts)], list[Verdict]()
        if self.url:
            # In parts: thousands of answers do not wait for a judge that is gone.
            size = max(8, 4 * self.settings.concurrency)
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
        try:
            return self._read(self.endpoint.ask(prompt))
        except NoReply as error:
            return unjudged(str(error))

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
