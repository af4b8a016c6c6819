import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hir.errors import UserError
from hir.feedback.base import Match, build_feedback
from hir.feedback.constraints import check, read_constraints
from hir.records import Constraint, Example
from hir.tasks.ifeval import KINDS, constraint


def asks(kind: str, **arguments: Any) -> Constraint:
    return constraint(kind, arguments)


LESS, LEAST = "less than", "at least"
NTH = "length_constraints:nth_paragraph_first_word"

# Kind, arguments, answers that meet it, answers that miss it, with | between them.
JUDGED: list[tuple[str, dict[str, Any], str, str]] = [
    # Keywords stand anywhere, as plain text; what is forbidden, as a word.
    ("keywords:existence", {"keywords": ["cat", "C++"]},
     "c++ for CATS|concatenate C++|C++\ncat", "cat|c+ cat|c a t C++"),
    ("keywords:frequency", {"keyword": "Owl", "frequency": 2, "relation": LEAST},
     "owl, OWL|howls and owlets|owlowl", "owl|o w l owl|Öwl owl"),
    ("keywords:frequency", {"keyword": ".", "frequency": 1, "relation": LESS}, "a|!?|1,5", "a.|.|1.5"),
    ("keywords:forbidden_words", {"forbidden_words": ["no", "C++"]}, "know|c+|nö", "No!|yes or no|C++|(no)"),
    ("keywords:letter_frequency", {"letter": "A", "let_frequency": 3, "let_relation": LEAST},
     "banana|AAA|a-a-a", "bann|áàâ|aa"),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 1, "let_relation": LESS},
     "a|1|no tag", "#|a #tag|C#"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": LEAST},
     'One. Two.|Is it? It is|He said "No." I left.|一。二。|Well... yes!|Wow!!! (Really?) Yes.',
     "One|Mr. X. Smith vs. 3.5 e.g. that|1. first|!!! ???|a.b|One."),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": LESS},
     "1. One.\n2. Two.|a|See Dr. Who. Now", "A! B! C? D.|One. Two. Three|So! So! So!"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2},
     "a***b|***\na\n***\nb\n***|a\n\nb *** c", "a|a******b|a***b***c|***|a\n\nb"),
    ("length_constraints:number_words", {"num_words": 3, "relation": LEAST},
     "a b c|it's 1|über-große Maus", "a b|a, - b|snake_case x"),
    ("length_constraints:number_words", {"num_words": 2, "relation": LESS}, "a|!|a_b", "a b|it's|1.5"),
    (NTH, {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Ja"},
     'a\n\nja, b|a\n\n\n\n"Ja" b|a b\nc\n\nJA.', "ja\n\na|a\nja|a\n\nja\n\nb|a\n\njam"),
    ("detectable_content:number_placeholders", {"num_placeholders": 2},
     "[a] [b]|[first name][x]|[[a]] [ü]", "[a]|[] []|[a\nb] [c]|(a) (b)"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"},
     "Hi\nP.P.S. more|p. p. s x|P.P.S", "P.S. x|PPS|P.P"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."},
     "P.S.|Bye\np. s. x|P.P.S. x", "PxSx|P.S|P.P.S"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2},
     "* a\n* b|- a\n  - b\nc|x\n\n* a\n- b", "* a|a * b * c|** a\n** b|* a\n* b\n* c"),
    ("detectable_format:constrained_response", {},
     "My answer is no.|Hm. My answer is yes.|x\nMy answer is maybe.",
     "my answer is no.|My answer is no|My answer is yes. My answer is no.|yes"),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2},
     "*a* *b c*|**a** or *b*|* x\n*a* **b**", "*a*|**a** x|* a\n* b|*a\nb* *c*|* * **|**a** b **"),
    ("detectable_format:multiple_sections", {"section_spliter": "Day", "num_sections": 2},
     "Day 1\na\nDay 2|Day1Day2|Day 1 Day 10 Day 3", "Day 1|day 1 day 2|Day one Day two|Day  1 Day  2"),
    ("detectable_format:json_format", {},
     '{"a": [1]}|```json\n[]\n```|```\n{}\n```', "3|\"a\"|{'a': 1}|{} and more"),
    ("detectable_format:title", {}, "<<a>>|x << ü >> y|<<a>>\n<<>>", "<a>|<<>>|<< >>|<<a\nb>>|>>a<<"),
    ("combination:two_responses", {}, "a******b|******\na\n******\nb|a, b ****** c",
     "a|a******a|a***b|a******b******c|a************b|******"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it. (Now)"},
     "Say it. (Now) It.| say it. (NOW)|SAY IT. (NOW)\nx", "It. Say it. (Now)|Say it (Now)|Say it."),
    ("startend:end_checker", {"end_phrase": "Peace! "},
     'War and peace!|"Peace!" |PEACE!\n', "Peace|Peace! Bye|Peace!."),
    ("startend:quotation", {}, '"a"| "a" b "c"\n|"ü\nb"', 'a|"a|"|""|" "|“a”|a"'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": LEAST},
     "I AM|WELL-KNOWN DON'T x|U.S. ÜBER", "WELL-KNOWN|Hello World|DON'T|1 2"),
    ("change_case:capital_word_frequency", {"capital_frequency": 1, "capital_relation": LESS},
     "a|Hi|1", "A|I am|x-Y Z"),
    ("change_case:english_capital", {}, "A|ÜBER 1!|HI\nYOU", "a|Hi|123|HI you"),
    ("change_case:english_lowercase", {}, "a|über 1!|hi\nyou", "A|Hi|123|hi YOU"),
    ("punctuation:no_comma", {}, "a|a; b|a، b", "a, b|,|1,000"),
]  # fmt: skip
ASKED = [asks(kind, **arguments) for kind, arguments, *_ in JUDGED]


