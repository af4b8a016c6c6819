"""Curves of accuracy against answers sampled: how they are drawn, and what numbers say of them."""

import io
import math
from collections.abc import Mapping, Sequence
from statistics import stdev

T_VALUES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""The t with P(|T| <= t) = 0.95 for Student's T with 1 to 30 degrees of freedom; 1.96 is taken for more."""


def interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % interval of the mean by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    t = T_VALUES[len(values) - 2] if len(values) - 2 < len(T_VALUES) else 1.96
    return t * stdev(values) / math.sqrt(len(values))


def curve_image(
    curves: Mapping[str, Sequence[tuple[float, ...]]],
    title: str = "",
    y_label: str = "accuracy",
    base: float | None = None,
    shares: bool = True,
    x_label: str = "answers sampled",
) -> bytes:
    """A PNG of curves, as a rule against the answers sampled: the same bytes each time.

    Args:
        curves: label to points: x, y and, for a band around them, half its width. One without points is left
            out, and keeps its place among the colours, of which there are ten, then again with other markers.
        base: y of a dashed level line: the base's accuracy.
        shares: whether y is from 0 to 1, and shown so.
    """
    import numpy as np
    from matplotlib import rc_context  # takes a second
    from matplotlib.figure import Figure

    content = io.BytesIO()
    with rc_context({"text.parse_math": False}):  # whatever stands in a name between two $
        figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
        axes = figure.add_subplot()
        for place, (label, points) in enumerate(curves.items()):
            if points:
                x, y, *halves = zip(*points, strict=True)
                color, marker = f"C{place % 10}", "os^Dv*P"[place % 7]
                axes.plot(x, y, color=color, marker=marker, markersize=4, label=label)
                for half in halves:
                    under, over = np.subtract(y, half), np.add(y, half)
                    axes.fill_between(x, under, over, color=color, alpha=0.18, linewidth=0)
        if base is not None:
            axes.axhline(base, color="black", linewidth=0.8, linestyle="--", label="base")
        if shares:
            axes.set_ylim(-0.02, 1.02)
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        axes.grid(alpha=0.25)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="best", frameon=False)
        figure.savefig(content, format="png")
    return content.getvalue()
