"""The charts of a report that show how a network learnt and what its texts are like.

Draws numbers and words of its own only: no text or label of a user comes in here.
"""

import math
from collections.abc import Sequence
from typing import Literal

from gatewise.training.evaluation.error_analysis import UNKNOWN_BINS, ErrorAnalysis
from gatewise.training.fit.progress import Epoch, Fitted, RateTest
from gatewise.training.report.axes import chart, legend, note, plain
from gatewise.training.report.model_card import metric_in_words
from gatewise.training.report.svg import FIRST, MARK, SECOND, drawing, inline
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

_FEW_EPOCHS = 25
"""Up to so many epochs each has a dot of its own."""


def losses(fitted: Fitted) -> Markup:
    """The loss on the training and the validation rows after each epoch."""
    epochs, best = fitted.epochs, fitted.best
    with drawing():
        figure, axes = chart("epoch", "loss, in nats")
        _line(axes, epochs, [epoch.loss for epoch in epochs], "training", FIRST, "-")
        validation = [epoch.validation_loss for epoch in epochs]
        _line(axes, epochs, validation, "validation", SECOND, "--")
        _mark_best(axes, fitted, "top")
        legend(axes, columns=2)
        return inline(
            figure,
            "losses",
            "Loss by epoch",
            f"Over {len(epochs)} epochs the training loss goes from {epochs[0].loss:.3g} to "
            f"{epochs[-1].loss:.3g} and the validation loss from {validation[0]:.3g} to "
            f"{validation[-1]:.3g}. Epoch {best.number} was kept, with a validation loss of "
            f"{best.validation_loss:.3g}.",
        )


def metric(fitted: Fitted) -> Markup:
    """The metric that the best epoch was chosen by, after each epoch."""
    epochs, best = fitted.epochs, fitted.best
    name = metric_in_words(fitted.metric)
    with drawing():
        figure, axes = chart("epoch", f"validation {name}")
        values = [epoch.metric for epoch in epochs]
        _line(axes, epochs, values, f"validation {name}", SECOND, "--")
        # Where the curve is not: what is to rise begins low, and ends high.
        _mark_best(axes, fitted, "top" if fitted.metric == "loss" else "bottom")
        legend(axes, columns=1)
        return inline(
            figure,
            "metric",
            f"Validation {name} by epoch",
            f"From {values[0]:.4g} in epoch 1 to {values[-1]:.4g} in epoch {epochs[-1].number}; "
            f"the best is {best.metric:.4g} in epoch {best.number}.",
        )


def rates(fitted: Fitted) -> Markup:
    """The learning rate at the end of each epoch."""
    epochs = fitted.epochs
    with drawing():
        figure, axes = chart("epoch", "learning rate")
        values = [epoch.learning_rate for epoch in epochs]
        _line(axes, epochs, values, "rate of the epoch's last update", FIRST, "-")
        axes.set_ylim(0, 1.08 * max(values) or 1)
        axes.yaxis.set_major_formatter(plain())
        legend(axes, columns=1)
        return inline(
            figure,
            "rates",
            "Learning rate by epoch",
            f"{values[0]:.3g} at the end of epoch 1, {max(values):.3g} at most, {values[-1]:.3g} "
            "at the end.",
        )


def rate_test(test: RateTest) -> Markup:
    """The loss over the rate of a range test, at least one of them finite, and the rate chosen."""
    points = [
        (rate, loss)
        for rate, loss in zip(test.rates, test.losses, strict=True)
        if math.isfinite(loss)
    ]
    with drawing():
        figure, axes = chart("learning rate", "training loss, in nats")
        axes.plot(*zip(*points, strict=True), color=FIRST)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(plain())
        axes.minorticks_off()
        # The test ends where the loss explodes: the rest would be flat beside it.
        lowest, first = min(loss for _, loss in points), points[0][1]
        fall = max(first - lowest, 0.05 * abs(first)) or 1
        axes.set_ylim(lowest - 0.15 * fall, first + fall)
        axes.axvline(test.chosen, color=MARK, linestyle=":")
        note(axes, test.chosen, f"{test.chosen:.2g}")
        return inline(
            figure,
            "rate-test",
            "Loss by learning rate in the range test",
            f"The rate rises from {test.rates[0]:.2g} to {test.rates[-1]:.2g}; the loss begins at "
            f"{first:.3g} and is lowest at {lowest:.3g}. The rate chosen is {test.chosen:.3g}.",
        )


def lengths(reviewed: ErrorAnalysis, max_length: int) -> Markup:
    """Texts by their number of tokens."""
    bins = reviewed.length_bins()
    longest = bins[-1].last
    with drawing():
        figure, axes = chart("tokens of a text", "share of texts")
        width = bins[0].last - bins[0].first + 1
        axes.bar(
            [found.first - 0.5 for found in bins],
            [found.texts / reviewed.rows for found in bins],
            width=0.92 * width,
            align="edge",
            color=FIRST,
        )
        if max_length <= 1.5 * longest:
            axes.axvline(max_length + 0.5, color=MARK, linestyle=":")
            note(axes, max_length + 0.5, f"max_length {max_length}")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.grid(visible=False, axis="x")
        return inline(
            figure,
            "lengths",
            "Texts by their number of tokens",
            f"From {bins[0].first} to at most {longest} tokens, the begin mark included; "
            f"{reviewed.truncated} of {reviewed.rows} texts were cut.",
        )


def unknown(reviewed: ErrorAnalysis) -> Markup:
    """Texts by the share of their tokens that the dictionary does not know."""
    counts = reviewed.unknown
    filled = max((index for index, texts in enumerate(counts) if texts), default=0)
    with drawing():
        figure, axes = chart("unknown tokens in a text", "share of texts")
        step = 1 / UNKNOWN_BINS
        heights = [texts / reviewed.rows for texts in counts]
        axes.bar([-step], heights[:1], width=0.92 * step, align="edge", color=SECOND)
        edges = [index * step for index in range(UNKNOWN_BINS)]
        axes.bar(edges, heights[1:], width=0.92 * step, align="edge", color=FIRST)
        axes.annotate(
            "none", (-step / 2, heights[0]), (0, 3), textcoords="offset points", ha="center"
        )
        axes.set_xlim(-1.6 * step, max(4, filled) * step + 0.4 * step)
        axes.set_ylim(top=1.12 * max(heights))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5]))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.grid(visible=False, axis="x")
        return inline(
            figure,
            "unknown",
            "Texts by their share of unknown tokens",
            f"{counts[0]} of {reviewed.rows} texts hold no unknown token; the worst hold "
            f"{filled * step:.0%} or a little less.",
        )


def _line(
    axes: Axes, epochs: Sequence[Epoch], values: Sequence[float], name: str, colour: str, dash: str
) -> None:
    numbers = [epoch.number for epoch in epochs]
    marker = "o" if len(epochs) <= _FEW_EPOCHS else None
    axes.plot(numbers, values, color=colour, linestyle=dash, marker=marker, ms=4, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    if len(epochs) == 1:
        axes.set_xlim(numbers[0] - 0.5, numbers[0] + 0.5)


def _mark_best(axes: Axes, fitted: Fitted, end: Literal["top", "bottom"]) -> None:
    axes.axvline(fitted.best.number, color=MARK, linestyle=":")
    note(axes, fitted.best.number, f"kept: epoch {fitted.best.number}", end)
