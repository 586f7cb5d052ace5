"""From which probability on an answer is given, chosen on validation rows.

Knows the probability of the best label of each row, and whether that label is right; neither texts
nor models. Does not import TensorFlow.
"""

from dataclasses import asdict, dataclass

import numpy as np
from gatewise.service.model.model_documents import RejectSettings
from gatewise.training.evaluation.thresholds import between
from numpy.typing import NDArray

_POINTS = 100
"""Most points of a curve."""


@dataclass(frozen=True)
class RejectionPoint:
    """What a threshold does to the validation rows.

    Attributes:
        threshold: The probability from which on the best label is given.
        answered: Share of the rows in scope that are given a label.
        accuracy_answered: Share of those that are given the right one; 1 without any.
        out_of_scope_recall: Share of the rows out of scope that are given none; None without such.
    """

    threshold: float
    answered: float
    accuracy_answered: float
    out_of_scope_recall: float | None


@dataclass(frozen=True)
class Rejection:
    """The threshold of a model, and what others would have done to the validation rows.

    Attributes:
        label: What a text is given whose best label does not reach the threshold.
        out_of_scope: The label of rows that have none of the labels; None if not set.
        target_precision: Share of answered rows in scope that should be right; None if not set.
        reached: Whether it was; true if none is set.
        chosen: The threshold, and what it does.
        curve: Thresholds from the one that rejects no row to the one that rejects nearly all.
    """

    label: str
    out_of_scope: str | None
    target_precision: float | None
    reached: bool
    chosen: RejectionPoint
    curve: tuple[RejectionPoint, ...]

    def settings(self) -> RejectSettings:
        """What of it goes into the model folder."""
        return RejectSettings(
            threshold=self.chosen.threshold, label=self.label, out_of_scope=self.out_of_scope
        )

    def as_dict(self) -> dict[str, object]:
        """The figures as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Curve:
    """Every threshold that makes a difference to some rows, the lowest first, and what it does.

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
        """One threshold, by its place."""
        recall = self.out_of_scope_recall
        return RejectionPoint(
            threshold=float(self.thresholds[place]),
            answered=float(self.answered[place]),
            accuracy_answered=float(self.accuracy_answered[place]),
            out_of_scope_recall=None if recall is None else float(recall[place]),
        )

    def thinned(self) -> tuple[RejectionPoint, ...]:
        """Some of the thresholds, evenly by their place, the first and the last among them."""
        places = np.linspace(0, len(self) - 1, min(len(self), _POINTS)).round().astype(int)
        return tuple(self.at(place) for place in places.tolist())


def curve(
    probabilities: NDArray[np.floating],
    right: NDArray[np.bool_],
    outside: NDArray[np.floating],
) -> Curve:
    """What every threshold does to some rows.

    A threshold lies halfway between two neighbouring probabilities, the lowest below all of them.

    >>> found = curve(np.array([0.875, 0.5]), np.array([True, False]), np.array([0.25]))
    >>> found.thresholds.tolist(), found.answered.tolist()
    ([0.125, 0.375, 0.6875], [1.0, 1.0, 0.5])
    >>> found.accuracy_answered.tolist(), found.out_of_scope_recall.tolist()
    ([0.5, 0.5, 1.0], [0.0, 1.0, 1.0])

    Args:
        probabilities: That of the best label of each row in scope, `(rows,)`; one row at least.
        right: Whether that label is right, `(rows,)`.
        outside: That of the best label of each row out of scope, `(rows out of scope,)`.
    """
    scores = np.concatenate([probabilities, outside])
    inside = np.arange(len(scores)) < len(probabilities)
    hits = np.zeros(len(scores), dtype=np.bool_)
    hits[: len(probabilities)] = right
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    below = np.append(ranked[1:], ranked.dtype.type(0))
    # Rows of equal probability are answered together: a cut lies where the probability falls.
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
    """The threshold that is best by the rows it was tried on, and whether the target is reached.

    Without rows out of scope it is the lowest that reaches the target. With such rows it is the
    one with the best balanced accuracy, the lowest of equals: the mean of the share of rows in
    scope that are given the right label, none being wrong, and of the share of rows out of scope
    that are given none. If there is a target too, it is the best of those that reach the target.
    (The share found out alone is no criterion: a threshold that rejects every text finds all.)

    Where no threshold reaches the target, those are looked at that come nearest to it.

    Args:
        found: From `curve`.
        target_precision: Share of answered rows in scope that should be right; None for no target.
    """
    target = target_precision or 0.0
    answers = found.answered > 0
    nearest = min(target, found.accuracy_answered[answers].max())
    able = np.flatnonzero(answers & (found.accuracy_answered >= nearest))
    place = able[0]
    if found.out_of_scope_recall is not None:
        both = found.answered * found.accuracy_answered + found.out_of_scope_recall
        # Sums that are equal but for rounding are equal.
        place = able[np.round(both[able], 12).argmax()]
    return found.at(int(place)), bool(nearest == target)
