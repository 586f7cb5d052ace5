"""The charts of a report on predicted numbers, as inline SVG."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from gatewise.training.report.charts import chart
from gatewise.training.report.svg import FIRST, MUTED, drawing, inline

_BINS = 31

Points = Sequence[tuple[float, float]]
"""Pairs of a true and a predicted number."""


@drawing()
def predicted(points: Points, name: str = "predicted") -> Markup:
    """Predicted by true numbers, a point for each row.

    Args:
        points: Pairs of a true and a predicted number.
        name: What the ids in the page begin with.
    """
    truth, found = zip(*points, strict=True)
    figure, axes = chart("true number", "predicted number")
    ends = [min(*truth, *found), max(*truth, *found)]
    axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=":")
    axes.scatter(truth, found, s=9, color=FIRST, alpha=0.5, linewidths=0)
    return inline(
        figure,
        name,
        "Predicted by true number",
        f"{len(truth)} rows: true numbers from {min(truth):.4g} to {max(truth):.4g}, predicted "
        f"ones from {min(found):.4g} to {max(found):.4g}.",
    )


@drawing()
def residuals(points: Points, name: str = "residuals") -> Markup:
    """A histogram of the errors; the arguments are those of `predicted`."""
    errors = [found - truth for truth, found in points]
    figure, axes = chart("predicted minus true number", "rows")
    axes.hist(errors, bins=_edges(min(errors), max(errors)), color=FIRST)
    axes.axvline(0, color=MUTED, linewidth=1, linestyle=":")
    return inline(
        figure,
        name,
        "Rows by their error",
        f"Errors from {min(errors):.4g} to {max(errors):.4g}, {sum(errors) / len(errors):.4g} in "
        "the mean.",
    )


def _edges(low: float, high: float) -> list[float]:
    """The edges of the bins, all of them different, also where the errors are (nearly) equal."""
    edges = np.linspace(low, high, _BINS + 1)
    if not (np.diff(edges) > 0).all():
        margin = 1e-3 * max(abs(low), abs(high)) or 0.5
        edges = np.linspace(low - margin, high + margin, _BINS + 1)
    found: list[float] = edges.tolist()
    return found
