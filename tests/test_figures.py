"""hir/figures.py: the numbers of a curve by hand, and what is drawn."""

from __future__ import annotations

import pytest

from hir.figures import curve_image, interval


def test_interval_is_t_times_the_standard_error() -> None:
    # Mean 0.9, standard deviation 0.1: 4.303 x 0.1 / sqrt(3).
    assert interval([0.8, 0.9, 1.0]) == pytest.approx(0.24843, abs=1e-5)
    assert interval([0.5, 0.5]) == 0
    assert interval([0.7]) is None
    # Of 0 and 1 by turns: t of the table x sqrt(n / 4 / (n - 1)) / sqrt(n), which is t / 2 / sqrt(n - 1).
    assert interval([0, 1] * 15) == pytest.approx(2.045 / 2 / 29**0.5)
    assert interval([0, 1] * 50) == pytest.approx(1.96 / 2 / 99**0.5)


def test_more_than_ten_curves_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: saved.append(figure))
    curves = {f"arm {i}": [(0, 0.5, 0.25), (10, 0.7, 0.125)] for i in range(11)}
    curves["arm 3"] = []  # not yet run
    curve_image(curves, base=0.5)
    (axes,) = saved[0].axes
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == [label for label in curves if curves[label]] + ["base"]
    looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines]
    assert len({*looks}) == 11 and looks[3][0] == "C4"  # colours are those of the places
    band = [tuple(point) for point in axes.collections[0].get_paths()[0].vertices]
    assert {(0, 0.25), (0, 0.75), (10, 0.575), (10, 0.825)} <= {*band}
    assert looks[0][0] == looks[9][0] == "C0" and looks[0][1:] != looks[9][1:]


def test_images_take_any_name_as_it_is() -> None:
    curves = {name: [(0, 0.5), (10, 0.7)] for name in ["costs $a$", "half $", r"$\broken{$", "a <b> & c"]}
    image = curve_image(curves, "$x^$")
    assert image.startswith(b"\x89PNG") and curve_image(curves, "$x^$") == image
