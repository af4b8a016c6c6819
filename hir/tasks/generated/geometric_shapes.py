"""Generated SVG paths: "This SVG path element <path d="M 10.00,2.00 L ..."/> draws a" -> (J), triangle.

Rows in the style of BIG-bench's geometric_shapes, any number of them. As there, circles have "ellipse" and
rectangles "trapezoid" for an eleventh option, which gives them away; as in BIG-Bench Hard it is the one right
answer (in BIG-bench the narrower name is right, too). Points are complex numbers.
"""

import cmath
import math
import random
from dataclasses import dataclass

from hir.config.schema import limited
from hir.records import Example
from hir.tasks.base import GeneratedTask, choice_row, register

POLYGONS = {"triangle": 3, "pentagon": 5, "hexagon": 6, "heptagon": 7, "octagon": 8}
SHAPES = tuple(sorted((*POLYGONS, "circle", "kite", "line", "rectangle", "sector")))
WIDER = {"circle": "ellipse", "rectangle": "trapezoid"}


@dataclass(frozen=True)
class Settings:
    """Difficulty of geometric_shapes (``task.settings.*``)."""

    max_sides: int = limited(8, "[4, 8]")
    """Most sides of a shape; names of polygons with more are no option."""
    max_breaks: int = limited(7, "[0, 7]")
    """Most corners at which the pen is set down anew."""
    whole: int = limited(25, "[0, 100]")
    """Percentage of shapes with whole coordinates, which have no breaks and stand upright."""


@register("geometric_shapes")
class GeometricShapes(GeneratedTask[Settings]):
    """Name the shape that an SVG path draws: one of ten options, in alphabetical order, or an eleventh."""

    Settings = Settings

    def example(self, rng: random.Random) -> Example:
        s = self.settings
        options = tuple(name for name in SHAPES if POLYGONS.get(name, 0) <= s.max_sides)
        shape = rng.choice(options)
        path = draw(shape, rng.randrange(100) < s.whole, s.max_breaks, rng)
        stem = f'This SVG path element <path d="{path}"/> draws a'
        if shape in WIDER:
            return choice_row(stem, (*options, WIDER[shape]), len(options))
        return choice_row(stem, options, options.index(shape))


def draw(shape: str, whole: bool, max_breaks: int, rng: random.Random) -> str:
    """The path of one shape of that name, at a random place, size and turn."""
    # A quarter turn at least: BIG-bench's circles and sectors with whole coordinates all have a turn of 0.00.
    turn = rng.choice((90, 180, 270)) if whole else rng.uniform(1, 359)
    zoom = 1 if whole else rng.uniform(0.4, 1)
    points = [point * cmath.rect(zoom, math.radians(turn)) for point in outline(shape, rng)]
    reach = math.ceil(max(map(abs, points)))
    # A sector begins at its centre: a whole one, among corners that are not, would give it away.
    x, y = (rng.randint(reach, 100 - reach) if whole else rng.uniform(reach, 100 - reach) for _ in "xy")
    # Adding 0 turns -0.00 into 0.00.
    corners = [f"{round(p.real + x, 2) + 0:.2f},{round(p.imag + y, 2) + 0:.2f}" for p in points]
    radius = f"{abs(points[1]):.2f}"
    arc = f"A {radius},{radius} {turn:.2f} {'0,1' if shape == 'sector' else '1,0'}"
    letters = {"line": "L", "circle": "AA", "sector": "LAL"}.get(shape, "L" * len(points))
    inner = [i for i, letter in enumerate(letters[:-1], 1) if letter == "L"]
    breaks = rng.sample(inner, 0 if whole else rng.randint(0, min(max_breaks, len(inner))))
    path = f"M {corners[0]}"
    for i, letter in enumerate(letters, 1):
        corner = corners[i % len(corners)]
        path += f" {arc if letter == 'A' else 'L'} {corner}" + (f" M {corner}" if i in breaks else "")
    return path


def outline(shape: str, rng: random.Random) -> list[complex]:
    """Corners around 0, none farther than 45; whole but for a sector, whose first corner is its centre."""
    if shape == "line":
        end = whole_point(rng.uniform(5, 45), rng.uniform(0, math.tau))
        return [-end, end]
    if shape == "circle":
        radius = complex(rng.randint(5, 30))
        return [radius, -radius]
    if shape == "sector":
        size, start, angle = rng.randint(8, 30), rng.uniform(0, math.tau), rng.uniform(0.4, 3)
        return [0, cmath.rect(size, start), cmath.rect(size, start + angle)]
    if shape == "rectangle":
        low, high = sorted(rng.sample(range(3, 32), 2))  # no square, which is a kite, too
        corner = complex(high, low)
        return [corner, -corner.conjugate(), -corner, corner.conjugate()]
    if shape == "kite":
        width, short, more = rng.randint(4, 22), rng.randint(3, 18), rng.randint(3, 24)
        return [(short + more) * 1j, complex(-width), -short * 1j, complex(width)]
    corners = range(POLYGONS[shape])
    while True:  # until, rounded, no side is short and no angle near 0 or 180 degrees
        spread = [math.tau * (i + rng.uniform(-0.4, 0.4)) / len(corners) for i in corners]
        points = [whole_point(rng.uniform(12, 45), angle) for angle in spread]
        lengths, turns = zip(*(cmath.polar(points[i] - points[i - 1]) for i in corners), strict=True)
        if min(lengths) > 4 and min(abs(math.sin(turns[i] - turns[i - 1])) for i in corners) > 0.15:
            return points[:: rng.choice((1, -1))]


def whole_point(radius: float, angle: float) -> complex:
    """The whole point next to that one."""
    point = cmath.rect(radius, angle)
    return complex(round(point.real), round(point.imag))
