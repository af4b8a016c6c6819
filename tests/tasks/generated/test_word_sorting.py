import pytest

from hir.errors import UserError
from hir.tasks.base import generated_task

EASY = {"max_words": 4, "num_words": 26, "compounds": False, "forms": 1}


def test_answers_are_right() -> None:
    task = generated_task("word_sorting", {**EASY, "min_words": 3, "max_words": 5})
    lengths = set()
    for i in range(500):
        row = task.row(0, i)
        head, listed = row.query.split(" List: ")
        words = listed.split()
        assert head == "Sort the following words alphabetically:"
        assert row.targets == (" ".join(sorted(words)),) and len(set(words)) == len(words)
        assert task.verify(row, row.targets[0].upper() + ".") and not task.verify(row, " ".join(words[:-1]))
        lengths.add(len(words))
    assert lengths == {3, 4, 5}


@pytest.mark.parametrize("num_words", [5, 208])
def test_words_are_drawn_from_so_many(num_words: int) -> None:
    task = generated_task("word_sorting", {**EASY, "num_words": num_words})
    words = {word for i in range(2000) for word in task.row(0, i).targets[0].split()}
    assert len(words) == num_words and min(words) == "able"


@pytest.mark.parametrize(
    "settings", [{"min_words": 1}, {"min_words": 5}, {"num_words": 3}, {"num_words": 209}]
)
def test_settings_that_cannot_be_drawn_from_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UserError, match="2 <= min_words <= max_words <= num_words <= 208"):
        generated_task("word_sorting", {**EASY, **settings})


def test_the_defaults_are_as_hard_as_bigbench() -> None:
    rows = [generated_task("word_sorting", {}).row(0, i) for i in range(2000)]
    listed = [row.query.removesuffix("\nSorted:").split("List: ")[1].split() for row in rows]
    assert [row.targets for row in rows] == [(" ".join(sorted(words)),) for words in listed]
    assert {*map(len, listed)} == {*range(2, 21)} and len({word for words in listed for word in words}) > 5000
    heads = {row.query.split("List:")[0] for row in rows}
    assert heads == {f"Sort the following words alphabetically:{end}" for end in " \n"}
