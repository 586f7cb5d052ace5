"""The metrics of a model that predicts numbers, on rows with their numbers, and its worst errors.

All numbers of all rows are kept, 16 bytes each, and a fixed number of texts.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
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

    Of a model that predicts several, each has its own, and these are means over them. As their
    units may differ, errors count in standard deviations of each in these rows: always predicting
    the means of these rows has an RMSE of 1.

    Attributes:
        rmse: Root mean squared error, in the units of the number.
        mae: Mean absolute error.
        r2: Share of the variance that is explained, 0 for predicting the mean of these rows; None
            if all numbers are the same.
        spearman: Rank correlation of predicted and true numbers; None if either are all the same.
        rows: Rows counted.
        coverage: Share of the numbers within their interval; None without intervals.
        confidence: The share that the interval is made for.
        targets: The metrics of each number by its name; None if the model predicts one.
    """

    rmse: float
    mae: float
    r2: float | None
    spearman: float | None
    rows: int
    coverage: float | None = None
    confidence: float | None = None
    targets: dict[str, "RegressionReport"] | None = None

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        truth: NDArray[np.float64],
        found: NDArray[np.float64],
        interval: IntervalSettings | None = None,
    ) -> "RegressionReport":
        """The metrics of some predictions.

        Args:
            names: The names of the numbers.
            truth: The true numbers, `(rows, numbers)`, one row at least.
            found: The predicted ones.
            interval: The interval around each.
        """
        half_widths = interval.half_widths if interval else (None,) * len(names)
        columns = zip(truth.T, found.T, half_widths, strict=True)
        reports = [cls._of_one(*column) for column in columns]
        if interval:
            reports = [replace(each, confidence=interval.confidence) for each in reports]
        if len(reports) == 1:
            return reports[0]
        deviations = [float(column.std()) or 1.0 for column in truth.T]
        pairs = list(zip(reports, deviations, strict=True))
        return cls(
            rmse=float(np.mean([(each.rmse / unit) ** 2 for each, unit in pairs])) ** 0.5,
            mae=float(np.mean([each.mae / unit for each, unit in pairs])),
            r2=_mean([each.r2 for each in reports]),
            spearman=_mean([each.spearman for each in reports]),
            rows=len(truth),
            coverage=_mean([each.coverage for each in reports]),
            confidence=reports[0].confidence,
            targets=dict(zip(names, reports, strict=True)),
        )

    @classmethod
    def _of_one(
        cls, truth: NDArray[np.float64], found: NDArray[np.float64], half_width: float | None
    ) -> "RegressionReport":
        varied = np.ptp(truth) > 0
        is_within = None if half_width is None else np.abs(truth - found) <= half_width
        return cls(
            rmse=float(root_mean_squared_error(truth, found)),
            mae=float(mean_absolute_error(truth, found)),
            r2=float(r2_score(truth, found)) if varied else None,
            spearman=float(spearmanr(truth, found).statistic)
            if varied and np.ptp(found) > 0
            else None,
            rows=len(truth),
            coverage=None if is_within is None else float(is_within.mean()),
        )

    @property
    def main_metrics(self) -> dict[str, float]:
        """The metrics that models are compared by, by name."""
        return {"rmse": self.rmse, "mae": self.mae}

    @property
    def cost(self) -> float:
        """The RMSE as a share of the numbers' standard deviation: less is better."""
        if self.targets or self.r2 is None:
            return self.rmse
        return math.sqrt(max(1 - self.r2, 0.0))

    def by_name(self) -> dict[str, "RegressionReport"]:
        """The metrics of each number by its name; of a single one by an empty name."""
        return self.targets or {"": self}

    def as_dict(self) -> dict[str, object]:
        """The report as a JSON object."""
        return asdict(self, dict_factory=_without_none)


