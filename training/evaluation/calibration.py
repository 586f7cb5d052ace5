"""Calibration of probabilities: reliability, calibration error and temperature scaling.

Temperature scaling and the calibration error after Guo et al., "On Calibration of Modern Neural
Networks", 2017 (https://arxiv.org/abs/1706.04599); the error was introduced by Naeini et al., 2015.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from gatewise.training.data.examples import Targets

BINS = 15
"""Bins of equal width that probabilities are sorted into, as in the paper."""

LOWEST, HIGHEST = 0.25, 4.0
"""Bounds of a temperature: values beyond them come from too few rows, not from the model."""

_SPREAD = 0.5
"""Standard deviation of the log-temperature in the prior."""

_DIGITS = 6
"""Significant digits of a temperature; further digits are noise of the search."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions whose probability lies in one bin.

    Attributes:
        predictions: Their number; in a multi-label task one for each row and label.
        probability: Their mean probability; 0 without any.
        right: Share of them that are correct; 0 without any.
    """

    predictions: int
    probability: float
    right: float


class Reliability:
    """Counts how often predictions are correct, by their probability."""

    def __init__(self) -> None:
        self._predictions, self._right = np.zeros((2, BINS), dtype=np.int64)
        self._probability = np.zeros(BINS, dtype=np.float64)

    def add(self, probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> None:
        """Adds predictions.

        Args:
            probabilities: The probability of each, `(predictions,)`.
            truth: Whether each is correct, `(predictions,)`.
        """
        wide = probabilities.astype(np.float64)
        bins = np.minimum((wide * BINS).astype(np.int64), BINS - 1)
        self._predictions += np.bincount(bins, minlength=BINS)
        self._right += np.bincount(bins[truth], minlength=BINS)
        self._probability += np.bincount(bins, weights=wide, minlength=BINS)

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """The predictions so far by their probability, from 0 to 1."""
        counts = np.maximum(self._predictions, 1)
        found = zip(
            self._predictions.tolist(),
            (self._probability / counts).tolist(),
            (self._right / counts).tolist(),
            strict=True,
        )
        return tuple(ReliabilityBin(*each) for each in found)

    @property
    def error(self) -> float:
        """The calibration error of the predictions so far; 0 without any."""
        return error_of(self.bins())


def error_of(bins: tuple[ReliabilityBin, ...]) -> float:
    """Mean gap between probability and share of correct predictions, over all predictions."""
    total = sum(found.predictions for found in bins)
    gaps = (found.predictions * abs(found.right - found.probability) for found in bins)
    return sum(gaps) / total if total else 0.0


def predictions_of(
    probabilities: NDArray[np.floating], truth: NDArray[np.bool_], *, multi_label: bool
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The probabilities of the predictions for some rows, and whether each is correct.

    A row of a single-label task is one prediction, its best label; a row of a multi-label task is
    one prediction for each label.

    Args:
        probabilities: The probability of each label, `(rows, labels)`.
        truth: Which labels the rows have, of the same shape.
        multi_label: Whether a text may have several labels.
    """
    if multi_label:
        return probabilities.reshape(-1), truth.reshape(-1)
    rows, best = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    return probabilities[rows, best], truth[rows, best]


def negative_log_likelihood(
    logits: NDArray[np.floating], targets: Targets, *, multi_label: bool = False
) -> float:
    """Mean cross-entropy of the rows, in nats; in a multi-label task over rows and labels.

    Args:
        logits: `(rows, labels)`.
        targets: The label id of each row, `(rows,)`, or each label's share, `(rows, labels)`.
        multi_label: Whether each label has a sigmoid of its own, instead of one softmax.
    """
    wide = logits.astype(np.float64)
    if multi_label:
        # -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)) = log(1 + e^z) - t z
        return float((np.logaddexp(0, wide) - targets * wide).mean())
    logs = log_softmax(wide, axis=1)
    if targets.ndim == 1:
        return float(-logs[np.arange(len(logs)), targets.astype(np.int64)].mean())
    return float(-(targets * logs).sum(axis=1).mean())


def temperature(
    logits: NDArray[np.floating], targets: Targets, *, multi_label: bool = False
) -> float:
    """The temperature that logits are divided by, within the bounds.

    It is the mode of the posterior: the likelihood of the rows times a log-normal prior around 1.
    A few rows move it little, and rows that are all classified correctly do not drive it to zero;
    a few hundred rows outweigh the prior.

    Args:
        logits: `(rows, labels)`, of rows that were not trained on.
        targets: The label id of each row, `(rows,)`, or each label's share, `(rows, labels)`.
        multi_label: Whether each label has a sigmoid of its own, instead of one softmax.
    """
    prior = 1 / (2 * _SPREAD**2 * len(logits))

    def cost(log_temperature: float) -> float:
        divided = logits.astype(np.float64) / math.exp(log_temperature)
        loss = negative_log_likelihood(divided, targets, multi_label=multi_label)
        return loss + prior * log_temperature**2

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    # The search may end at a value that is worse than no temperature.
    best = found.x if cost(found.x) < cost(0.0) else 0.0
    return float(f"{math.exp(best):.{_DIGITS}g}")


@dataclass(frozen=True)
class Calibration:
    """The temperature of a model and its effect on the validation rows.

    Attributes:
        temperature: The temperature.
        rows: Rows that it was chosen on.
        log_loss_before: Their mean cross-entropy without it, in nats, with soft labels.
        log_loss: The same with it.
        ece_before: Their calibration error without it.
        ece: The same with it.
        before: Their reliability without it, by probability.
        after: The same with it.
    """

    temperature: float
    rows: int
    log_loss_before: float
    log_loss: float
    ece_before: float
    ece: float
    before: tuple[ReliabilityBin, ...]
    after: tuple[ReliabilityBin, ...]

    def as_dict(self) -> dict[str, object]:
        """The calibration as a JSON object."""
        return asdict(self)
