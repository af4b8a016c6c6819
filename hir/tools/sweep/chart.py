"""The chart of a sweep: parallel coordinates, a line a run through its settings to the metric."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from hir.figures import plain
from hir.tools.sweep.plan import Run, Sweep, text
from hir.tools.sweep.space import Parameter


class Choices:
    """An axis of listed values, evenly spaced in their order."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.names = list(dict.fromkeys(map(text, values)))
        short = [name if len(name) <= 18 else f"{name[:17]}…" for name in self.names]
        self.ticks = [(self.place(name), plain(label)) for name, label in zip(self.names, short, strict=True)]

    def place(self, value: Any) -> float:
        """Height of a value, 0 to 1; a single one is in the middle."""
        return self.names.index(text(value)) / (len(self.names) - 1) if len(self.names) > 1 else 0.5


class Scale:
    """An axis of numbers from low to high, linear or logarithmic."""

    def __init__(self, low: float, high: float, log: bool = False) -> None:
        from matplotlib.ticker import LogLocator, MaxNLocator

        self.log = log and low > 0
        if self.log:
            marks = list(LogLocator(subs=(1, 2, 5)).tick_values(low, high))
        else:
            marks = list(MaxNLocator(5).tick_values(low, high))
        if low == high:
            marks = [low]
        self.low, self.high = low, high
        inside = [mark for mark in marks if low <= mark <= high]
        self.ticks = [
            (self.place(mark), f"{mark:.4g}") for mark in (inside if len(inside) > 1 else [low, high])
        ]

    def place(self, value: Any) -> float:
        """Height of a value, 0 to 1; in the middle where there is but one."""
        low, high, value = (
            map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return float((value - low) / (high - low)) if high > low else 0.5


Axis = Choices | Scale


def axis_of(parameter: Parameter, values: Sequence[Any]) -> Axis:
    """The axis of a parameter: what the file lists, else the range of the file, else that of the values."""
    if "values" in parameter.options:
        return Choices(parameter.options["values"])
    low, high = min(values), max(values)
    if (bounds := parameter.bounds) and bounds[0] <= low and high <= bounds[1]:
        low, high = bounds
    return Scale(low, high, parameter.log)


def chart(sweep: Sweep, points: Sequence[tuple[Run, float]]) -> bytes:
    """A PNG: a line a run, darker where the metric is better, the best one red.

    Args:
        sweep: at least one of its parameters varies.
        points: the runs with a value of the metric, the best first; at least one.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path
    from matplotlib.patheffects import withStroke

    runs, values = zip(*points, strict=True)
    columns = [[run.settings[parameter.name] for run in runs] for parameter in sweep.varied]
    axes = [axis_of(parameter, column) for parameter, column in zip(sweep.varied, columns, strict=True)]
    columns.append(list(values))
    metric = Scale(min(values), max(values))
    axes.append(metric)
    last = len(axes) - 1
    figure = Figure(figsize=(max(6.0, 1.2 + 1.7 * len(axes)), 4.4), dpi=120, layout="constrained")
    plot = figure.add_subplot()
    for i, value in reversed(list(enumerate(values))):  # the best on top
        heights = [axis.place(column[i]) for axis, column in zip(axes, columns, strict=True)]
        corners, codes = [(0.0, heights[0])], [Path.MOVETO]
        for x, (here, there) in enumerate(zip(heights, heights[1:], strict=False)):
            corners += [(x + 0.45, here), (x + 0.55, there), (x + 1.0, there)]
            codes += [Path.CURVE4] * 3
        goodness = metric.place(value) if sweep.metric.maximize else 1 - metric.place(value)
        color, width = ("#d1495b", 3.0) if i == 0 else (colormaps["Blues"](0.3 + 0.6 * goodness), 1.6)
        path = Path(corners, [int(code) for code in codes])
        plot.add_patch(
            PathPatch(path, fill=False, edgecolor=color, linewidth=width, zorder=3 if i == 0 else 2)
        )
    halo = [withStroke(linewidth=3, foreground="white")]
    for x, axis in enumerate(axes):
        plot.plot([x, x], [0, 1], color="#444444", linewidth=1.0, zorder=4)
        side = -1 if x < last else 1
        for height, label in axis.ticks:
            plot.plot([x - 0.015, x + 0.015], [height, height], color="#444444", linewidth=1.0, zorder=4)
            align = "right" if side < 0 else "left"
            place = (x + 0.04 * side, height)
            plot.annotate(label, place, ha=align, va="center", fontsize=8, path_effects=halo, zorder=5)
    names = [plain(parameter.name).replace(".", ".\n", 1) for parameter in sweep.varied]
    goal = "higher is better" if sweep.metric.maximize else "lower is better"
    plot.set_xticks(range(len(axes)), [*names, f"{plain(sweep.metric.name)}\n({goal})"], fontsize=9)
    plot.tick_params(axis="x", length=0, pad=6)
    plot.set_yticks([])
    plot.set(xlim=(-0.35, last + 0.35), ylim=(-0.05, 1.05))
    plot.spines[:].set_visible(False)
    number = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    plot.set_title(f"{plain(sweep.path.stem)}: {number}, the best (run {runs[0].number}) in red", fontsize=11)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()
