"""The form in which answers are compared: what does not count is taken away, numbers go by their value."""

from __future__ import annotations

import functools
import re
import unicodedata

_CUE = re.compile(r"^answer ?: ?(?=.)", re.IGNORECASE)
_PROMPT_CUE = re.compile(r"a ?: ?(?=.)", re.IGNORECASE)

# Leading zeros make a code ("05", "0011") and no number.
_NUMBER = re.compile(r"([+-]?) ?(0|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*|(?=\.))(?:\.(\d+))?", re.ASCII)
_PLAIN = str.maketrans("‐‑‒–—―−‘’‚‛“”„‟«»⁄。", '-------\'\'\'\'""""""/.')
_APART = ("<super>", "<sub>", "<circle>", "<square>", "<fraction>")


@functools.lru_cache(maxsize=4096)
def normalise_answer(text: str) -> str:
    """The form in which answers are compared: two answers are the same if these forms are equal.

    What does not count: case, runs of white space and spaces beside punctuation; a full stop at the end;
    quotes around the whole and their shape, dashes' length and Unicode's compatibility forms; "Answer:"
    before the answer; brackets around a lone letter. A number is compared by its value ("1,234.50" and
    "1234.5"); one with a unit, a currency or an exponent is a text.
    """
    text = clean(text)
    if number := _NUMBER.fullmatch(text):
        sign, whole, fraction = number.groups("")
        value = f"{whole.replace(',', '') or 0}.{fraction}".rstrip("0").rstrip(".")
        return f"-{value}" if sign == "-" and value != "0" else value
    lone = re.fullmatch(r"\(? ?([a-z]) ?[).:]?", text, re.IGNORECASE)
    return re.sub(r" ?([^\w\s.+-]+) ?", r"\1", (lone[1] if lone else text).casefold())


def without_prompt_cue(text: str) -> str:
    """A text without the prompt's own cue, "A:", before it."""
    cue = _PROMPT_CUE.match(line := _one_line(text))
    return line[cue.end() :] if cue else text


def clean(text: str) -> str:
    """A text without what can stand around an answer."""
    text = _without_stop(_CUE.sub("", _one_line(text)))
    if text[:1] in ('"', "'") and text[-1] == text[0] and text.count(text[0]) == 2 and text[1:-1].strip():
        text = _without_stop(text[1:-1].strip())
    return text


def _one_line(text: str) -> str:
    """A text in single spaces and in the plain forms of characters, but for powers: 2² is not 22."""
    if not text.isascii():
        plain = (
            c if unicodedata.decomposition(c).startswith(_APART) else unicodedata.normalize("NFKC", c)
            for c in text
        )
        text = unicodedata.normalize("NFC", "".join(plain)).translate(_PLAIN)
    return " ".join(text.split())


def _without_stop(text: str) -> str:
    rest = text.removesuffix(".").rstrip()
    return text if rest == "" or rest.endswith(".") else rest  # "." and "..." are texts of their own
