"""The weight of each path's logits in their sum, fitted on the validation rows.

Paths trained with separate losses are as confident as they became on the training rows, and one
that overfits is overconfident. The weights are those of a logistic regression with one coefficient
for each path, whose cost is convex.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

_PRIOR_DEVIATION = 1.0
"""Standard deviation of the Gaussian prior of a weight's logarithm, which keeps the weights near
one with few rows, and bounded for a path that is never wrong."""

_LOWEST, _HIGHEST = 0.02, 50.0
_DIGITS = 4
"""Significant digits of a weight: more would be noise of the search."""


def fit_path_weights(
    paths: Sequence[NDArray[np.float32]],
    loss: Callable[[NDArray[np.float64]], float],
    *,
    is_relative: bool = True,
) -> tuple[float, ...]:
    """The factor of each path's logits.

    Args:
        paths: Logits of each path, float32 `(rows, labels)`, of rows not used in training.
        loss: Maps logits to the mean loss of the rows, in nats.
        is_relative: Whether only the factors' ratio counts: their mean is then one.
    """
    wide = [path.astype(np.float64) for path in paths]
    prior = 1 / (2 * _PRIOR_DEVIATION**2 * len(wide[0]))

    def cost(logarithms: NDArray[np.float64]) -> float:
        logits = sum(np.exp(factor) * path for factor, path in zip(logarithms, wide, strict=True))
        return loss(np.asarray(logits)) + prior * float(np.square(logarithms).sum())

    bounds = [(np.log(_LOWEST), np.log(_HIGHEST))] * len(wide)
    found = minimize(
        cost, np.full(len(wide), np.log(1 / len(wide))), method="Powell", bounds=bounds
    )
    factors = np.exp(found.x)
    if is_relative:
        factors = factors / factors.mean()
    return tuple(float(f"{factor:.{_DIGITS}g}") for factor in factors)
