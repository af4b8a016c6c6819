"""Charts as inline SVG: colours come from style.css, and marks and dashes tell apart what colours do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from hir.tools.report.html import Html, element, join

LEFT, RIGHT, TOP, BOTTOM = 40, 14, 26, 34
"""Margins of a chart with axes, in SVG units, which are about pixels."""

DASHES = (None, "7 3", "2 3", "8 3 2 3", "12 4")
MARKS = (
    "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",  # disc
    "m-2.8 -2.8h5.6v5.6h-5.6z",  # square
    "m0 -3.8l3.8 6.6h-7.6z",  # triangle
    "m0 -4l4 4l-4 4l-4 -4z",  # diamond
    "m0 3.8l3.8 -6.6h-7.6z",  # triangle on its tip
    "m-1 -3.5h2v2.5h2.5v2h-2.5v2.5h-2v-2.5h-2.5v-2h2.5z",  # cross
)
NUM_COLORS = 8
MAX_MARKS = 40
"""Of a curve; one of more points is drawn whole, with some of them marked."""


@dataclass(frozen=True)
class Curve:
    """A line of a chart."""

    label: str
    points: Sequence[tuple[float, float]]
    tips: Sequence[str]
    """What a point tells when it is pointed at."""
    style: int
    """Number of its colour, mark and dash."""


@dataclass(frozen=True)
class Axes:
    """What the curves are drawn in."""

    x_label: str
    bounds: tuple[float, float] | None = None
    """Of y; None for those of the curves."""
    base: float | None = None
    """Accuracy of the base, drawn as a level line."""
    above: Sequence[tuple[float, str]] = ()
    """Iterations over the chart: x and number."""
    size: tuple[int, int] = (460, 250)
    """Width and height in SVG units: the more, the smaller the text."""


def line_chart(title: str, curves: Sequence[Curve], axes: Axes, note: str = "", values: bool = False) -> Html:
    """A figure, empty without points; ``values`` adds a legend with each curve's last value."""
    curves = [curve for curve in curves if curve.points]
    if not curves:
        return Html("")
    right, low, high = _bounds(curves, axes)
    width, height = axes.size

    def x(value: float) -> float:
        return round(LEFT + value / right * (width - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(height - BOTTOM - (value - low) / (high - low) * (height - BOTTOM - TOP), 1)

    parts = []
    for tick in ticks(low, high, 4 if width > 300 else 3):
        parts.append(element("path", d=f"M{LEFT} {y(tick)}H{width - RIGHT}", class_="rule"))
        parts.append(element("text", f"{tick:g}", x=LEFT - 7, y=y(tick) + 4, text_anchor="end"))
    for tick in ticks(0, right, 5 if width > 300 else 3):
        parts.append(element("path", d=f"M{x(tick)} {height - BOTTOM}v4", class_="axis"))
        parts.append(element("text", short(tick), x=x(tick), y=height - BOTTOM + 16, text_anchor="middle"))
    parts.append(element("path", d=f"M{LEFT} {height - BOTTOM}H{width - RIGHT}", class_="axis"))
    middle = (LEFT + width - RIGHT) / 2
    parts.append(element("text", axes.x_label, x=middle, y=height - 3, text_anchor="middle", class_="name"))
    if axes.above:
        parts.append(element("text", "iteration", x=0, y=TOP - 9, class_="minor"))
    for place, text in axes.above:
        parts.append(element("path", d=f"M{x(place)} {TOP - 5}v4", class_="axis"))
        parts.append(element("text", text, x=x(place), y=TOP - 9, text_anchor="middle", class_="minor"))
    if axes.base is not None:
        parts.append(element("path", d=f"M{LEFT} {y(axes.base)}H{width - RIGHT}", class_="level"))
        end, over = width - RIGHT, y(axes.base) - 5
        parts.append(element("text", "base", x=end, y=over, text_anchor="end", class_="name"))
    for curve in curves:
        style = curve.style
        line = "L".join(f"{x(at)} {y(value)}" for at, value in curve.points)
        marks = []
        for at in _some(len(curve.points)):
            px, py = curve.points[at]
            tip = element("title", curve.tips[at])
            marks.append(
                element("path", tip, d=f"M{x(px)} {y(py)}{MARKS[style % len(MARKS)]}", class_="mark")
            )
        drawn = element("path", d=f"M{line}", class_="line", stroke_dasharray=DASHES[style % len(DASHES)])
        parts.append(element("g", drawn, marks, class_=f"c{style % NUM_COLORS}"))
    says = "; ".join(f"{c.label}: from {c.points[0][1]:.3g} to {c.points[-1][1]:.3g}" for c in curves)
    drawing = element(
        "svg", parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=f"{title}. {says}"
    )
    heading = element("h3", title) if [title] != [curve.label for curve in curves] else None
    caption = element("figcaption", heading, element("p", note) if note else None)
    return element(
        "figure",
        caption,
        legend(curves, ".3f" if axes.bounds else ".3g") if values else None,
        drawing,
        class_="chart",
    )


def _bounds(curves: Sequence[Curve], axes: Axes) -> tuple[float, float, float]:
    """The largest x, and the least and largest y."""
    right = max(at for curve in curves for at, _ in curve.points) or 1.0
    if axes.bounds:
        return right, *axes.bounds
    values = [value for curve in curves for _, value in curve.points]
    low, high = min(values), max(values)
    if 0 < low < high / 2:
        low = 0.0  # a little more room shows how far it still is from nothing
    spare = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return right, low - (spare if low else 0.0), high + spare


def legend(curves: Sequence[Curve], form: str | None = None) -> Html:
    """What each curve is, with its last value where a format is given."""
    items = []
    for curve in curves:
        style = curve.style
        line = element("path", d="M0 6H30", class_="line", stroke_dasharray=DASHES[style % len(DASHES)])
        mark = element("path", d=f"M15 6{MARKS[style % len(MARKS)]}", class_="mark")
        kind = f"swatch c{style % NUM_COLORS}"
        swatch = element("svg", line, mark, viewBox="0 0 30 12", class_=kind, aria_hidden="true")
        value = element("b", f" {curve.points[-1][1]:{form}}") if form else None
        items.append(element("li", swatch, element("span", curve.label, value)))
    return element("ul", items, class_="legend")


def _some(number: int) -> list[int]:
    """Places of at most MAX_MARKS of so many points, the first and the last among them."""
    step = max(1.0, (number - 1) / (MAX_MARKS - 1))
    return sorted({min(number - 1, round(step * i)) for i in range(min(number, MAX_MARKS))})


def ticks(low: float, high: float, number: int) -> list[float]:
    """About so many round numbers from low to high, which must be greater."""
    size = 10 ** math.floor(math.log10((high - low) / number))
    step = min((size * factor for factor in (1, 2, 2.5, 5, 10)), key=lambda s: abs((high - low) / s - number))
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 12) for i in range(math.floor(high / step + 1e-9) - first + 1)]


