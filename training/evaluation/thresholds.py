"""From which score on a label is given, chosen on validation rows.

Knows scores and what was true; neither texts nor models. Does not import TensorFlow.
"""

import numpy as np
from numpy.typing import NDArray

NEUTRAL = 0.5
"""The threshold of a label of which the rows tell nothing."""


def choose(probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """The threshold of each label, so that its F1 over the rows is the highest there is.

    A threshold lies halfway between two neighbouring scores (below the lowest: between it and
    zero), so that rounding gives no label and takes none. Of several as good, the one nearest to
    0.5 is taken, and 0.5 itself for a label that no row has.

    >>> choose(np.array([[0.2], [0.3], [0.7]]), np.array([[False], [True], [True]]))
    (0.25,)

    Args:
        probabilities: Scores between 0 and 1, `(rows, labels)`.
        truth: Which labels each row has, `(rows, labels)`.

    Returns:
        A number above 0 and at most 1 for each label: it is given where its score reaches that.
    """
    return tuple(_best(scores, has) for scores, has in zip(probabilities.T, truth.T, strict=True))


def between(upper: NDArray[np.floating], lower: NDArray[np.floating]) -> NDArray[np.floating]:
    """Thresholds halfway between neighbouring scores, which the upper reach and the lower do not.

    In the scores' own precision; between two neighbouring numbers there is nothing but the upper.
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
    # Rows of equal scores are given the label together: a cut lies where the score falls.
    cuts = np.flatnonzero(ranked > below)
    if not len(cuts):
        return NEUTRAL  # every score is zero
    hits = np.cumsum(has[order])[cuts]
    # F1 = 2 hits / (given + positives), with cut + 1 rows given the label.
    f1 = 2 * hits / (cuts + 1 + positives)
    upper, lower = ranked[cuts], below[cuts]
    best = between(upper, lower)[f1 == f1.max()].astype(np.float64)
    # Descending, so that of two as near to 0.5 the higher one is taken.
    return float(best[np.abs(best - NEUTRAL).argmin()])
