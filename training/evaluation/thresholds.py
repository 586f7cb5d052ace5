"""The thresholds of a multi-label model: the score from which on each label is predicted.

The threshold with the highest F1 of a rare label follows from the few rows that have it, and is far
off on others. So each is drawn towards the one common threshold that is best for all labels
together, by the more the fewer rows have the label.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

NEUTRAL = 0.5
"""The threshold of a label that no row has, where each label is by itself."""

_COMMON_ROWS = 10
"""Rows with a label at which its own threshold counts as much as the common one."""

_CANDIDATES = np.arange(1, 100) / 100
"""The common thresholds that are tried."""

_MARGIN = 1e-4
"""Least distance from 0 and 1 of the thresholds whose mean is taken."""


def choose(probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """The threshold of each label: its own best one, drawn towards the best common one.

    It is the mean of both in log-odds. The common one counts as ten rows, the label's own one as
    the rows that have the label.

    >>> scores = np.array([[0.2], [0.3], [0.7]])
    >>> truth = np.array([[False], [True], [True]])
    >>> [round(threshold, 3) for threshold in choose(scores, truth)]  # of 0.25 and 0.3
    [0.291]

    Args:
        probabilities: Scores between 0 and 1, `(rows, labels)`.
        truth: Which labels each row has, `(rows, labels)`.

    Returns:
        For each label a number above 0 and below 1: it is predicted if its score reaches that.
    """
    own = np.clip(highest_f1(probabilities, truth), _MARGIN, 1 - _MARGIN)
    positives = truth.sum(axis=0)
    total = positives * logit(own) + _COMMON_ROWS * logit(_common(probabilities, truth))
    return tuple(expit(total / (positives + _COMMON_ROWS)).tolist())


def highest_f1(probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """The threshold of each label with the highest F1 over the rows.

    A threshold is halfway between two neighbouring scores (below the lowest: between it and zero),
    so that rounding changes no prediction. Of several with the same F1 it is the one nearest to
    0.5, and 0.5 itself for a label that no row has.

    >>> highest_f1(np.array([[0.2], [0.3], [0.7]]), np.array([[False], [True], [True]]))
    (0.25,)

    Args:
        probabilities: Scores between 0 and 1, `(rows, labels)`.
        truth: Which labels each row has, `(rows, labels)`.

    Returns:
        For each label a number above 0 and at most 1.
    """
    return tuple(_best(scores, has) for scores, has in zip(probabilities.T, truth.T, strict=True))


def between(upper: NDArray[np.floating], lower: NDArray[np.floating]) -> NDArray[np.floating]:
    """Thresholds halfway between neighbouring scores, in the precision of the scores.

    Between two neighbouring floating-point numbers it is the upper one.
    """
    middle = lower + (upper - lower) / 2
    halfway: NDArray[np.floating] = np.where(middle > lower, middle, upper)
    return halfway


def _common(probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """The threshold with the highest mean F1 over the labels; of equal ones, nearest to 0.5."""
    total = np.zeros(len(_CANDIDATES))
    for scores, has in zip(probabilities.T, truth.T, strict=True):
        predicted = len(scores) - np.searchsorted(np.sort(scores), _CANDIDATES)
        positives = np.sort(scores[has])
        hits = len(positives) - np.searchsorted(positives, _CANDIDATES)
        total += 2 * hits / np.maximum(predicted + len(positives), 1)
    best = _CANDIDATES[total == total.max()]
    return float(best[np.abs(best - NEUTRAL).argmin()])


def _best(scores: NDArray[np.floating], has: NDArray[np.bool_]) -> float:
    positives = int(np.count_nonzero(has))
    if not positives:
        return NEUTRAL
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    below = np.append(ranked[1:], ranked.dtype.type(0))
    # Rows of equal scores get the same prediction: a cut is where the score falls.
    cuts = np.flatnonzero(ranked > below)
    if not len(cuts):
        return NEUTRAL  # every score is zero
    hits = np.cumsum(has[order])[cuts]
    # F1 = 2 hits / (predicted + positives), with cut + 1 rows predicted.
    f1 = 2 * hits / (cuts + 1 + positives)
    upper, lower = ranked[cuts], below[cuts]
    best = between(upper, lower)[f1 == f1.max()].astype(np.float64)
    # Descending, so that of two equally near to 0.5 the higher one is chosen.
    return float(best[np.abs(best - NEUTRAL).argmin()])
