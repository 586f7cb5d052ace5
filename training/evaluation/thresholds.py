"""The thresholds of a multi-label model: the score from which on each label is predicted."""

import numpy as np
from numpy.typing import NDArray

NEUTRAL = 0.5
"""The threshold of a label that no row has."""


def choose(probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """The threshold of each label with the highest F1 over the rows.

    A threshold is halfway between two neighbouring scores (below the lowest: between it and zero),
    so that rounding changes no prediction. Of several with the same F1 it is the one nearest to
    0.5, and 0.5 itself for a label that no row has.

    >>> choose(np.array([[0.2], [0.3], [0.7]]), np.array([[False], [True], [True]]))
    (0.25,)

    Args:
        probabilities: Scores between 0 and 1, `(rows, labels)`.
        truth: Which labels each row has, `(rows, labels)`.

    Returns:
        For each label a number above 0 and at most 1: it is predicted if its score reaches that.
    """
    return tuple(_best(scores, has) for scores, has in zip(probabilities.T, truth.T, strict=True))


def between(upper: NDArray[np.floating], lower: NDArray[np.floating]) -> NDArray[np.floating]:
    """Thresholds halfway between neighbouring scores, in the precision of the scores.

    Between two neighbouring floating-point numbers it is the upper one.
    """
    middle = lower + (upper - lower) / 2
    halfway: NDArray[np.floating] = np.where(middle > lower, middle, upper)
    return halfway


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