def _without_none(items: Iterable[tuple[str, object]]) -> dict[str, object]:
    """A `dict_factory` of `asdict` that leaves out what is None."""
    return {name: value for name, value in items if value is not None}


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of those that are known; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


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
        found.append(logits.astype(np.float64))
        if on_window:
            on_window(window, logits)
    return RegressionReport.of(
        classifier.classes_, np.concatenate(truth), np.concatenate(found), classifier.interval
    )


@dataclass(frozen=True)
class Miss:
    """A row with a number that was predicted wrong.

    Attributes:
        text: Its text, shortened.
        place: The name of its file and the line in it.
        value: Its number.
        predicted: The predicted number.
        target: The name of the number; None if the model predicts one.
    """

    text: str
    place: str
    value: float
    predicted: float
    target: str | None = None


@dataclass(frozen=True)
class ResidualAnalysis(ReadTexts):
    """The errors of a model that predicts numbers.

    Attributes:
        rows: Rows analyzed.
        points: Pairs of a true and the predicted number, of evenly spaced rows, by the name of the
            number.
        misses: The rows with the largest errors, the largest first; of several numbers, the one
            whose error is the most standard deviations of the training rows.
        lengths: See `ReadTexts`, as for the others.
        truncated: Likewise.
        unknown: Likewise.
    """

    rows: int
    points: dict[str, tuple[tuple[float, float], ...]]
    misses: tuple[Miss, ...]
    lengths: tuple[int, ...]
    truncated: int
    unknown: tuple[int, ...]

    def as_dict(self) -> dict[str, object]:
        """The analysis as a JSON object."""
        points = [*self.points.values()]
        return {
            **asdict(self, dict_factory=_without_none),
            "points": self.points if len(points) > 1 else points[0],
            # A count for every length would be as long as the longest text.
            "lengths": [asdict(found) for found in self.length_bins()],
        }


@dataclass
class ResidualAnalyzer:
    """Analyzes rows in windows; `add` is an `on_window` of `report_on`.

    Attributes:
        names: The names of the numbers.
        deviations: The standard deviation of each, `(numbers,)`.
        coverage_counter: Counts unknown tokens, or missing numbers.
    """

    names: Sequence[str]
    deviations: NDArray[np.float64]
    coverage_counter: InputCounter
    # True and predicted numbers of each window, `(rows, numbers, 2)`.
    _windows: list[NDArray[np.float64]] = field(default_factory=list)
    _rows: int = 0
    # (error, -number of the row, miss): no two rows have the same number.
    _heap: list[tuple[float, int, Miss]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._texts = TextCounter(self.coverage_counter)

    def add(self, rows: Sequence[EncodedRow], logits: NDArray[np.float32]) -> None:
        """Adds a window of rows with their logits, `(rows, numbers)`."""
        truth = values_of(row.row for row in rows)
        found = logits.astype(np.float64)
        distances = np.abs(truth - found) / self.deviations
        worst, errors = distances.argmax(axis=1), distances.max(axis=1)
        for index in np.argsort(-errors, kind="stable")[:MISTAKES_KEPT].tolist():
            at = (index, worst[index])
            name = self.names[worst[index]] if len(self.names) > 1 else None
            text, place = shown_text(rows[index].row.text), place_of(rows[index])
            miss = Miss(text, place, float(truth[at]), float(found[at]), name)
            entry = (float(errors[index]), -(self._rows + index), miss)
            push = heapq.heappush if len(self._heap) < MISTAKES_KEPT else heapq.heappushpop
            push(self._heap, entry)
        self._windows.append(np.stack([truth, found], axis=2))
        self._rows += len(rows)
        self._texts.add(rows)

    def result(self) -> ResidualAnalysis:
        """The analysis of the rows so far."""
        step = -(-self._rows * len(self.names) // _POINTS_KEPT)
        kept = np.concatenate(self._windows)[::step]
        return ResidualAnalysis(
            rows=self._rows,
            points={
                name: tuple((true, found) for true, found in kept[:, number].tolist())
                for number, name in enumerate(self.names)
            },
            misses=tuple(miss for _, _, miss in sorted(self._heap, reverse=True)),
            **self._texts.counts(),
        )
