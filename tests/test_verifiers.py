import pytest

from hir.records import Example
from hir.verifiers import exact_match, multiple_choice, normalise_answer, option_letter, read_choice


def ask(options: tuple[str, ...], target: str) -> Example:
    return Example(query="q", targets=(target,), options=options)


BIRDS = ask(("The owl", "The raven", "The robin"), "(B)")


def test_normalise_removes_space_and_full_stops_and_case() -> None:
    assert normalise_answer(" The Answer. is\n3.5 ") == "theansweris35"


@pytest.mark.parametrize(
    ("output", "right"), [("3", True), (" Three.", True), ("13", False), ("", False), (" . ", False)]
)
def test_exact_match_takes_any_target_as_a_whole(output: str, right: bool) -> None:
    assert exact_match(Example("q", ("3", "three")), output) is right


def test_exact_match_never_credits_an_empty_output() -> None:
    assert not exact_match(Example("q", (".",)), "")


@pytest.mark.parametrize("output", ["(B)", "B", "b)", "(B", "( B )", "B.", "(b).", "The raven", "the raven.",
                                    "(B) The raven", "B. the raven", "b) the  raven."])  # fmt: skip
@pytest.mark.parametrize("target", ["(B)", "B", "The raven"])
def test_right_choice_by_letter_or_text(output: str, target: str) -> None:
    assert multiple_choice(ask(BIRDS.options, target), output)


@pytest.mark.parametrize("output", ["", " ", "()", "(A)", "A", "(D)", "AB", "(A) (B)", "(B) or (C)",
                                    "The owl", "raven", "The raven flies", "(B) The owl",
                                    "(A) The raven", "B The raven"])  # fmt: skip
def test_wrong_choice(output: str) -> None:
    assert not multiple_choice(BIRDS, output)


def test_letter_reading_goes_before_the_text_of_another_option() -> None:
    swapped = ask(("B", "A"), "(A)")
    assert multiple_choice(swapped, "A")
    assert not multiple_choice(swapped, "B")
    assert multiple_choice(swapped, "(A) B")
    assert not multiple_choice(swapped, "(A) A")


def test_single_letters_that_label_nothing_are_texts() -> None:
    assert multiple_choice(ask(("x", "y"), "(B)"), "y")
    assert not multiple_choice(ask(("x", "y"), "(B)"), "x")


def test_text_keeps_inner_full_stops_and_must_be_unique() -> None:
    assert not multiple_choice(ask(("15", "1.5"), "(B)"), "15")
    assert multiple_choice(ask(("15", "1.5"), "(B)"), "1.5")
    assert read_choice("yes", ("Yes", "yes.")) is None


def test_rows_without_options_fall_back_to_exact_match() -> None:
    assert multiple_choice(Example("q", ("valid",)), "Valid")


def test_letters_go_on_after_z() -> None:
    assert [option_letter(i) for i in (0, 25, 26, 27, 52, 701)] == ["A", "Z", "AA", "AB", "BA", "ZZ"]
    options = tuple(f"option number {i}" for i in range(30))
    assert read_choice("(AC)", options) == 28
    assert read_choice("(AE)", options) is None
