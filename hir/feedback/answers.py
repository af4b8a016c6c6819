"""Which answers are the same: what does not count is taken away, numbers go by value, options by name.

A judge gives nothing for an answer inside a longer output, and credits another way of writing an answer only
where it could mean nothing else: what it wrongly accepts, training will find.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from decimal import MAX_EMAX, Context, Decimal

from hir.records import Example

_CUE = re.compile(r"^answer ?: ?(?=.)", re.IGNORECASE)
_PROMPT_CUE = re.compile(r"^\s*a ?: ?(?=.)", re.IGNORECASE)
# Leading zeros make a code ("05", "0011") and no number.
_QUANTITY = re.compile(
    r"([+-]?) ?([$€£¥₹]?) ?((?:0|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*)(?:\.\d+)?|\.\d+)(\D*)", re.ASCII
)
_PLAIN = str.maketrans("‐‑‒–—―−‘’‚‛“”„‟«»⁄。", '-------\'\'\'\'""""""/.')
_LETTER = re.compile(r"[(\[]? ?([a-z]{1,2}) ?[)\]]?[.:]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:[(\[] ?([a-z]{1,2}) ?[)\]][.:]?|[(\[]?([a-z]{1,2})[)\].:]) ?(.+)", re.IGNORECASE
)


@functools.lru_cache(maxsize=4096)
def normalise_answer(text: str) -> str:
    """The form in which answers are compared: two answers are the same if these forms are equal.

    What does not count: case, runs of white space and spaces beside punctuation; a full stop at the end;
    quotes around the whole and their shape, and dashes' length; "Answer:" before the answer; brackets around
    a lone letter. A number, with or without a currency before it or a unit after it, is compared by its value
    ("$1,234.50" and "$1234.5"), the unit as text, a short one with its case: 5 mW is not 5 MW.
    """
    text = clean(text)
    if quantity := _QUANTITY.fullmatch(text):
        sign, symbol, digits, unit = quantity.groups()
        exact = Context(prec=len(digits), Emax=MAX_EMAX)
        value = Decimal(sign + digits.replace(",", "")).normalize(exact)
        unit = unit.strip() if len(unit.strip()) <= 3 else _fold(unit.strip())
        return f"{value or Decimal(0):f} {symbol}{unit}".rstrip()
    lone = re.fullmatch(r"\(? ?([a-z]) ?[).:]?", text, re.IGNORECASE)
    return _fold(lone[1] if lone else text)


def clean(text: str) -> str:
    """A text without what can stand around an answer, in single spaces and in plain quotes and dashes."""
    text = " ".join(unicodedata.normalize("NFC", text).translate(_PLAIN).split())
    text = _without_stop(_CUE.sub("", text))
    if text[:1] in ('"', "'") and text[-1] == text[0] and text.count(text[0]) == 2 and text[1:-1].strip():
        text = _without_stop(text[1:-1].strip())
    return text


def _without_stop(text: str) -> str:
    rest = text.removesuffix(".").rstrip()
    return text if rest == "" or rest.endswith(".") else rest  # "." and "..." are texts of their own


def _fold(text: str) -> str:
    return re.sub(r" ?([^\w\s.+-]+) ?", r"\1", text.casefold())


def exact_match(example: Example, output: str) -> bool:
    """Whether the output equals a target after :func:`normalise_answer`; an empty one never does.

    The prompt's own cue, "A:", may stand before it.
    """
    answers = {normalise_answer(output), normalise_answer(_PROMPT_CUE.sub("", output))} - {""}
    return not answers.isdisjoint(map(normalise_answer, example.targets))


def option_letter(index: int) -> str:
    """Letter of option ``index``: A to Z, then AA to ZZ."""
    return chr(65 + index) if index < 26 else chr(64 + index // 26) + chr(65 + index % 26)


def read_choice(text: str, options: Sequence[str], lettered: bool = True) -> int | None:
    """Index of the one option the text names as a whole, or None. The first reading that applies decides:

    1. if ``lettered``, a letter that labels an option, with or without brackets ("(B)", "B", "b)", "B."),
       whatever the texts are: with options ("B", "A") the output "B" is option (B), whose text is "A";
    2. the text of exactly one option: character by character, or else as :func:`normalise_answer` has it;
    3. if ``lettered``, a marked letter and the text of that same option ("(B) the owl"), not of another one.
    """
    answer = clean(text)
    letters = [option_letter(i) for i in range(len(options))] if lettered else []
    if (match := _LETTER.fullmatch(answer)) and match[1].upper() in letters:
        return letters.index(match[1].upper())
    for said, *texts in ([text, *options], [normalise_answer(t) for t in (text, *options)]):
        if said and said in texts:
            return texts.index(said) if texts.count(said) == 1 else None
    match = _LETTER_AND_TEXT.fullmatch(answer)
    if match and (letter := (match[1] or match[2]).upper()) in letters:
        index = letters.index(letter)
        same = normalise_answer(match[3]) == normalise_answer(options[index])
        return index if same and read_choice(match[3], options, False) in (index, None) else None
    return None


def in_words(example: Example) -> Example:
    """The example with texts of options as its targets, in place of letters, where they name them."""
    options, lettered = example.options, example.lettered
    named = [read_choice(target, options, lettered) for target in example.targets]
    texts = [target if i is None else options[i] for i, target in zip(named, example.targets, strict=True)]
    clear = [read_choice(text, options, lettered) for text in texts] == named
    return replace(example, targets=tuple(texts)) if clear else example


def multiple_choice(example: Example, output: str) -> bool:
    """Whether the output names a right option, by letter or by text as :func:`read_choice` reads it.

    Targets are letters ("(A)" or "A") or texts of options; one that names no option is compared as a text.
    A row without options is judged by :func:`exact_match`.
    """
    if not example.options:
        return exact_match(example, output)
    right = {t: read_choice(t, example.options, example.lettered) for t in example.targets}
    choice = read_choice(output, example.options, example.lettered)
    if choice is not None:
        return choice in right.values()
    answer = normalise_answer(output)
    return answer != "" and any(answer == normalise_answer(t) for t, named in right.items() if named is None)
