"""Logits to scores to labels: softmax, sigmoid, ranking, thresholds, rejection."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.model_documents import IntervalSettings, RejectSettings
from gatewise.vocab.corpus.columns import Task

ScoreFunction = Literal["softmax", "sigmoid", "none"]

SCORE_FUNCTIONS: dict[Task, ScoreFunction] = {
    "single_label": "softmax",
    "multi_label": "sigmoid",
    "regression": "none",
}
"""What turns the logits of each task into its scores: probabilities, or the number itself."""


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


def log_odds(
    function: ScoreFunction, logits: NDArray[np.float32], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """ln(p / (1 - p)) of one label a row, computed from the logits.

    It stays exact where probabilities round to 0 or 1. For sigmoid it is the logit itself, and so
    is the number of a regression, which has no odds.

    >>> log_odds("softmax", np.array([[3.0, 1.0]], dtype=np.float32), np.array([0])).tolist()
    [2.0]
    """
    rows = np.arange(len(logits))
    wide = logits.astype(np.float64)
    chosen: NDArray[np.float64] = wide[rows, columns]
    if function != "softmax":
        return chosen
    wide[rows, columns] = -np.inf
    largest = wide.max(axis=1)
    chosen -= largest + np.log(np.exp(wide - largest[:, None]).sum(axis=1))
    return chosen


def ranked(
    labels: Sequence[str],
    scores: NDArray[np.float32],
    top_k: int | None = None,
    thresholds: Sequence[float] | None = None,
    none: str | None = None,
    *,
    in_order: bool = False,
) -> list[tuple[str, float]]:
    """The labels of one text with their scores, best first; equal scores in the labels' order.

    >>> ranked(["ham", "spam"], np.array([0.1, 0.9], dtype=np.float32), top_k=1)
    [('spam', 0.9)]
    >>> ranked(["ham", "spam"], np.array([0.1, 0.9], dtype=np.float32), thresholds=(0.1, 0.95))
    [('ham', 0.1)]
    >>> ranked(["ham", "spam"], np.array([0.4, 0.6], dtype=np.float32), none="neither")
    [('neither', 0.6), ('spam', 0.6), ('ham', 0.4)]

    Args:
        labels: The label of each score.
        scores: float32, shape `(classes,)`.
        top_k: The number of labels; None for all.
        thresholds: The threshold of each label; labels that do not reach theirs are left out.
        none: The label of a rejected text; None if it is not rejected. It comes first, counts
            towards `top_k`, and has the score of the best label.
        in_order: Whether the labels keep their order: the numbers of a regression have no best.
    """
    pairs = best_first(labels, scores, top_k, thresholds, none, in_order=in_order)
    return [(label, shortest(score)) for label, score in pairs]


def best_first(
    labels: Sequence[str],
    scores: NDArray[np.float32],
    top_k: int | None = None,
    thresholds: Sequence[float] | None = None,
    none: str | None = None,
    *,
    in_order: bool = False,
) -> list[tuple[str, np.float32]]:
    """`ranked`, with the scores as they are.

    >>> best_first(["ham", "spam"], np.array([0.25, 0.75], dtype=np.float32), top_k=1)
    [('spam', np.float32(0.75))]
    """
    order = np.arange(len(scores)) if in_order else np.argsort(-scores, kind="stable")
    if thresholds is not None:
        order = order[reached(scores, thresholds)[order]]
    order = order[:top_k]
    found = [
        (labels[place], score) for place, score in zip(order.tolist(), scores[order], strict=True)
    ]
    return found if none is None else [(none, scores.max()), *found][:top_k]


def reached(scores: NDArray[np.float32], thresholds: Sequence[float] | float) -> NDArray[np.bool_]:
    """Where scores reach their thresholds.

    Thresholds are rounded to 32 bits, so that a score printed with the digits of its threshold
    reaches it.

    Args:
        scores: float32, shape `(…, labels)`.
        thresholds: The threshold of each label, or one for all.
    """
    return scores >= np.asarray(thresholds, dtype=np.float32)


def none_labels(
    reject: RejectSettings | None, probabilities: NDArray[np.float32]
) -> list[str | None]:
    """The label of each rejected text; None for the others."""
    if reject is None:
        return [None] * len(probabilities)
    accepted = reached(probabilities.max(axis=1), reject.threshold)
    return [None if each else reject.label for each in accepted]


NO_LABELS = "{}: expected a model that predicts labels; this one predicts numbers"
"""Why an option that is about labels or probabilities is refused."""


def predicted_numbers(
    names: Sequence[str], numbers: NDArray[np.float32], interval: IntervalSettings | None = None
) -> dict[str, NDArray[np.float32]]:
    """The predicted numbers of texts by the name of their column, with the bounds of an interval.

    >>> numbers = np.array([[3.5, 2.0]], dtype=np.float32)
    >>> interval = IntervalSettings(confidence=0.9, half_width=1.25)
    >>> {name: float(found[0]) for name, found in
    ...  predicted_numbers(["value"], numbers[:, :1], interval).items()}
    {'prediction': 3.5, 'low': 2.25, 'high': 4.75}
    >>> list(predicted_numbers(["price", "age"], numbers))
    ['prediction_price', 'prediction_age']

    Args:
        names: The names of the numbers.
        numbers: float32 `(texts, numbers)`.
        interval: The interval around each; None for none.
    """
    found = {}
    half_widths = interval.half_widths if interval else (None,) * len(names)
    for name, column, half in zip(names, numbers.T, half_widths, strict=True):
        suffix = f"_{name}" if len(names) > 1 else ""
        found["prediction" + suffix] = column
        if half is not None:
            found["low" + suffix] = column - half
            found["high" + suffix] = column + half
    return found


def shortest(score: np.float32) -> float:
    """The score with the fewest decimals that round to the same 32-bit number.

    >>> shortest(np.float32(0.9)), float(np.float32(0.9))
    (0.9, 0.8999999761581421)
    """
    return float(str(score))