@pytest.mark.parametrize(("kind", "arguments", "meet", "miss"), JUDGED, ids=str)
def test_answers_meet_or_miss(kind: str, arguments: dict[str, Any], meet: str, miss: str) -> None:
    asked, right, wrong = asks(kind, **arguments), meet.split("|"), miss.split("|")
    assert [output for output in right if not check(asked, output)] == []
    assert [output for output in [*wrong, "", " \n"] if check(asked, output)] == []


def test_every_kind_of_ifeval_is_judged_by_hand() -> None:
    assert {kind for kind, *_ in JUDGED} == KINDS.keys() - {"language:response_language"} and len(KINDS) == 25


def test_a_language_is_told_alike_every_time_where_langdetect_is(monkeypatch: pytest.MonkeyPatch) -> None:
    english, french = (asks("language:response_language", language=code) for code in ("en", "fr"))
    assert check(french, "Où est la bibliothèque de notre petite ville ?")
    assert not any(check(french, o) for o in ("Where is the library of our town?", "123", "...", ""))
    assert len({check(english, "taxi hotel no") for _ in range(20)}) == 1  # of which it is unsure
    monkeypatch.setitem(sys.modules, "langdetect", None)  # as if it were not installed
    with pytest.raises(UserError, match="pip install langdetect"):
        asks("language:response_language", language="fr")


@given(st.text() | st.text("*<>[]\"'.,!\n PS1aA{}`-"))
def test_no_text_makes_a_checker_fail(output: str) -> None:
    for asked in ASKED:  # white space around an answer is no part of it
        assert check(asked, output) == check(asked, output.strip()) == check(asked, f"{output} ")


def test_no_long_answer_makes_a_checker_fail() -> None:
    for text in ("[", '{"a":', "9", "P.", "*a", "<<"):
        assert not all([check(asked, text * 100_000) for asked in ASKED])


LOWER, NO_COMMA = asks("change_case:english_lowercase"), asks("punctuation:no_comma")


def test_verdicts_say_what_is_met_and_other_rows_go_to_their_own_feedback() -> None:
    cat = asks("keywords:existence", keywords=["cat"])
    row = Example("Name animals.", (), constraints=(cat, NO_COMMA))
    plain = Example("1+1", ("2",))
    feedback = build_feedback({"name": "constraints"}, Match())
    outputs = ["cat; dog", "2", "cat, dog", "owl, dog", "", "3"]
    verdicts = feedback([row, plain, row, row, row, plain], outputs)
    assert [v.correct for v in verdicts] == [True, True, False, False, False, False]
    assert [v.score for v in verdicts] == [1.0, 1.0, 0.5, 0.0, 0.0, 0.0]
    assert [v.met for v in verdicts] == [(True, True), (), (True, False), (False,) * 2, (False,) * 2, ()]
    assert json.dumps([v.met for v in verdicts])  # truth values, not matches
    assert feedback([], []) == []


@pytest.mark.parametrize(("kind", "arguments"), [
    ("length_constraints:number_words", {"num_words": 3, "relation": "more than"}),
    ("keywords:existence", {"keywords": [1]}),
    ("keywords:existence", {"keywords": {"a": {"b": 1}}}),
    ("startend:end_checker", {"end_phrase": None}),
    ("punctuation:no_comma", {"most": 1}),
    (["punctuation:no_comma"], {}),
])  # fmt: skip
def test_constraints_of_a_file_that_cannot_be_checked_are_refused(kind: Any, arguments: Any) -> None:
    with pytest.raises(UserError, match="^constraints: "):
        read_constraints([{"text": "as asked", "kind": kind, "arguments": arguments}])
