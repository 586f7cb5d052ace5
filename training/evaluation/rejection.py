"""The reject threshold: the probability from which on the best label is predicted."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.model_documents import RejectSettings
from gatewise.training.evaluation.thresholds import between

_POINTS = 100
"""Points of a curve, at most."""


@dataclass(frozen=True)
class RejectionPoint:
    """The effect of a threshold on the validation rows.

    Attributes:
        threshold: The probability from which on the best label is predicted.
        answered: Share of the rows in scope that get a label.
        accuracy_answered: Share of those whose label is correct; 1 without any.
        out_of_scope_recall: Share of the rows out of scope that get no label; None without any.
    """

    threshold: float
    answered: float
    accuracy_answered: float
    out_of_scope_recall: float | None


@dataclass(frozen=True)
class Rejection:
    """The threshold of a model, and the effect of others on the validation rows.

    Attributes:
        label: What is predicted if the best label does not reach the threshold.
        out_of_scope: The label of rows out of scope in the corpora; None if not set.
        target_precision: Share of answered rows in scope that should be correct; None if not set.
        reached: Whether the target is reached; true without a target.
        chosen: The threshold and its effect.
        curve: Thresholds from the one that rejects no row to the one that rejects nearly all.
    """

    label: str
    out_of_scope: str | None
    target_precision: float | None
    reached: bool
    chosen: RejectionPoint
    curve: tuple[RejectionPoint, ...]

    def settings(self) -> RejectSettings:
        """The part that goes into the model folder."""
        return RejectSettings(
            threshold=self.chosen.threshold, label=self.label, out_of_scope=self.out_of_scope
        )

    def as_dict(self) -> dict[str, object]:
        """The rejection as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Curve:
    """Every threshold that changes a prediction, in ascending order, and its effect.

    Attributes:
        thresholds: The thresholds, `(thresholds,)` as the others.
        answered: See `RejectionPoint`.
        accuracy_answered: The same.
        out_of_scope_recall: The same.
    """

    thresholds: NDArray[np.floating]
    answered: NDArray[np.float64]
    accuracy_answered: NDArray[np.float64]
    out_of_scope_recall: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.thresholds)

    def at(self, place: int) -> RejectionPoint:
        """The point of one threshold, by its index."""
        recall = self.out_of_scope_recall
        return RejectionPoint(
            threshold=float(self.thresholds[place]),
            answered=float(self.answered[place]),
            accuracy_answered=float(self.accuracy_answered[place]),
            out_of_scope_recall=None if recall is None else float(recall[place]),
        )

    def thinned(self) -> tuple[RejectionPoint, ...]:
        """Evenly spaced points, the first and the last included."""
        places = np.linspace(0, len(self) - 1, min(len(self), _POINTS)).round().astype(int)
        return tuple(self.at(place) for place in places.tolist())


def curve(
    probabilities: NDArray[np.floating],
    right: NDArray[np.bool_],
    outside: NDArray[np.floating],
) -> Curve:
    """The effect of every threshold on some rows.

    A threshold is halfway between two neighbouring probabilities; the lowest is below all of them.

    >>> found = curve(np.array([0.875, 0.5]), np.array([True, False]), np.array([0.25]))
    >>> found.thresholds.tolist(), found.answered.tolist()
    ([0.125, 0.375, 0.6875], [1.0, 1.0, 0.5])
    >>> found.accuracy_answered.tolist(), found.out_of_scope_recall.tolist()
    ([0.5, 0.5, 1.0], [0.0, 1.0, 1.0])

    Args:
        probabilities: Of the best label of each row in scope, `(rows,)`; one row at least.
        right: Whether that label is correct, `(rows,)`.
        outside: Of the best label of each row out of scope, `(rows out of scope,)`.
    """
    scores = np.concatenate([probabilities, outside])
    inside = np.arange(len(scores)) < len(probabilities)
    hits = np.zeros(len(scores), dtype=np.bool_)
    hits[: len(probabilities)] = right
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    below = np.append(ranked[1:], ranked.dtype.type(0))
    # Rows of equal probability get the same answer: a cut is where the probability falls.
    cuts = np.flatnonzero(ranked > below)[::-1]
    answered, true, found = (
        np.cumsum(each[order])[cuts].astype(np.float64) for each in (inside, hits, ~inside)
    )
    accuracy = np.ones_like(answered)
    np.divide(true, answered, out=accuracy, where=answered > 0)
    return Curve(
        thresholds=between(ranked[cuts], below[cuts]),
        answered=answered / len(probabilities),
        accuracy_answered=accuracy,
        out_of_scope_recall=1 - found / len(outside) if len(outside) else None,
    )


def choose(found: Curve, target_precision: float | None) -> tuple[RejectionPoint, bool]:
    """The best threshold of a curve, and whether the target is reached.

    Without rows out of scope it is the lowest that reaches the target. With such rows it is the one
    with the best balanced accuracy, of equals the lowest: the mean of the share of rows in scope
    with the correct label and of the share of rows out of scope without a label. With a target
    too, it is the best of those that reach the target. (Recall of rows out of scope alone is no
    criterion: rejecting every text gives 1.)

    If no threshold reaches the target, those nearest to it are compared.

    Args:
        found: From `curve`.
        target_precision: Share of answered rows in scope that should be correct; None for no
            target.
    """
    target = target_precision or 0.0
    answers = found.answered > 0
    nearest = min(target, found.accuracy_answered[answers].max())
    able = np.flatnonzero(answers & (found.accuracy_answered >= nearest))
    place = able[0]
    if found.out_of_scope_recall is not None:
        both = found.answered * found.accuracy_answered + found.out_of_scope_recall
        # Rounded, so that sums that differ by rounding errors are equal.
        place = able[np.round(both[able], 12).argmax()]
    return found.at(int(place)), bool(nearest == target)
