"""A teacher's probabilities, how good they are, and the targets of a network from them.

Targets have a temperature and a share of the true labels: knowledge distillation (Hinton et al.,
2015, https://arxiv.org/abs/1503.02531).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax


def probabilities_of(logits: NDArray[Any], *, multi_label: bool) -> NDArray[np.float64]:
    """The probabilities of some logits, `(texts, labels)`."""
    wide = logits.astype(np.float64)
    return np.asarray(expit(wide) if multi_label else softmax(wide, axis=1))


def chosen(
    probabilities: NDArray[np.float64], limits: Sequence[float] | float | None
) -> NDArray[np.bool_]:
    """The labels that probabilities tell, `(texts, labels)`; none of a text whose are NaN.

    The most probable one of each text, or all whose probability reaches their limit.
    """
    if limits is not None:
        return probabilities >= np.array(limits)
    best = probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1])
    return np.asarray(best & ~np.isnan(probabilities))


def score(
    probabilities: NDArray[np.float64], truth: NDArray[np.bool_], *, multi_label: bool
) -> tuple[float, float]:
    """How good a teacher is on validation rows; the greater score is the better.

    >>> truth = np.array([[False, True], [False, True]])
    >>> accuracy, gain = score(np.array([[0.2, 0.8], [0.5, 0.5]]), truth, multi_label=False)
    >>> accuracy, round(gain, 3)
    (0.5, -0.458)

    Returns:
        The accuracy (with several labels a text the micro-F1 at a threshold of a half), and the
        negative mean cross-entropy, which decides between equals.
    """
    bounded = probabilities.clip(1e-12, 1 - 1e-12)
    if multi_label:
        found = probabilities >= 0.5
        right = 2 * np.count_nonzero(found & truth) / max(np.count_nonzero(found) + truth.sum(), 1)
        losses = -np.log(np.where(truth, bounded, 1 - bounded)).sum(axis=1)
    else:
        right = np.mean(probabilities.argmax(axis=1) == truth.argmax(axis=1))
        losses = -np.log(bounded[truth])
    return float(right), -float(losses.mean())


def soften(
    probabilities: NDArray[np.float64], temperature: float, *, multi_label: bool
) -> NDArray[np.float64]:
    """Probabilities as if their logits had been divided by a temperature.

    >>> soften(np.array([[0.2, 0.8]]), 2.0, multi_label=False).round(3).tolist()
    [[0.333, 0.667]]
    >>> soften(np.array([[0.2, 0.8]]), 0.001, multi_label=True).tolist()
    [[0.0, 1.0]]

    Args:
        probabilities: Shape `(texts, labels)`.
        temperature: Above 1, they become more equal.
        multi_label: Whether each label has a probability of its own, instead of all adding up to 1.
    """
    # Divided by the highest, so that a low temperature leaves one number that is not zero.
    if multi_label:
        highest = np.maximum(probabilities, 1 - probabilities)
        powers = (probabilities / highest) ** (1 / temperature)
        others = ((1 - probabilities) / highest) ** (1 / temperature)
        return np.asarray(powers / (powers + others))
    powers = (probabilities / probabilities.max(axis=1, keepdims=True)) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def mix(
    probabilities: NDArray[np.float64], truth: NDArray[np.bool_], hard_share: float
) -> NDArray[np.float64]:
    """Probabilities with a share of the true labels.

    >>> mix(np.array([[0.25, 0.75]]), np.array([[True, False]]), 0.5).tolist()
    [[0.625, 0.375]]
    """
    return np.asarray((1 - hard_share) * probabilities + hard_share * truth)
