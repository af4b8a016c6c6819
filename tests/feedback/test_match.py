import pytest

from hir.feedback.answers import exact_match, in_words, multiple_choice, option_letter, read_choice
from hir.records import Example

Judged = tuple[str | tuple[str, ...], str, str]

# Target or targets, right answers, wrong answers, with | between them.
FREE: list[Judged] = [
    # Decimal points, trailing zeros and the full stop that ends an answer.
    ("1.5", "1.5|1.50|1.5.| 1.5 |+1.5", "15|1,5|1. 5|1.5.0|1.51|-1.5|1..5"),
    ("0.5", ".5|0.5.|0.50", "05|5|0,5|0.05|.05|50%|1/2"),
    ("3", "3|3.0|Answer: 3|A: 3|answer: 3.|“3”", "three|13|3 apples|03|3²"),
    # Signs, and what looks like one.
    ("-3", "-3|−3|- 3|-3.0|–3", "3|+3|--3|3-|minus 3|(3)"),
    ("0", "0|-0|0.0|0.", "|o|00|.|0 0|10"),
    # Thousands.
    ("1,234", "1234|1,234|1234.0|1,234.", "1.234|1, 2345|12,34|1 234|1234,|234"),
    ("1e3", "1E3", "1000|1,000"),  # perhaps a code
    ("0.1", "0.10", "0.1000000000000000000000000000000000000000001|0.01|01"),
    # Codes, dates and versions are no numbers.
    ("007", "007|007.", "7|07|0.07"),
    ("05/02/2021", "05/02/2021|05/02/2021.", "5/2/2021|05022021|05/03/2021|05.02.2021"),
    ("1.2.3", "1.2.3|1.2.3.", "1.23|123|1.2.30"),
    ("1/2", "1/2|1 / 2|1⁄2", "0.5|2/4|12|1/20"),
    # Units, percentages and currencies: they must be there, and be right.
    ("5 kg", "5 kg|5kg|5.0 kg|5 kg.", "5|5 g|5 mg|50 kg|5 kg 3|kg|5 kgs more"),
    ("5 mW", "5mW|5.0 mW", "5 MW|5 W|5 m"),
    ("\U0001f3f4\U000e0067\U000e0062", "🏴\U000e0067\U000e0062", "🏴"),
    ("5 m²", "5 m²|5.0 m²", "5 m|5 m³|5"),
    ("50%", "50 %|50.0%|50%.", "0.5|50|5%|50 %%|50‰"),
    ("$1,234.50", "$1234.5|$ 1,234.50|1,234.5 $", "€1234.50|1234.50|$123450|$1234"),
    ("-$5", "-$5.00|−$5", "$5|-5|-€5"),
    ("5", "5", "$5|5 kg|5%|5!|5-|5,|five|5 5"),
    # Words: case, white space, the last full stop; nothing inside a longer output.
    (("nine", "9"), "nine|Nine.|9|9.|NINE", "ninety|nine objects|9 or 10|n i n e|nin|8"),
    ("Yes", "yes|YES.|“Yes.”|\"Yes\".|'yes'|Yes .|A: Yes|Answer : Yes| yes\n",
     "No|Yes, it is.|Yes. No.|yes yes|The answer is yes|Yes\nQ: next|Yes A:|yeses|Yes!|y"),
    ("No. I counted up to 1.", "no. I counted up to 1", "No|No I counted up to 1|No. I counted up to 11."),
    ("Straße", "STRASSE|straße", "Strase"),
    # Lists: the same items in the same order, however spaces stand beside commas and brackets.
    ("apple, pear", "apple,pear|Apple , Pear.", "pear, apple|apple pear|apple|apple, pear, plum"),
    ("12 4", "12 4|12  4", "124|4 12|12, 4|12 4 4|12.4"),
    # Unicode: the same characters in other forms, and those that only look alike.
    ("café", "cafe\u0301|CAFÉ", "cafe"),
    ("2²", "2²", "22|2|2³|4"),
    ("well-known", "well–known|well\u2011known|well−known", "well known|wellknown"),
    ('say "hi"', "say “hi”|say «hi»", "say hi|hi"),
    ('"a" and "b"', "“a” and “b”", 'a" and "b|a and b'),
    # Answers that are hardly more than punctuation.
    (".", ".|“.”", "| |..|...|,|?|. ."),
    ("...", "...", ".|..|"),
    # A lone letter, as in inputs whose options are not read.
    ("(B)", "(B)|B|b)|B.|“(B)”|Answer: (B)|A: B", "A|(A)|(B) or (C)|BB||()"),
]  # fmt: skip

