"""Targets of a network from a teacher's probabilities: temperature, and a share of the true labels.

Knowledge distillation (Hinton et al., 2015, https://arxiv.org/abs/1503.02531).
"""

import numpy as np
from numpy.typing import NDArray


def soften(
    probabilities: NDArray[np.float64], temperature: float, *, multi_label: bool
) -> NDArray[np.float64]:
    """Probabilities as if their logits had been divided by a temperature.

    >>> soften(np.array([[0.2, 0.8]]), 2.0, multi_label=False).round(3).tolist()
    [[0.333, 0.667]]

    Args:
        probabilities: Shape `(texts, labels)`.
        temperature: Above 1, they become more equal.
        multi_label: Whether each label has a probability of its own, instead of all adding up to 1.
    """
    powers = probabilities ** (1 / temperature)
    if multi_label:
        others = (1 - probabilities) ** (1 / temperature)
        return np.asarray(powers / (powers + others))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def mix(
    probabilities: NDArray[np.float64], truth: NDArray[np.bool_], hard_share: float
) -> NDArray[np.float64]:
    """Probabilities with a share of the true labels.

    >>> mix(np.array([[0.25, 0.75]]), np.array([[True, False]]), 0.5).tolist()
    [[0.625, 0.375]]
    """
    return np.asarray((1 - hard_share) * probabilities + hard_share * truth)
