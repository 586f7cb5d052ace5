"""The learning curves as a picture: a chart for each corpus, a line for each candidate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from matplotlib import style
from matplotlib.figure import Figure

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
            ticks: set[float] = set()
            for number, (key, title) in enumerate(titles.items()):
                of_size: dict[str, list[Point]] = {}
                for point in points:
                    if (point.candidate, point.corpus) == (key, name):
                        of_size.setdefault(point.size, []).append(point)
                curve = sorted(
                    (mean(each.rows for each in found), 100 * mean(each.accuracy for each in found))
                    for found in of_size.values()
                )
                x, y = [x for x, _ in curve], [y for _, y in curve]
                chart.plot(x, y, "o-", label=title, zorder=3 - number / 10)
                ticks.update(x)
            chart.set_title(name, loc="left")
            chart.set_xscale("log")
            chart.set_xticks(sorted(ticks), [f"{tick:,.0f}" for tick in sorted(ticks)])
            chart.minorticks_off()
        figure.supxlabel("training rows")
        figure.supylabel("test accuracy, %; of goemotions micro F1")
        lines, labels = charts[0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside upper center", ncols=4)
        figure.savefig(file, metadata={"Date": None, "Creator": None})