BIRDS = ("The owl", "The raven", "The robin")
# Options, the right one's letter, right answers, wrong answers.
LETTERED: list[tuple[tuple[str, ...], str, str, str]] = [
    (BIRDS, "B",
     "(B)|B|b)|(B|( B )|B.|(b).|[B]|B:|“B”|Answer: B|answer: (B)|The raven|the raven.|'The raven'"
     "|Answer: The raven|(B) The raven|B. the raven|b) the  raven.|B: The raven|[B] the raven|(B): the raven"
     "|(B) “the raven”",
     "| |.|()|(A)|A|C.|(D)|AB|(A) (B)|(B) or (C)|(B) (B)|A: B|2|The|The owl|raven|The raven flies"
     "|(B) The owl|(A) The raven|A: The raven|B The raven|B: raven|The answer is (B)|(B)\nQ: next"
     "|(B) The raven, not (A)|В"),  # Cyrillic
    (("5 mg", "5 Mg", "5 kg"), "A", "5 mg|5.0 mg|A", "5 Mg|5 kg|5"),
    (("1", "1.0", "2"), "B", "1.0|B|(B) 1.0|(B) 1.00", "1|1.00|(B) 1|2"),  # 1.00 could be either
    (("-3", "3"), "A", "-3|−3|A: −3", "3|+3|A: 3"),
    (("B", "A"), "A", "A|(A) B|a.", "B|(B)|(A) A"),
    (("Yes", "No"), "B", "no|No.|B|(B) No|“No.”", "Yes|No, it is not.|A|not|no no|n"),
    (("purple ball.", "red ball."), "A", "purple ball|Purple ball.|(A) purple ball", "red ball|ball."),
]  # fmt: skip
# Options that stand in no query: letters name nothing.
BY_TEXT: list[tuple[tuple[str, ...], str, str, str]] = [
    (("Yes", "No"), "No", "No|no.|“No”|Answer: no", "B|(B)|Yes|A|(B) No|No way|"),
    (("B", "A"), "A", "A|a|(A)", "B|b)"),
    (("Polish", "polish"), "Polish", "Polish", "polish|POLISH"),
]  # fmt: skip

# The first two are targets that are no letter in brackets.
ROWS = [(Example("q", (target,), BIRDS), *LETTERED[0][2:]) for target in ("B", "The raven")]
ROWS += [(Example("q", (target,) if isinstance(target, str) else target), *said) for target, *said in FREE]
ROWS += [
    (Example("q", (f"({target})" if lettered else target,), options, lettered), *said)
    for table, lettered in ((LETTERED, True), (BY_TEXT, False))
    for options, target, *said in table
]


@pytest.mark.parametrize(("example", "right", "wrong"), ROWS)
def test_judged_as_a_person_would(example: Example, right: str, wrong: str) -> None:
    judges = [multiple_choice] if example.options else [multiple_choice, exact_match]
    for judge in judges:
        assert [answer for answer in right.split("|") if not judge(example, answer)] == []
        assert [answer for answer in wrong.split("|") if judge(example, answer)] == []


def test_a_target_that_is_no_option_is_compared_as_a_text() -> None:
    row = Example("q", ("(B)", "No. It is odd."), ("Yes", "No"))
    assert all(multiple_choice(row, answer) for answer in ("B", "No.", "no. it is odd"))
    assert not any(
        multiple_choice(row, answer) for answer in ("Yes", "A", "No. It is", "Yes. It is odd.", "")
    )


def test_an_answer_that_could_be_two_options_names_neither() -> None:
    assert [read_choice(text, ("Yes", "yes.")) for text in ("yes", "Yes", "yes.")] == [None, 0, 1]


def test_in_words_the_targets_are_texts_where_a_text_names_its_option() -> None:
    given = {("(B)", "C"): BIRDS, ("(A)",): ("B", "A"), ("The raven", "nobody"): BIRDS}  # "B" is (B) there
    told = [in_words(Example("q", targets, options)).targets for targets, options in given.items()]
    assert told == [("The raven", "The robin"), ("(A)",), ("The raven", "nobody")]
    assert in_words(Example("q", ("7",))).targets == ("7",)


def test_an_answer_that_is_empty_once_normalised_is_never_right() -> None:
    row = Example("q", ("\u200b",))
    assert not exact_match(row, "") and not multiple_choice(row, " ")


def test_letters_go_on_after_z() -> None:
    assert [option_letter(i) for i in (0, 25, 26, 27, 52, 701)] == ["A", "Z", "AA", "AB", "BA", "ZZ"]
    options = tuple(f"option number {i}" for i in range(30))
    assert read_choice("(AC)", options) == 28
    assert read_choice("(AE)", options) is None
