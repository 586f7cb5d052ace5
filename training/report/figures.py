"""Figures of a finished run for notebooks, from its `metrics.json`: learning curves, confusions."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gatewise.training.config.training_section import MINIMIZED
from gatewise.training.evaluation.error_analysis import Confused, LabelCounts
from gatewise.training.report.confusion_matrix import matrix_of
from gatewise.training.report.metric_names import metric_name
from gatewise.vocab.errors import ArgumentError

_NUMBERS_SHOWN = 12
"""Up to this many labels each cell of a confusion matrix has its number."""


class NotebookFigure(Figure):
    """A figure that a notebook shows although pyplot does not manage it."""

    def _repr_png_(self) -> bytes:
        written = io.BytesIO()
        self.savefig(written, format="png", bbox_inches="tight")
        return written.getvalue()


def curves(metrics: Mapping[str, Any]) -> NotebookFigure:
    """The losses and the validation metric by epoch.

    Args:
        metrics: The contents of `metrics.json`.
    """
    epochs, name = metrics["epochs"], metric_name(metrics["metric"])
    numbers = [epoch["number"] for epoch in epochs]
    figure = NotebookFigure(figsize=(9, 3.2), layout="constrained")
    losses, metric = figure.subplots(1, 2)
    for key, label in (("loss", "training"), ("validation_loss", "validation")):
        losses.plot(numbers, [epoch[key] for epoch in epochs], marker="o", label=label)
    # The standardized squared error of a regression has no unit.
    losses.set_ylabel("loss" if metrics["metric"] == "rmse" else "loss, in nats")
    metric.plot(numbers, [epoch["metric"] for epoch in epochs], marker="o", label="validation")
    metric.set_ylabel(name)
    if metrics["metric"] not in MINIMIZED:
        # A share; with a little space for the marks.
        metric.set_ylim(top=min(metric.get_ylim()[1], 1.01))
    for axes in (losses, metric):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.axvline(metrics["best_epoch"], color="grey", linestyle=":", label="kept")
        axes.legend()
    return figure


def confusion(metrics: Mapping[str, Any]) -> NotebookFigure:
    """The confusion matrix of the test rows, or of the validation rows where there are none.

    With several labels a text, the pairs of labels that are confused most often.

    Args:
        metrics: The contents of `metrics.json`.
    """
    review = metrics["review"]
    if "points" in review:
        raise ArgumentError(
            "confusion: the model predicts numbers, which are not confused: use report"
        )
    title = f"{review['rows']:,} {metrics['reviewed']} rows"
    confused = [Confused(**pair) for pair in review["confused"]]
    if review["multi_label"]:
        return _pairs(confused[:20], title)
    found = matrix_of([LabelCounts(**counts) for counts in review["labels"]], confused)
    shares, rows = np.zeros((2, len(found.labels), len(found.labels)))
    for cell in found.cells:
        shares[cell.row, cell.column], rows[cell.row, cell.column] = cell.share, cell.rows
    side = min(12.0, 2.5 + 0.4 * len(found.labels))
    figure = NotebookFigure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(found.labels)), found.labels, rotation=90, parse_math=False)
    axes.set_yticks(range(len(found.labels)), found.labels, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    axes.set_title(title)
    if len(found.labels) <= _NUMBERS_SHOWN:
        for (row, column), count in np.ndenumerate(rows):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=colour)
    return figure


def _pairs(confused: Sequence[Confused], title: str) -> NotebookFigure:
    figure = NotebookFigure(figsize=(7, 1 + 0.3 * len(confused)), layout="constrained")
    axes = figure.subplots()
    names = [f"{pair.right} → {pair.given}" for pair in confused]
    axes.barh(range(len(names)), [pair.rows for pair in confused])
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("rows")
    axes.set_title(title)
    return figure
