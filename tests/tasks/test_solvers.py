"""Each family's solver, which reads text alone, on generated rows; and the audit, which uses it."""

import json
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from hir.__main__ import main
from hir.tasks.base import GENERATORS, generated_task
from hir.tasks.bigbench import listed_options
from hir.tasks.files import SOURCES

NAMES = sorted(SOURCES["bbh"])


@pytest.mark.parametrize("name", NAMES)
def test_a_solver_that_reads_the_text_answers_generated_rows_and_every_option_is_met(name: str) -> None:
    solve = import_module(GENERATORS.modules()[name].replace(".generated.", ".solvers.")).solve
    task = generated_task(name, {})
    rows = [task.row(5, i) for i in range(600)]
    for row in rows:
        answer = solve(listed_options(row.query)[0], row.options)
        assert (row.options[ord(row.targets[0][1]) - 65] if row.options else row.targets[0]) == answer
    assert len({row.query for row in rows}) > 590
    by_size: dict[int, Counter[str]] = {}
    for row in (row for row in rows if row.options):
        size, answer = len(row.options), row.targets[0]
        if name == "geometric_shapes":  # ten shapes, two of which are always an eleventh option
            size, answer = 10, row.options[ord(answer[1]) - 65]
        by_size.setdefault(size, Counter())[answer] += 1
    for size, met in by_size.items():
        # Each option as often as the others, but for chance; a row's size may itself be rare.
        assert met.total() < 30 * size or (len(met) == size and min(met.values()) > 0.5 * met.total() / size)


def test_an_audit_names_the_rows_whose_label_is_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sort = "Sort the following words alphabetically: List: "
    rows = [(sort + "river apple", "apple river"), (sort + "b a", "b a"), ("Which?", "a"), ("Q", "")]
    rows += [(sort + f"x{i} w", f"w x{i}") for i in range(96)]
    examples = [{"input": text, "target": target} for text, target in rows]
    (tmp_path / "word_sorting.json").write_text(json.dumps({"examples": examples}))
    assert main(["audit", str(tmp_path)]) == 0
    first, unread, other = capsys.readouterr().out.splitlines()
    assert first.startswith("word_sorting: 99 rows, 98 read, 97 agree; 0 generated are among")
    assert unread.startswith("  example 3 is not read: ")
    assert other.startswith("  example 2 is a b, the file says b a: ")
    assert main(["audit", str(tmp_path / "none")]) == 2
