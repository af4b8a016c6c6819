"""Every row of every task file in the folders that HIR_TEST_DATA names is judged as the file says.

os.pathsep stands between folders; without any the small files below are read. A file that the
reader refuses is skipped with the reason: pytest -rs.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hir.errors import UserError
from hir.feedback.answers import multiple_choice, option_letter
from hir.records import Example
from hir.tasks.bigbench import read_rows

Row = dict[str, Any]
OWN: dict[str, dict[str, Any]] = {
    "cue": {"examples": [{"input": "Which?\nOptions:\n(A) 4\n(B) 8\nAnswer:", "target": "(B)"}]},
    "scores": {"examples": [{"input": f"{i}?", "target_scores": {"1.5": 0, "No": 1}} for i in range(12)]},
    "free": {"examples": [{"input": "q", "target": t} for t in ("0.5", 5, ["five", 5.5], "a b", ".", "2²")]},
}


def files() -> dict[str, Path | None]:
    folders = [Path(folder) for folder in os.environ.get("HIR_TEST_DATA", "").split(os.pathsep) if folder]
    found: dict[str, Path | None] = {str(p): p for folder in folders for p in sorted(folder.rglob("*.json"))}
    assert found or not folders, f"HIR_TEST_DATA: no .json file in {folders}"
    return found or dict.fromkeys(OWN)


def texts(row: Row) -> list[str]:
    """The targets that the file gives, as texts."""
    given = row.get("target", [])
    given = given if isinstance(given, list) else [given]
    return [t if isinstance(t, str) else json.dumps(t) for t in given]


def right_options(raw: Row, row: Example) -> set[int]:
    """What the file says, read in another way than the reader's."""
    scores = raw.get("target_scores", {})
    named = [" ".join(key.split()) for key in scores if scores[key] == max(scores.values())] or texts(raw)
    listed = [(f"({option_letter(i)})", option_letter(i), text) for i, text in enumerate(row.options)]
    by_text = {i for i, forms in enumerate(listed) if forms[2] in named}
    return by_text or {i for i, forms in enumerate(listed) if set(forms) & set(named)}


def usual_forms(row: Example, index: int) -> list[str]:
    text, letter = row.options[index], option_letter(index)
    if not row.lettered:
        return [text]
    labels = [f"({letter})", letter, f"{letter.lower()})", f"{letter}.", f"[{letter}]", f"Answer: {letter}"]
    both = [f"({letter}) {text}", f"{letter}. {text}", f"{letter}: {text}"]
    return labels + both + ([] if text.isalpha() and len(text) < 3 else [text])  # "B" is option (B)


@pytest.mark.parametrize(("name", "path"), files().items(), ids=str)
def test_every_row_is_judged_as_its_file_says(name: str, path: Path | None, tmp_path: Path) -> None:
    if path is None:
        path = tmp_path / name
        path.write_text(json.dumps(OWN[name]))
    try:
        rows, left_out = read_rows(path)
    except UserError as error:
        pytest.skip(f"refused: {error}")
    raws: list[Row] = json.loads(path.read_text("utf-8-sig"))["examples"]
    raws = [raw for number, raw in enumerate(raws, 1) if number not in left_out]
    assert len(rows) == len(raws)
    judged = 0
    for raw, row in zip(raws, rows, strict=True):
        right, wrong = [], ["", " ", f"({option_letter(len(row.options))})"]
        if row.options:
            chosen = right_options(raw, row)
            assert chosen, row
            for i in range(len(row.options)):
                (right if i in chosen else wrong).extend(usual_forms(row, i))
            wrong += [f"{row.options[i]} or {row.options[i]}" for i in chosen]
            wrong += [] if row.lettered else {option_letter(i) for i in chosen} - set(row.options)
        else:
            for target in texts(raw):
                right += [target, f" {target}\n", f"“{target}”", f"A: {target}", f"Answer: {target}"]
                right += [] if target.endswith(".") else [f"{target}."]
                right += [] if any(c.isdigit() for c in target) else [target.upper()]  # 5 mW, 5 MW
                wrong += [f"{target} {target}", f"{target} or {target}", f"{target}7", f"not {target}"]
            others = {text for other in raws[:50] for text in texts(other)}
            wrong += [text for text in others if not any(c.isdigit() for c in text)]  # 2.0 may be another's 2
        wrong = [answer for answer in wrong if answer not in texts(raw)]
        assert [answer for answer in right if not multiple_choice(row, answer)] == [], row
        assert [answer for answer in wrong if multiple_choice(row, answer)] == [], row
        judged += len(right) + len(wrong)
    print(f"{name}: {len(rows)} rows, {judged} answers judged")  # shown by pytest -rP
