"""Match: feedback that compares an output with the targets of its row, and the judges that it may ask.

A judge gives nothing for an answer inside a longer output, and credits another way of writing an answer only
where it could mean nothing else: what it wrongly accepts, training will find.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hir.feedback.normalise import clean, normalise_answer, without_prompt_cue
from hir.records import Example, Verdict

Verifier = Callable[[Example, str], bool]
"""Whether an output is a right answer to a row."""

_LETTER = re.compile(r"[(\[]? ?([a-z]{1,2}) ?[)\]]?[.:]?", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(
    r"(?:[(\[] ?([a-z]{1,2}) ?[)\]][.:]?|[(\[]?([a-z]{1,2})[)\].:]) ?(.+)", re.IGNORECASE
)


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


@dataclass(frozen=True)
class Match:
    """Feedback that asks a judge about one output after the other: right is 1, wrong 0."""

    verify: Verifier

    def __call__(self, rows: Sequence[Example], outputs: Sequence[str]) -> list[Verdict]:
        verdicts = [self.verify(row, output) for row, output in zip(rows, outputs, strict=True)]
        return [Verdict(correct, float(correct)) for correct in verdicts]

    def about(self, rows: Sequence[Example]) -> str:
        """How the rows are judged: "choice of 2 to 5 options", "exact match", or a judge's own name."""
        if self.verify not in (exact_match, multiple_choice):
            return getattr(self.verify, "__name__", type(self.verify).__name__).replace("_", " ")
        if sizes := {len(row.options) for row in rows if row.options}:
            return f"choice of {' to '.join(map(str, sorted({min(sizes), max(sizes)})))} options"
        return "exact match"
