"""python -m hir new-task refuses a name before it writes; what it writes tests/test_docs.py tries."""

import pytest

from hir.errors import UserError
from hir.tools import new_task


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((name, "is no name for a task") for name in ("", "Parity", "2x", "_x", "x__y", "x-y", "../x", "é")),
        *((name, "there is a task") for name in ("object_counting", "geometric_shapes")),
    ],
)
def test_bad_names_are_refused(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(new_task, "atomic_write")
    with pytest.raises(UserError, match=message):
        new_task.run(new_task.Options(name), [])
