"""How much each path of a network counts in its answer, chosen on the validation rows.

Paths that learnt apart are each as sure of themselves as they came to be on the training rows, and
the one that learnt those by heart is too sure. What each is multiplied by before they are added is
a logistic regression with one coefficient for each path: its cost has a single lowest point.

Knows logits and targets; neither networks nor where the coefficients go.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

_SPREAD = 1.0
"""Standard deviation of a coefficient's logarithm before any row was looked at: a few rows move
the coefficients little, and one of a path that is never wrong not without bound."""

_LOWEST, _HIGHEST = 0.02, 50.0
_DIGITS = 4
"""Significant digits of a coefficient: more would be noise of the search."""


def balance(
    paths: Sequence[NDArray[np.float32]],
    loss: Callable[[NDArray[np.float64]], float],
) -> tuple[float, ...]:
    """What each path's logits are multiplied by; the mean of the numbers is one.

    Args:
        paths: Logits of each path, float32 `(rows, labels)`, of rows that were not learnt from.
        loss: Mean loss of the rows, in nats, by their logits.
    """
    wide = [path.astype(np.float64) for path in paths]
    prior = 1 / (2 * _SPREAD**2 * len(wide[0]))

    def cost(logarithms: NDArray[np.float64]) -> float:
        logits = sum(np.exp(factor) * path for factor, path in zip(logarithms, wide, strict=True))
        return loss(np.asarray(logits)) + prior * float(np.square(logarithms).sum())

    bounds = [(np.log(_LOWEST), np.log(_HIGHEST))] * len(wide)
    found = minimize(
        cost, np.full(len(wide), np.log(1 / len(wide))), method="Powell", bounds=bounds
    )
    factors = np.exp(found.x)
    factors = factors / factors.mean()
    return tuple(float(f"{factor:.{_DIGITS}g}") for factor in factors)
