"""The paper's two instructions, as relabeling."""

from hir.config.schema import InstructionConfig
from hir.records import Example, Rollout, Verdict
from hir.relabel.correctness import Correctness

PHI = Correctness(InstructionConfig(correct="Be right.", wrong="Be wrong.", others=["Be brief."]))
ROW = Example("How many?", ("3",))


def rollout(correct: bool) -> Rollout:
    return Rollout(0, "How many?", "Be right.", "3", (5, 1), Verdict(correct, float(correct)), "3")


def test_rows_are_asked_for_a_right_answer() -> None:
    assert (PHI.goal(ROW), PHI.opposite(ROW)) == ("Be right.", "Be wrong.")
    assert PHI.texts == ("Be right.", "Be wrong.", "Be brief.")


def test_an_answer_gets_the_instruction_that_it_fits_and_is_contrasted_with_all_others() -> None:
    assert PHI.instruction(rollout(True)) == "Be right."
    assert PHI.contrast(rollout(True)) == ("Be wrong.", "Be brief.")
    assert PHI.instruction(rollout(False)) == "Be wrong."
    assert PHI.contrast(rollout(False)) == ("Be right.", "Be brief.")
