"""The learning curves as a picture: a chart for each corpus, a line for each candidate."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmarks.accuracy.points import Point

_COLUMNS = 5
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gatewise",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3,
}
"""The look of a picture; the same numbers give the same bytes."""


def write_picture(file: Path, points: Sequence[Point], titles: Mapping[str, str]) -> None:
    """Draws mean accuracy by the number of training rows; the same points give the same bytes."""
    names = list(dict.fromkeys(point.corpus for point in points))
    titles = {key: titles[key] for key in titles if key in {point.candidate for point in points}}
    rows = -(-len(names) // _COLUMNS)
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(13, 2.6 * rows + 0.8), layout="constrained")
        charts = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for chart in charts[len(names) :]:
            chart.set_axis_off()
        for name, chart in zip(names, charts, strict=False):
            by_size: dict[str, list[Point]] = {}
            for point in points:
                if point.corpus == name and point.candidate in titles:
                    by_size.setdefault(point.size, []).append(point)
            # Equal for two sizes, if no label has more rows than the smaller one asks for.
            rows_of = {size: _mean_rows(found) for size, found in by_size.items()}
            for number, (key, title) in enumerate(titles.items()):
                curve = sorted(
                    (rows_of[size], 100 * mean(accuracies))
                    for size, found in by_size.items()
                    if (accuracies := [p.accuracy for p in found if p.candidate == key])
                )
                x, y = [x for x, _ in curve], [y for _, y in curve]
                chart.plot(x, y, "o-", label=title, zorder=3 - number / 10)
            ticks = sorted({*rows_of.values()})
            chart.set_title(name, loc="left")
            chart.set_xscale("log")
            chart.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
            chart.minorticks_off()
        figure.supxlabel("training rows")
        figure.supylabel("test accuracy, %; of goemotions micro F1")
        lines, labels = charts[0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside upper center", ncols=4)
        figure.draw_without_rendering()
        for chart in charts[: len(names)]:
            _hide_overlapping(chart.get_xticklabels())
        figure.savefig(file, metadata={"Date": None, "Creator": None})


def _mean_rows(points: Sequence[Point]) -> float:
    """Training rows of a size: draws may differ in them, and not every candidate has every draw."""
    return mean({point.draw: point.rows for point in points}.values())


def _hide_overlapping(labels: Sequence[Text]) -> None:
    """Hides each label of an axis that the next visible one would overlap."""
    start = math.inf
    for label in reversed(labels):
        extent = label.get_window_extent()
        label.set_visible(extent.x1 < start)
        if label.get_visible():
            start = extent.x0
