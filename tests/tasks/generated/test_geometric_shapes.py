import pytest

from hir.errors import UserError
from hir.tasks.base import generated_task
from hir.tasks.solvers.geometric_shapes import solve


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("M 1.00,1.00 L 5.00,1.00 M 5.00,1.00 L 5.00,4.00 L 1.00,4.00 L 1.00,1.00", "rectangle"),
        ("M 3.00,1.00 L 5.00,3.00 L 3.00,9.00 L 1.00,3.00 L 3.00,1.00", "kite"),
        ("M 9.00,5.00 A 4.00,4.00 0.00 1,0 1.00,5.00 A 4.00,4.00 0.00 1,0 9.00,5.00", "circle"),
        ("M 5.00,5.00 L 9.00,5.00 A 4.00,4.00 0.00 0,1 5.00,9.00 L 5.00,5.00", "sector"),
    ],
)
def test_a_shape_is_named_by_its_geometry(path: str, shape: str) -> None:
    assert solve(f'A <path d="{path}"/> draws a', ("circle", "kite", "rectangle", "sector")) == shape


def test_settings_limit_sides_and_breaks() -> None:
    row = generated_task("geometric_shapes", {"max_sides": 6, "max_breaks": 0, "whole": 100}).row(0, 0)
    assert row.query.count("M") == 1 and len(row.options) == 8 and row.query.endswith("(H) triangle")
    with pytest.raises(UserError, match=r"max_sides must be an integer in \[4, 8\]"):
        generated_task("geometric_shapes", {"max_sides": 9})
