"""The goals as text, and the prompt that holds one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Instructions:
    """p_correct, p_wrong and any further instructions to contrast with."""

    correct: str
    wrong: str
    others: tuple[str, ...] = ()

    def relabel(self, correct: bool) -> str:
        """The script phi of the paper: the instruction that an answer judged ``correct`` fits."""
        return self.correct if correct else self.wrong

    def negate(self, instruction: str) -> str:
        """The opposite of p_correct or p_wrong."""
        return self.wrong if instruction == self.correct else self.correct


def render_prompt(instruction: str, query: str, suffix: str = "") -> str:
    """The encoder's input: instruction, "Q:" and the query, "A:" and, if given, the start of the answer."""
    return f"{instruction}\nQ: {query}\nA:{' ' + suffix if suffix else ''}"
