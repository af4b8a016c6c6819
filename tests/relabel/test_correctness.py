import pytest

from hir.relabel.correctness import Instructions, render_prompt

INSTRUCTIONS = Instructions(correct="Be right.", wrong="Be wrong.", others=("Be brief.",))


@pytest.mark.parametrize(("correct", "instruction"), [(True, "Be right."), (False, "Be wrong.")])
def test_relabel_gives_the_instruction_that_the_answer_fits(correct: bool, instruction: str) -> None:
    assert INSTRUCTIONS.relabel(correct) == instruction


def test_negate_swaps_right_and_wrong() -> None:
    assert INSTRUCTIONS.negate("Be right.") == "Be wrong."
    assert INSTRUCTIONS.negate("Be wrong.") == "Be right."


def test_prompt_is_instruction_question_and_answer_cue() -> None:
    assert render_prompt("Be right.", "How many?\nOptions:\n(A) 1") == (
        "Be right.\nQ: How many?\nOptions:\n(A) 1\nA:"
    )


def test_prompt_ends_with_the_start_of_the_answer_if_given() -> None:
    assert render_prompt("Be right.", "How many?", "there are") == "Be right.\nQ: How many?\nA: there are"
