"""The charts of a report that show how far a model can be trusted.

Draws numbers and words of its own only: no text or label of a user comes in here.
"""

from collections.abc import Sequence

from gatewise.training.evaluation.calibration import Calibration, ReliabilityBin
from gatewise.training.evaluation.error_analysis import ErrorAnalysis
from gatewise.training.evaluation.rejection import Rejection
from gatewise.training.report.axes import chart, legend, note
from gatewise.training.report.svg import FIRST, MARK, MUTED, SECOND, drawing, inline
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter


def trust(reviewed: ErrorAnalysis) -> Markup:
    """The reliability diagram: how often the model is right, by the probability that it gives."""
    with drawing():
        figure, axes = chart("probability that the model gives", "share that is right")
        _diagonal(axes)
        _reliability(axes, reviewed.trust, "as it is", FIRST, "-")
        legend(axes, columns=2)
        return inline(
            figure,
            "trust",
            "Share of right predictions by probability",
            f"The mean gap between the probability and the share that is right is "
            f"{reviewed.calibration_error:.1%}.",
        )


def calibration(calibration: Calibration) -> Markup:
    """The reliability diagram of the validation rows, before and after calibration."""
    with drawing():
        figure, axes = chart("probability that the model gives", "share that is right")
        _diagonal(axes)
        _reliability(axes, calibration.before, "before", SECOND, "--")
        _reliability(axes, calibration.after, "after", FIRST, "-")
        legend(axes, columns=3)
        return inline(
            figure,
            "calibration",
            "Share of right predictions by probability before and after calibration",
            f"Dividing the logits by {calibration.temperature:.3g} takes the mean gap from "
            f"{calibration.ece_before:.1%} to {calibration.ece:.1%}.",
        )


def coverage(rejection: Rejection) -> Markup:
    """How right the answers are, by the share of the validation rows that are given one."""
    points, chosen = rejection.curve, rejection.chosen
    recalls = [
        point.out_of_scope_recall for point in points if point.out_of_scope_recall is not None
    ]
    with drawing():
        figure, axes = chart("share of rows that are given a label", "share of rows")
        shares = [point.answered for point in points]
        right = [point.accuracy_answered for point in points]
        axes.plot(shares, right, color=FIRST, label="right, of those")
        if recalls:
            found_out = "out of scope, found out"
            axes.plot(shares, recalls, color=SECOND, linestyle="--", label=found_out)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0 if recalls else min(0.5, *right), 1.02)
        axes.axvline(chosen.answered, color=MARK, linestyle=":")
        note(axes, chosen.answered, f"threshold {chosen.threshold:.3g}", "bottom")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        legend(axes, columns=2)
        found = ""
        if chosen.out_of_scope_recall is not None:
            found = f" {chosen.out_of_scope_recall:.1%} of the rows out of scope are given none."
        return inline(
            figure,
            "coverage",
            "Share of right answers by the share of rows answered",
            f"With the threshold {chosen.threshold:.3g}, {chosen.answered:.1%} of the validation "
            f"rows are given a label, and {chosen.accuracy_answered:.1%} of those the right one."
            f"{found}",
        )


def sureness(reviewed: ErrorAnalysis) -> Markup:
    """How many predictions the model gives which probability."""
    bins = reviewed.trust
    total = sum(found.predictions for found in bins)
    width = 1 / len(bins)
    with drawing():
        figure, axes = chart("probability that the model gives", "share of predictions")
        shares = [found.predictions / total for found in bins]
        edges = [index * width for index in range(len(bins))]
        axes.bar(edges, shares, width=0.92 * width, align="edge", color=FIRST)
        axes.set_xlim(0, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.grid(visible=False, axis="x")
        return inline(
            figure,
            "sureness",
            "Predictions by their probability",
            f"{shares[-1]:.1%} of {total} predictions have a probability of {edges[-1]:.0%} or "
            f"more, {shares[0]:.1%} one below {edges[1]:.0%}.",
        )


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="as it says")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))


def _reliability(
    axes: Axes, bins: Sequence[ReliabilityBin], name: str, colour: str, dash: str
) -> None:
    filled = [found for found in bins if found.predictions]
    axes.plot(
        [found.probability for found in filled],
        [found.right for found in filled],
        color=colour,
        linestyle=dash,
        marker="o",
        label=name,
    )
