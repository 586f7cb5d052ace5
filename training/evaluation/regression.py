"""The metrics of a model that predicts numbers, on rows with their numbers, and its worst errors.

The numbers of all rows are kept, 16 bytes a row, and a fixed number of texts.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.input_encoding import InputCounter
from gatewise.service.model.model_documents import IntervalSettings
from gatewise.training.data.value_scale import values_of
from gatewise.training.evaluation.error_analysis import (
    MISTAKES_KEPT,
    ReadTexts,
    TextCounter,
    place_of,
    shown_text,
)
from gatewise.training.evaluation.evaluate import OnWindow, Report, evaluate
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow

_WINDOW = 8192
"""Rows predicted at a time."""

_POINTS_KEPT = 1000
"""Pairs of a true and a predicted number in an analysis, evenly spaced among the rows."""


@dataclass(frozen=True)
class RegressionReport:
    """The metrics of a model that predicts numbers.

    Attributes:
        rmse: Root mean squared error, in the units of the numbers.
        mae: Mean absolute error.
        r2: Share of the variance that is explained, 0 for predicting the mean of these rows; None
            if all numbers are the same.
        spearman: Rank correlation of predicted and true numbers; None if either are all the same.
        rows: Rows counted.
        coverage: Share of the numbers within their interval; None without intervals.
        confidence: The share that the interval is made for.
    """

    rmse: float
    mae: float
    r2: float | None
    spearman: float | None
    rows: int
    coverage: float | None = None
    confidence: float | None = None

    @classmethod
    def of(
        cls,
        truth: NDArray[np.float64],
        found: NDArray[np.float64],
        interval: IntervalSettings | None = None,
    ) -> "RegressionReport":
        """The metrics of some predictions.

        Args:
            truth: The true numbers, `(rows,)`, one at least.
            found: The predicted ones.
            interval: The interval around each.
        """
        varied = np.ptp(truth) > 0
        coverage = None
        if interval:
            coverage = float((np.abs(truth - found) <= interval.half_width).mean())
        return cls(
            rmse=float(root_mean_squared_error(truth, found)),
            mae=float(mean_absolute_error(truth, found)),
            r2=float(r2_score(truth, found)) if varied else None,
            spearman=float(spearmanr(truth, found).statistic)
            if varied and np.ptp(found) > 0
            else None,
            rows=len(truth),
            coverage=coverage,
            confidence=interval.confidence if interval else None,
        )

    @property
    def main_metrics(self) -> dict[str, float]:
        """The metrics that models are compared by, by name."""
        return {"rmse": self.rmse, "mae": self.mae}

    @property
    def cost(self) -> float:
        """The RMSE as a share of the numbers' standard deviation: less is better."""
        return self.rmse if self.r2 is None else math.sqrt(max(1 - self.r2, 0.0))

    def as_dict(self) -> dict[str, object]:
        """The report as a JSON object."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def report_on(
    classifier: Classifier, rows: Iterable[EncodedRow], on_window: OnWindow | None = None
) -> Report | RegressionReport:
    """Predicts rows and compares, whatever the task; the arguments are those of `evaluate`."""
    if classifier.task != "regression":
        return evaluate(classifier, rows, on_window)
    truth, found = [], []
    stream = iter(rows)
    while window := list(islice(stream, _WINDOW)):
        logits = classifier.logits([row.encoded for row in window])
        truth.append(values_of(row.row for row in window))
        found.append(logits[:, 0].astype(np.float64))
        if on_window:
            on_window(window, logits)
    return RegressionReport.of(np.concatenate(truth), np.concatenate(found), classifier.interval)


@dataclass(frozen=True)
class Miss:
    """A row whose number was predicted wrong.

    Attributes:
        text: Its text, shortened.
        place: The name of its file and the line in it.
        value: Its number.
        predicted: The predicted number.
    """

    text: str
    place: str
    value: float
    predicted: float


@dataclass(frozen=True)
class ResidualAnalysis(ReadTexts):
    """The errors of a model that predicts numbers.

    Attributes:
        rows: Rows analyzed.
        points: Pairs of a true and the predicted number, of evenly spaced rows.
        misses: The rows with the largest errors, the largest first.
        lengths: See `ReadTexts`, as for the others.
        truncated: Likewise.
        unknown: Likewise.
    """

    rows: int
    points: tuple[tuple[float, float], ...]
    misses: tuple[Miss, ...]
    lengths: tuple[int, ...]
    truncated: int
    unknown: tuple[int, ...]

    def as_dict(self) -> dict[str, object]:
        """The analysis as a JSON object."""
        # A count for every length would be as long as the longest text.
        return {**asdict(self), "lengths": [asdict(found) for found in self.length_bins()]}


@dataclass
class ResidualAnalyzer:
    """Analyzes rows in windows; `add` is an `on_window` of `report_on`."""

    coverage_counter: InputCounter
    _points: list[tuple[float, float]] = field(default_factory=list)
    # (error, -number of the row, miss): no two rows have the same number.
    _heap: list[tuple[float, int, Miss]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._texts = TextCounter(self.coverage_counter)

    def add(self, rows: Sequence[EncodedRow], logits: NDArray[np.float32]) -> None:
        """Adds a window of rows with their logits, `(rows, 1)`."""
        truth = values_of(row.row for row in rows)
        found = logits[:, 0].astype(np.float64)
        errors = np.abs(truth - found)
        for index in np.argsort(-errors, kind="stable")[:MISTAKES_KEPT].tolist():
            text, place = shown_text(rows[index].row.text), place_of(rows[index])
            miss = Miss(text, place, float(truth[index]), float(found[index]))
            entry = (float(errors[index]), -(len(self._points) + index), miss)
            push = heapq.heappush if len(self._heap) < MISTAKES_KEPT else heapq.heappushpop
            push(self._heap, entry)
        self._points += zip(truth.tolist(), found.tolist(), strict=True)
        self._texts.add(rows)

    def result(self) -> ResidualAnalysis:
        """The analysis of the rows so far."""
        step = -(-len(self._points) // _POINTS_KEPT)
        return ResidualAnalysis(
            rows=len(self._points),
            points=tuple(self._points[::step]),
            misses=tuple(miss for _, _, miss in sorted(self._heap, reverse=True)),
            **self._texts.counts(),
        )
