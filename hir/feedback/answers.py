"""Which answers are the same: what does not count is taken away, numbers go by value, options by name.

A judge gives nothing for an answer inside a longer output, and credits another way of writing an answer only
where it could mean nothing else: what it wrongly accepts, training will find.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from decimal import MAX_EMAX, Context, Decimal

from hir.records import Example

_CUE = re.compile(r"^answer ?: ?(?=.)", re.IGNORECASE)
_PROMPT_CUE = re.compile(r"a ?: ?(?=.)", re.IGNORECASE)

# Leading zeros make a code ("05", "0011") and no number; exponents are short, for values are written out.
_QUANTITY = re.compile(
    r"([+-]?) ?([$€£¥₹]?) ?"
    r"((?:0|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*)(?:\.\d+)?|\.\d+)((?:[eE][+-]?\d{1,3})?)"
    r"(\D*)"
)
_UNITS = {"percent": "%", "dollar": "$", "dollars": "$", "euro": "€", "euros": "€"}
_CASELESS = frozenset("kg km cm ft in lb lbs oz mi mph rpm hz am pm usd eur gbp yes no".split())
_PLAIN = str.maketrans("‐‑‒–—―−‘’‚‛“”„‟«»⁄。", '-------\'\'\'\'""""""/.')
_LETTER = re.compile(r"[(\[]? ?([a-z]{1,2}) ?[)\]]?[.:]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:[(\[] ?([a-z]{1,2}) ?[)\]][.:]?|[(\[]?([a-z]{1,2})[)\].:]) ?(.+)", re.IGNORECASE
)


@functools.lru_cache(maxsize=4096)
def normalise_answer(text: str) -> str:
    """The form in which answers are compared: two answers are the same if these forms are equal.

    What does not count: case, runs of white space and spaces beside punctuation; a full stop at the end;
    quotes around the whole and their shape, dashes' length and Unicode's compatibility forms; "Answer:"
    before the answer; brackets around a lone letter. A number, with or without a currency before it or a unit
    after it, is compared by its value ("$1,234.50" and "$1234.5"), the unit as text.
    """
    text = clean(text)
    quantity = _QUANTITY.fullmatch(text)
    # "1e5" may be a code; "1.0e5" and "1e+5" are numbers.
    if quantity and (not quantity[4] or "." in quantity[3] or quantity[4][1] in "+-"):
        sign, symbol, digits, exponent, unit = quantity.groups()
        exact = Context(prec=len(digits), Emax=MAX_EMAX)
        value = Decimal(sign + digits.replace(",", "") + exponent).normalize(exact)
        return f"{value or Decimal(0):f} {symbol}{_unit(unit.strip())}".rstrip()
    lone = re.fullmatch(r"\(? ?([a-z]) ?[).:]?", text, re.IGNORECASE)
    return _fold(lone[1] if lone else text)


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
    """A text in single spaces and in the plain forms of characters."""
    if not text.isascii():
        words = "".join(map(_compatible, text)).split()
        # Thousands of marks on one letter would take the square of their number.
        words = [unicodedata.normalize("NFC", word) if len(word) < 1000 else word for word in words]
        text = " ".join(words).translate(_PLAIN)
    return " ".join(text.split())


def _without_stop(text: str) -> str:
    rest = text.removesuffix(".").rstrip()
    return text if rest == "" or rest.endswith(".") else rest  # "." and "..." are texts of their own


@functools.lru_cache(maxsize=4096)
def _compatible(character: str) -> str:
    kind = unicodedata.decomposition(character)
    if kind.startswith(("<super>", "<sub>", "<circle>", "<square>")):
        return character  # 2² is not 22
    if unicodedata.category(character) == "Cf" and not "\U000e0020" <= character <= "\U000e007f":
        return ""  # soft hyphens, joiners, marks of direction; but the tags of a flag are what it says
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    plain = unicodedata.normalize("NFKC", character)
    return f" {plain}" if kind.startswith("<fraction>") else plain  # 1½ is 1 1/2


def _unit(text: str) -> str:
    folded = _fold(text)
    if len(text) <= 3 and folded not in _CASELESS and folded not in _UNITS:
        return text  # 5 mW is not 5 MW, and 5 Gb are not 5 GB
    return _UNITS.get(folded, folded)


def _fold(text: str) -> str:
    return re.sub(r" ?([^\w\s.+-]+) ?", r"\1", text.casefold())


def exact_match(example: Example, output: str) -> bool:
    """Whether the output equals a target after :func:`normalise_answer`; an empty one never does.

    The prompt's own cue, "A:", may stand before it.
    """
    answers = {normalise_answer(output), normalise_answer(without_prompt_cue(output))} - {""}
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
    text = text if lettered else without_prompt_cue(text)
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
