"""How far probabilities can be trusted, and the temperature that makes them truer.

Temperature scaling and the calibration error after Guo et al., "On Calibration of Modern Neural
Networks", 2017 (https://arxiv.org/abs/1706.04599); the error was introduced by Naeini et al., 2015.
Knows logits, probabilities and what was true; neither texts nor models.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from gatewise.training.data.examples import Targets
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BINS = 15
"""Bins of equal width that probabilities are sorted into, as in the paper."""

LOWEST, HIGHEST = 0.25, 4.0
"""Bounds of a temperature: beyond them the rows tell of their own fewness, not of the model."""

_SPREAD = 0.5
"""Standard deviation of the logarithm of a temperature, before any row was looked at."""

_DIGITS = 6
"""Significant digits of a temperature: more would be noise of the search."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions whose probability lies in one bin.

    Attributes:
        predictions: How many; in a multi-label task one for each row and label.
        probability: Their mean probability; 0 without any.
        right: Share of them that is right; 0 without any.
    """

    predictions: int
    probability: float
    right: float


class Reliability:
    """Counts how often predictions are right, by their probability; keeps none of them."""

    def __init__(self) -> None:
        self._predictions, self._right = np.zeros((2, BINS), dtype=np.int64)
        self._probability = np.zeros(BINS, dtype=np.float64)

    def add(self, probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> None:
        """Takes predictions.

        Args:
            probabilities: What each is said to be right with, `(predictions,)`.
            truth: Whether each is right, `(predictions,)`.
        """
        told = probabilities.astype(np.float64)
        bins = np.minimum((told * BINS).astype(np.int64), BINS - 1)
        self._predictions += np.bincount(bins, minlength=BINS)
        self._right += np.bincount(bins[truth], minlength=BINS)
        self._probability += np.bincount(bins, weights=told, minlength=BINS)

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
    """Mean gap between probability and share of right predictions, over all predictions."""
    total = sum(found.predictions for found in bins)
    gaps = (found.predictions * abs(found.right - found.probability) for found in bins)
    return sum(gaps) / total if total else 0.0


def expected_calibration_error(
    probabilities: NDArray[np.floating], truth: NDArray[np.bool_]
) -> float:
    """Mean gap between probability and share of right predictions, in bins of the probability.

    Four predictions of 0.8, three of them right, and one of 0.3 that is wrong:

    >>> told, right = np.array([0.8, 0.8, 0.8, 0.8, 0.3]), np.array([1, 1, 1, 0, 0], dtype=bool)
    >>> round(expected_calibration_error(told, right), 4)  # (4 * 0.05 + 1 * 0.3) / 5
    0.1

    Args:
        probabilities: What each prediction is said to be right with, `(predictions,)`.
        truth: Whether each is right, `(predictions,)`.
    """
    counted = Reliability()
    counted.add(probabilities, truth)
    return counted.error


def predictions_of(
    probabilities: NDArray[np.floating], truth: NDArray[np.bool_], *, multi_label: bool
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The predictions that rows of probabilities make, and whether each is right.

    An answer of one label is one prediction, its best label; where a text may have several, each
    label's being there is one.

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
    """Mean cross-entropy of the rows, in nats; of several labels a text, over those too.

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
    """The number that logits are best divided by: of all within the bounds, the likeliest.

    It is the mode of the posterior: the likelihood of the rows, times a log-normal distribution
    around 1 that was held to be true before. A few rows move it little, and rows that are all
    right, which alone would have it at zero, not without bound; a few hundred outweigh the prior.

    Args:
        logits: `(rows, labels)`, of rows that were not learnt from.
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
    # As they are, logits are never worse than what the search gives up at.
    best = found.x if cost(found.x) < cost(0.0) else 0.0
    return float(f"{math.exp(best):.{_DIGITS}g}")


@dataclass(frozen=True)
class Calibration:
    """What dividing a model's logits by a temperature did to its validation rows.

    Attributes:
        temperature: What the logits are divided by.
        rows: Rows that it was chosen by.
        log_loss_before: Their mean cross-entropy without it, in nats, soft labels as they are.
        log_loss: The same with it.
        ece_before: Their calibration error without it.
        ece: The same with it.
        before: How often the model was right without it, by its probability.
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
        """The figures as a JSON object."""
        return asdict(self)
