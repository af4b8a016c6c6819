"""Options: which one an output names, those that an input ends in, and the scenario that inputs share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hir.feedback.match import exact_match
from hir.feedback.normalise import clean, normalise_answer, without_prompt_cue
from hir.records import Example

HEADER = re.compile(r"^[ \t]*(?:answer )?(?:options|choices):?[ \t]*$", re.IGNORECASE | re.MULTILINE)
"""A line that says that options follow."""
_LABEL = re.compile(r"[ \t]*[(\[]?([A-Za-z]{1,2})(?:[)\]]|[.:](?!\S))(.*)")
# How a line begins that asks for the answer or asks something else.
_CUE = re.compile(
    r"(?:[a-z]+,? ){0,3}answer(?: is)?(?: ?[:=]|$)|(?:a|q|question|output|response) ?:", re.IGNORECASE
)
_LETTER = re.compile(r"[(\[]? ?([a-z]{1,2}) ?[)\]]?[.:]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:[(\[] ?([a-z]{1,2}) ?[)\]][.:]?|[(\[]?([a-z]{1,2})[)\].:]) ?(.+)", re.IGNORECASE
)


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


def listed_options(text: str) -> tuple[str, tuple[str, ...]]:
    """The input without the lettered options that it lists under its last header, and their texts, if any.

    The list ends before an empty line and before a cue ("Answer:", "A:", "The answer is", "Q: ...").
    """
    nothing = text.strip(), ()
    if not (headers := [*HEADER.finditer(text)]):
        return nothing
    options: list[list[str]] = []
    for line in text[headers[-1].end() :].split("\n"):
        label = _LABEL.match(line)
        if label and label[1].upper() == option_letter(len(options)):
            options.append([label[2]])
        elif options:
            options[-1].append(line)
    if len(options) < 2:
        return nothing
    *before, last = options
    ends = (i for i, line in enumerate(last) if i and (not line.strip() or _CUE.match(line.strip())))
    # Where the options before it take a line each, what follows the last is no part of it.
    end = next(ends, len(last)) if any("".join(lines[1:]).strip() for lines in before) else 1
    texts = (" ".join(" ".join(lines).split()) for lines in [*before, last[:end]])
    return text[: headers[-1].start()].strip(), tuple(texts)


def scenario(stem: str) -> str:
    """What rows about one situation share: the input without its options and its question.

    The question is the last sentence or line if it ends in "?" or does not end at all ("At the end, Bob
    has"); a last statement belongs to the situation. Without anything before the question: the whole.
    """
    text = stem.strip()
    *before, last = re.split(r"(?<=[.?!])\s+|\n", text)
    asks = not last.endswith((".", "!"))
    kept = " ".join(before) if asks and before else text
    return " ".join(kept.split())
