"""What the charts of a report have in common: their size, and where axes, words and legends stand.

Knows matplotlib and no figure of a run.
"""

from typing import Literal

from gatewise.training.report.svg import INK
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

_WIDTH, _HEIGHT = 440, 250
"""Size of a chart in the units of its drawing: small, so that its text is readable on a phone."""


def chart(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """An empty chart with words at its axes."""
    # A fixed place for the axes: where they stand does not depend on the fonts of a machine.
    figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72))
    axes = figure.add_axes((0.16, 0.19, 0.81, 0.68))
    axes.set_xlabel(x_label, labelpad=6)
    axes.set_ylabel(y_label, labelpad=6)
    axes.tick_params(length=0, pad=6)
    return figure, axes


def note(axes: Axes, x: float, words: str, end: Literal["top", "bottom"] = "top") -> None:
    """Words at an end of a vertical line, on the side where there is room."""
    place = axes.transLimits.transform(axes.transScale.transform((x, 1)))[0]
    side = -1 if place > 0.5 else 1
    axes.annotate(
        words,
        (x, 1 if end == "top" else 0),
        (5 * side, -2 if end == "top" else 5),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="left" if side > 0 else "right",
        va=end,
        color=INK,
    )


def legend(axes: Axes, columns: int) -> None:
    """A legend above a chart."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, borderpad=0, handlelength=2.2
    )


def plain() -> FuncFormatter:
    """Numbers as they are spoken of in settings, such as 0.001 and 1e-07."""
    return FuncFormatter(lambda value, _: f"{value:.6g}")
