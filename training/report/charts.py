"""The charts of a report, as inline SVG: learning curves, calibration, and the tokens of the texts.

No text and no label of a user is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gatewise.training.config.tokens_section import TokensConfig
from gatewise.training.config.training_section import MINIMIZED
from gatewise.training.evaluation.calibration import Calibration, ReliabilityBin
from gatewise.training.evaluation.error_analysis import UNKNOWN_BINS, ErrorAnalysis, ReadTexts
from gatewise.training.evaluation.rejection import Rejection
from gatewise.training.fit.progress import Epoch, Fitted, RateTest
from gatewise.training.report.metric_names import metric_name
from gatewise.training.report.svg import FIRST, INK, MARK, MUTED, SECOND, drawing, inline
from gatewise.vocab.tokenizer.encoding import ids_of_windows

_WIDTH, _HEIGHT = 440, 250
"""Size of a chart in SVG units: small, so that its text is readable on a phone."""

_MAX_DOTTED_EPOCHS = 25
"""With more epochs, the points of a curve have no dots."""

_SHORT_NUMBER = "{x:.6g}"
"""Numbers as settings write them, such as 0.001 and 1e-07."""


@drawing()
def losses(fitted: Fitted) -> Markup:
    """Training and validation loss by epoch."""
    epochs, best = fitted.epochs, fitted.best
    # The standardized squared error of a regression has no unit.
    unit = "loss" if fitted.metric == "rmse" else "loss, in nats"
    figure, axes = chart("epoch", unit)
    _curve(axes, epochs, [epoch.loss for epoch in epochs], "training", FIRST, "-")
    validation = [epoch.validation_loss for epoch in epochs]
    _curve(axes, epochs, validation, "validation", SECOND, "--")
    _mark(axes, best.number, f"kept: epoch {best.number}")
    _legend(axes)
    return inline(
        figure,
        "losses",
        "Loss by epoch",
        f"Over {len(epochs)} epochs the training loss goes from {epochs[0].loss:.3g} to "
        f"{epochs[-1].loss:.3g} and the validation loss from {validation[0]:.3g} to "
        f"{validation[-1]:.3g}. Epoch {best.number} was kept, with a validation loss of "
        f"{best.validation_loss:.3g}.",
    )


@drawing()
def metric(fitted: Fitted) -> Markup:
    """By epoch, the validation metric that the best epoch is chosen by."""
    epochs, best = fitted.epochs, fitted.best
    name = metric_name(fitted.metric)
    figure, axes = chart("epoch", f"validation {name}")
    values = [epoch.metric for epoch in epochs]
    _curve(axes, epochs, values, f"validation {name}", SECOND, "--")
    # Away from the curve: a loss ends low, every other metric ends high.
    end: Literal["top", "bottom"] = "top" if fitted.metric in MINIMIZED else "bottom"
    _mark(axes, best.number, f"kept: epoch {best.number}", end)
    _legend(axes)
    return inline(
        figure,
        "metric",
        f"Validation {name} by epoch",
        f"From {values[0]:.4g} in epoch 1 to {values[-1]:.4g} in epoch {epochs[-1].number}; "
        f"the best is {best.metric:.4g} in epoch {best.number}.",
    )


@drawing()
def learning_rates(fitted: Fitted) -> Markup:
    """The learning rate at the end of each epoch."""
    epochs = fitted.epochs
    figure, axes = chart("epoch", "learning rate")
    values = [epoch.learning_rate for epoch in epochs]
    _curve(axes, epochs, values, "rate of the epoch's last update", FIRST, "-")
    axes.set_ylim(0, 1.08 * max(values) or 1)
    axes.yaxis.set_major_formatter(_SHORT_NUMBER)
    _legend(axes)
    return inline(
        figure,
        "rates",
        "Learning rate by epoch",
        f"{values[0]:.3g} at the end of epoch 1, {max(values):.3g} at most, {values[-1]:.3g} "
        "at the end.",
    )


@drawing()
def lr_range_test(test: RateTest) -> Markup:
    """Loss by learning rate in a range test, and the rate chosen; one loss at least is finite."""
    points = [
        (rate, loss)
        for rate, loss in zip(test.rates, test.losses, strict=True)
        if math.isfinite(loss)
    ]
    figure, axes = chart("learning rate", "training loss, in nats")
    axes.plot(*zip(*points, strict=True), color=FIRST)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_SHORT_NUMBER)
    axes.minorticks_off()
    # The test ends where the loss explodes: on that scale the rest would look flat.
    lowest, first = min(loss for _, loss in points), points[0][1]
    fall = max(first - lowest, 0.05 * abs(first)) or 1
    axes.set_ylim(lowest - 0.15 * fall, first + fall)
    _mark(axes, test.chosen, f"{test.chosen:.2g}")
    return inline(
        figure,
        "rate-test",
        "Loss by learning rate in the range test",
        f"The rate rises from {test.rates[0]:.2g} to {test.rates[-1]:.2g}; the loss begins at "
        f"{first:.3g} and is lowest at {lowest:.3g}. The rate chosen is {test.chosen:.3g}.",
    )


def reliability(reviewed: ErrorAnalysis) -> Markup:
    """The reliability diagram: the share of correct predictions by predicted probability."""
    return _reliability(
        "trust",
        "Share of correct predictions by predicted probability",
        f"The mean gap between the probability and the share of correct predictions is "
        f"{reviewed.calibration_error:.1%}.",
        {"this model": reviewed.trust},
    )


def calibration(calibration: Calibration) -> Markup:
    """The reliability diagram of the validation rows, before and after calibration."""
    return _reliability(
        "calibration",
        "Share of correct predictions by predicted probability, before and after calibration",
        f"Dividing the logits by {calibration.temperature:.3g} takes the mean gap from "
        f"{calibration.ece_before:.1%} to {calibration.ece:.1%}.",
        {"before": calibration.before, "after": calibration.after},
    )


@drawing()
def _reliability(
    name: str, title: str, description: str, curves: Mapping[str, Sequence[ReliabilityBin]]
) -> Markup:
    """A reliability diagram with one curve or two, the last of which is the main one."""
    figure, axes = chart("predicted probability", "share of correct predictions")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="perfect calibration")
    styles = [(SECOND, "--"), (FIRST, "-")][-len(curves) :]
    for (label, bins), (colour, dash) in zip(curves.items(), styles, strict=True):
        filled = [each for each in bins if each.predictions]
        axes.plot(
            [each.probability for each in filled],
            [each.right for each in filled],
            color=colour,
            linestyle=dash,
            marker="o",
            label=label,
        )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    _percent(axes.xaxis, axes.yaxis)
    _legend(axes)
    return inline(figure, name, title, description)


@drawing()
def coverage(rejection: Rejection) -> Markup:
    """Accuracy of the answered validation rows, by the share of rows answered."""
    points, chosen = rejection.curve, rejection.chosen
    recalls = [
        point.out_of_scope_recall for point in points if point.out_of_scope_recall is not None
    ]
    figure, axes = chart("share of rows answered", "share of rows")
    answered = [point.answered for point in points]
    accuracies = [point.accuracy_answered for point in points]
    axes.plot(answered, accuracies, color=FIRST, label="answered: correct")
    if recalls:
        axes.plot(answered, recalls, color=SECOND, linestyle="--", label="out of scope: rejected")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0 if recalls else min(0.5, *accuracies), 1.02)
    _mark(axes, chosen.answered, f"threshold {chosen.threshold:.3g}", "bottom")
    _percent(axes.xaxis, axes.yaxis)
    _legend(axes)
    rejected = ""
    if chosen.out_of_scope_recall is not None:
        rejected = f" {chosen.out_of_scope_recall:.1%} of the rows out of scope are rejected."
    return inline(
        figure,
        "coverage",
        "Share of correct answers by the share of rows answered",
        f"With the threshold {chosen.threshold:.3g}, {chosen.answered:.1%} of the validation "
        f"rows are answered, and {chosen.accuracy_answered:.1%} of those answers are correct."
        f"{rejected}",
    )


@drawing()
def confidences(reviewed: ErrorAnalysis) -> Markup:
    """A histogram of the predictions by their probability."""
    bins = reviewed.trust
    total = sum(each.predictions for each in bins)
    width = 1 / len(bins)
    figure, axes = chart("predicted probability", "share of predictions")
    shares = [each.predictions / total for each in bins]
    edges = [index * width for index in range(len(bins))]
    _bars(axes, edges, shares, width)
    axes.set_xlim(0, 1.02)
    _percent(axes.xaxis)
    return inline(
        figure,
        "sureness",
        "Predictions by their probability",
        f"{shares[-1]:.1%} of {total} predictions have a probability of {edges[-1]:.0%} or "
        f"more, {shares[0]:.1%} a probability below {edges[1]:.0%}.",
    )


@drawing()
def lengths(reviewed: ReadTexts, tokens: TokensConfig) -> Markup:
    """A histogram of the texts by their number of tokens."""
    bins = reviewed.length_bins()
    longest = bins[-1].last
    unit, what = ("steps", "sequence") if tokens.unit == "vector" else ("tokens", "text")
    figure, axes = chart(f"{unit} of a {what}", f"share of {what}s")
    width = bins[0].last - bins[0].first + 1
    heights = [each.texts / reviewed.rows for each in bins]
    _bars(axes, [each.first - 0.5 for each in bins], heights, width)
    most = ids_of_windows(tokens.windows, tokens.max_length)
    if most <= 1.5 * longest:
        windows = "" if tokens.windows == 1 else f"{tokens.windows} windows of "
        _mark(axes, most + 0.5, f"{windows}max_length {tokens.max_length}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return inline(
        figure,
        "lengths",
        f"{what.capitalize()}s by their number of {unit}",
        f"From {bins[0].first} to at most {longest} {unit}"
        f"{', [CLS] included' if what == 'text' else ''}; "
        f"{reviewed.truncated} of {reviewed.rows} {what}s were truncated.",
    )


@drawing()
def unknown_tokens(reviewed: ReadTexts, *, is_sequence: bool = False) -> Markup:
    """A histogram of the texts by their share of tokens that are not in the dictionary.

    Of sequences, it is that of missing numbers.
    """
    noun, what = ("missing numbers", "sequence") if is_sequence else ("unknown tokens", "text")
    counts = reviewed.unknown
    filled = max((index for index, texts in enumerate(counts) if texts), default=0)
    figure, axes = chart(f"{noun} in a {what}", f"share of {what}s")
    step = 1 / UNKNOWN_BINS
    heights = [texts / reviewed.rows for texts in counts]
    _bars(axes, [-step], heights[:1], step, SECOND)
    _bars(axes, [index * step for index in range(UNKNOWN_BINS)], heights[1:], step)
    axes.annotate("none", (-step / 2, heights[0]), (0, 3), textcoords="offset points", ha="center")
    axes.set_xlim(-1.6 * step, max(4, filled) * step + 0.4 * step)
    axes.set_ylim(top=1.12 * max(heights))
    _percent(axes.xaxis)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5]))
    return inline(
        figure,
        "unknown",
        f"{what.capitalize()}s by their share of {noun}",
        f"{counts[0]} of {reviewed.rows} {what}s have no {noun[:-1]}; the largest share of "
        f"{noun} in a {what} is {filled * step:.0%} or slightly less.",
    )


def chart(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """An empty chart of the size of all others."""
    # The axes have a fixed position, which does not depend on the fonts of the machine.
    figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72))
    axes = figure.add_axes((0.16, 0.19, 0.81, 0.68))
    axes.set_xlabel(x_label, labelpad=6)
    axes.set_ylabel(y_label, labelpad=6)
    axes.tick_params(length=0, pad=6)
    return figure, axes


def _bars(
    axes: Axes, edges: Sequence[float], shares: Sequence[float], width: float, colour: str = FIRST
) -> None:
    axes.bar(edges, shares, width=0.92 * width, align="edge", color=colour)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.grid(visible=False, axis="x")


def _legend(axes: Axes) -> None:
    """A legend in one row above the axes."""
    lines, _ = axes.get_legend_handles_labels()
    place = (-0.02, 1.0)
    axes.legend(
        loc="lower left", bbox_to_anchor=place, ncols=len(lines), borderpad=0, handlelength=2.2
    )


def _mark(axes: Axes, x: float, words: str, end: Literal["top", "bottom"] = "top") -> None:
    """A vertical line, labelled at one end, on the side with more room."""
    axes.axvline(x, color=MARK, linestyle=":")
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


def _percent(*axes: Axis) -> None:
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1, decimals=0))


def _curve(
    axes: Axes, epochs: Sequence[Epoch], values: Sequence[float], name: str, colour: str, dash: str
) -> None:
    numbers = [epoch.number for epoch in epochs]
    marker = "o" if len(epochs) <= _MAX_DOTTED_EPOCHS else None
    axes.plot(numbers, values, color=colour, linestyle=dash, marker=marker, ms=4, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    if len(epochs) == 1:
        axes.set_xlim(numbers[0] - 0.5, numbers[0] + 0.5)
