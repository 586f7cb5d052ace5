"""The interval around each predicted number, by split conformal prediction.

The half-width is a quantile of the absolute errors on the validation rows, by which no weight was
trained: a new row of the same kind is within it with at least the confidence, whatever the network
is (Lei et al., 2018, "Distribution-Free Predictive Inference for Regression").
"""

import math

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import IntervalSettings
from gatewise.training.data.encoded_corpus import EncodedSplit
from gatewise.training.data.value_scale import values_of
from gatewise.vocab.tokenizer.encoding import Encoded

CONFIDENCE = 0.9


def conformal(classifier: Classifier, validation: EncodedSplit) -> IntervalSettings | None:
    """The interval of a model; None if the rows are too few for the confidence.

    Args:
        classifier: The model, of a regression.
        validation: The validation rows.
    """
    encoded: list[Encoded] = [row.encoded for row in validation]
    found = classifier.logits(encoded)[:, 0].astype(np.float64)
    half_width = quantile(np.abs(found - values_of(validation.rows)), CONFIDENCE)
    if half_width is None:
        return None
    return IntervalSettings(confidence=CONFIDENCE, half_width=half_width)


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
