"""The interval around each predicted number, by split conformal prediction.

The half-width is a quantile of the absolute errors on the validation rows, by which no weight was
trained: a new row of the same kind is within it with at least the confidence, whatever the network
is (Lei et al., 2018, "Distribution-Free Predictive Inference for Regression").
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import IntervalSettings
from gatewise.training.data.value_scale import values_of
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.regression import RegressionReport, report_on
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow

CONFIDENCE = 0.9


def conformal(
    classifier: Classifier, validation: Iterable[EncodedRow]
) -> tuple[Report | RegressionReport, IntervalSettings | None]:
    """The metrics of a model on validation rows, and the interval that follows from its errors.

    Each of several numbers has the confidence by itself, not all of them at once.

    Args:
        classifier: The model, of a regression.
        validation: The validation rows.

    Returns:
        The metrics, and the interval; None if the rows are too few for the confidence.
    """
    errors: list[NDArray[np.float64]] = []

    def add(rows: Sequence[EncodedRow], numbers: NDArray[np.float32]) -> None:
        errors.append(np.abs(numbers.astype(np.float64) - values_of(row.row for row in rows)))

    report = report_on(classifier, validation, add)
    widths = [quantile(column, CONFIDENCE) for column in np.concatenate(errors).T]
    known = tuple(width for width in widths if width is not None)
    if not known:
        return report, None
    return report, IntervalSettings.of(CONFIDENCE, known)


def quantile(errors: NDArray[np.float64], confidence: float) -> float | None:
    """The smallest error that `ceil((rows + 1) * confidence)` of the rows do not exceed.

    >>> quantile(np.arange(1.0, 10.0), 0.9), quantile(np.arange(1.0, 9.0), 0.9)
    (9.0, None)

    Args:
        errors: The absolute error of each row, `(rows,)`.
        confidence: The share of new rows that must be within it.

    Returns:
        The error; None if there are fewer rows than that.
    """
    place = math.ceil((len(errors) + 1) * confidence)
    return None if place > len(errors) else float(np.sort(errors)[place - 1])
