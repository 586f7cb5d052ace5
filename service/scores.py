"""What becomes of logits: score functions, the best labels, and a score as a decimal.

Knows arrays and names of labels; neither texts nor how logits come about.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScoreFunction = Literal["softmax", "sigmoid", "none"]


def apply(function: ScoreFunction, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turns logits into scores.

    Softmax is shifted by the row's maximum so that it cannot overflow, and both functions are
    computed in 64 bits, so that the 32-bit result does not depend on how a row is vectorized.

    >>> apply("softmax", np.array([[0.0, 0.0]], dtype=np.float32)).tolist()
    [[0.5, 0.5]]
    """
    if function == "none":
        return logits
    wide = logits.astype(np.float64)
    scores: NDArray[np.float64]
    if function == "softmax":
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
    else:
        # exp of a non-positive number only: exp(-x) of a large negative logit would overflow.
        small = np.exp(-np.abs(wide))
        scores = np.where(wide >= 0, 1 / (1 + small), small / (1 + small))
    return scores.astype(np.float32)


def ranked(
    labels: Sequence[str], scores: NDArray[np.float32], top_k: int | None = None
) -> list[tuple[str, float]]:
    """The labels of one text with their scores, best first; equal scores in the labels' order.

    >>> ranked(["ham", "spam"], np.array([0.1, 0.9], dtype=np.float32), top_k=1)
    [('spam', 0.9)]

    Args:
        labels: The label of each score.
        scores: float32, shape `(classes,)`.
        top_k: How many labels; all if None.
    """
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [(labels[index], shortest(scores[index])) for index in order]


def shortest(score: np.float32) -> float:
    """The number with the fewest decimals that is the same in 32 bits.

    >>> shortest(np.float32(0.9)), float(np.float32(0.9))
    (0.9, 0.8999999761581421)
    """
    return float(str(score))