def short(value: float) -> str:
    """A number of an axis: 20k, 1.5M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def interval_strip(rows: Sequence[tuple[str, float, tuple[float, float] | None]]) -> Html:
    """Accuracies on a scale from 0 to 1, each with its interval: name, value, low and high."""
    width, left = 400, 52

    def x(value: float) -> float:
        return round(left + value * (width - left - 44), 1)

    height, parts = 26 * len(rows) + 24, []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(element("path", d=f"M{x(tick)} 2V{height - 20}", class_="rule"))
        parts.append(element("text", f"{tick:g}", x=x(tick), y=height - 5, text_anchor="middle"))
    for place, (name, value, span) in enumerate(rows):
        y = 26 * place + 16
        bar = element("path", d=f"M{x(span[0])} {y - 5}v10m0 -5H{x(span[1])}m0 -5v10") if span else None
        dot = element("path", d=f"M{x(value)} {y}{MARKS[place]}", class_="mark")
        end = x(span[1] if span else value) + 9
        parts += [
            element("text", name, x=0, y=y + 4, class_="name"),
            element(
                "g", bar, dot, element("title", f"{name} {value:.3f}"), class_=f"whisker c{7 - 7 * place}"
            ),
            element("text", f"{value:.3f}", x=end, y=y + 4, class_="name"),
        ]
    says = ", ".join(f"{name} {value:.3f}" for name, value, _ in rows)
    return element("svg", parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=says, class_="strip")


def stacked_bar(parts: Mapping[str, tuple[float, str]], total: float) -> Html:
    """Named amounts in words, as wide as their shares of ``total``, over a legend with those of their sum."""
    drawn, items, left = [], [], 0.0
    own = sum(value for value, _ in parts.values()) or 1.0
    for style, (name, (value, words)) in enumerate(parts.items()):
        width, kind = value / total * 1000, f"c{style % NUM_COLORS} fill"
        size = {"x": round(left, 1), "width": round(max(width - 2, 0.5), 1)}
        bar = element("rect", element("title", f"{name}: {words}"), **size, y=0, height=26)
        drawn.append(element("g", bar, class_=kind))
        dot = element("span", class_=f"dot {kind}", aria_hidden="true")
        items.append(
            element("li", dot, element("span", f"{name} ", element("b", words), f" {value / own:.0%}"))
        )
        left += width
    box = {"viewBox": "0 0 1000 26", "preserveAspectRatio": "none", "aria_hidden": "true"}
    return join(element("svg", drawn, **box, class_="bar"), element("ul", items, class_="legend"))


def verdict_wall(samples: Sequence[tuple[float, bool, str]]) -> Html:
    """A square a sample, a column an iteration, right ones at the bottom: iteration, right, what it was."""
    columns = [(key, list(found)) for key, found in groupby(samples, key=lambda sample: sample[0])]
    tallest, size = max(len(found) for _, found in columns), 12
    height, width = tallest * size + 20, max(len(columns) * size + 8, 170)
    parts = []
    every = math.ceil(len(columns) / 16)
    for place, (iteration, found) in enumerate(columns):
        for up, (_, right, tip) in enumerate(sorted(found, key=lambda sample: not sample[1])):
            x, y = place * size + 1, (tallest - up - 1) * size + 1
            shape = f"M{x} {y}h10v10h-10z" if right else f"M{x + 1} {y + 1}l8 8m0 -8l-8 8"
            parts.append(element("path", element("title", tip), d=shape, class_="yes" if right else "no"))
        if place % every == 0:
            middle = place * size + 6
            parts.append(element("text", f"{iteration:.0f}", x=middle, y=height - 6, text_anchor="middle"))
    says = f"{sum(right for _, right, _ in samples)} of {len(samples)} logged samples are right"
    box = f"0 0 {width} {height}"
    return element("svg", parts, viewBox=box, role="img", aria_label=says, class_="wall", width=width * 1.5)
