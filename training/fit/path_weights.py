"""The weight of each path's logits in their sum, fitted on the validation rows.

Paths trained with separate losses are as confident as they became on the training rows, and one
that overfits is overconfident. The weights are those of a logistic regression with one coefficient
for each path, with a Gaussian prior of the weights' logarithms, which decides where validation rows
are few. Of a linear path that is solved for one label a text, cross-validation over all training
rows tells the weight, unless the rows have probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gatewise.vocab.corpus.columns import Task

_LOWEST, _HIGHEST = 0.02, 50.0
_DIGITS = 4
"""Significant digits of a weight: more would be noise of the search."""


@dataclass(frozen=True)
class Prior:
    """What is known of the weights before the validation rows.

    Attributes:
        medians: The median of each weight.
        deviations: The standard deviation of each weight's logarithm.
    """

    medians: tuple[float, ...]
    deviations: tuple[float, ...]


def paths_prior(task: Task, scale: float | None) -> Prior | None:
    """The prior of the weights of the recurrent and the linear path.

    Paths that predict standardized numbers, or the log-odds of several labels, do so each by
    itself, and most often their mean is better than either.

    Args:
        task: What the model predicts.
        scale: The factor that makes the logits of a linear path that is solved log-odds, with one
            label a text; None if it is trained by descent.

    Returns:
        None if nothing is known.
    """
    if task == "regression":
        return Prior(medians=(0.5, 0.5), deviations=(1.0, 1.0))
    if task == "multi_label":
        return Prior(medians=(0.5, 0.5), deviations=(0.5, 0.25))
    return None if scale is None else Prior(medians=(0.5, scale), deviations=(0.5, 0.25))


def fit_path_weights(
    paths: Sequence[NDArray[np.float32]],
    loss: Callable[[NDArray[np.float64]], float],
    prior: Prior | None = None,
) -> tuple[float, ...]:
    """The factor of each path's logits.

    Args:
        paths: Logits of each path, float32 `(rows, labels)`, of rows not used in training.
        loss: Maps logits to the mean loss of the rows, in nats.
        prior: The prior; None if nothing is known of the scales of the paths. Then it keeps the
            weights near one, and bounded for a path that is never wrong, and the factors are
            divided by their mean.
    """
    wide = [path.astype(np.float64) for path in paths]
    medians = np.log(prior.medians) if prior else np.zeros(len(wide))
    deviations = np.array(prior.deviations) if prior else np.ones(len(wide))

    def cost(logarithms: NDArray[np.float64]) -> float:
        logits = sum(np.exp(factor) * path for factor, path in zip(logarithms, wide, strict=True))
        distances = (logarithms - medians) / deviations
        return loss(np.asarray(logits)) + float(np.square(distances).sum()) / (2 * len(wide[0]))

    start = medians if prior else np.full(len(wide), np.log(1 / len(wide)))
    bounds = [(np.log(_LOWEST), np.log(_HIGHEST))] * len(wide)
    found = minimize(cost, start, method="Powell", bounds=bounds)
    factors = np.exp(found.x)
    if prior is None:
        factors = factors / factors.mean()
    return tuple(float(f"{factor:.{_DIGITS}g}") for factor in factors)
