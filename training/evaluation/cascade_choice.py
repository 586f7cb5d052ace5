"""The threshold of the cascade: how sure the linear path must be to classify a text alone."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.cascade import calibrated
from gatewise.service.model.model_documents import CascadeSettings
from gatewise.service.model.scores import apply, reached
from gatewise.training.evaluation.share_interval import wilson

MIN_AGREEMENT = 0.995
"""Share of the validation rows, at least, whose labels are those of the network: by the lower
bound of its 95 % interval, so that 764 rows that all agree are too few."""

MAX_LOSS = 0.001
"""How far the accuracy of the cascade may be below that of the network."""

MIN_ANSWERED = 0.1
"""Share of the validation rows, at least, that the linear path classifies: fewer save no time."""


@dataclass(frozen=True)
class CascadeChoice:
    """What was chosen on the validation rows, and its effect on them.

    Attributes:
        settings: The threshold and the temperature; None if no threshold is good enough.
        rows: Rows that it was chosen on.
        answered: Share of them that the linear path classifies.
        agreement: Share of them with the label of the network.
        agreement_low: The lower bound of its 95 % interval.
        accuracy_change: Accuracy of the cascade minus that of the network.
        linear_accuracy: Accuracy of the linear path alone, on all rows.
    """

    settings: CascadeSettings | None
    rows: int
    answered: float
    agreement: float
    agreement_low: float
    accuracy_change: float
    linear_accuracy: float

    def as_dict(self) -> dict[str, object]:
        """The choice as a JSON object."""
        document = asdict(self)
        settings = self.settings.model_dump() if self.settings else {}
        del document["settings"]
        return {"threshold": None, "temperature": None, **settings, **document}


def choose(
    linear: NDArray[np.float32],
    network: NDArray[np.float32],
    truth: NDArray[np.bool_],
    temperature: float,
    reject: float = 0,
) -> CascadeChoice:
    """The lowest threshold at which enough labels are those of the network.

    Args:
        linear: The linear path's logits, `(rows, labels)`.
        network: The network's probabilities, `(rows, labels)`.
        truth: Which label each row has, `(rows, labels)`.
        temperature: What the linear path's logits are divided by.
        reject: The probability that the best label must reach for a row to have a label.
    """
    rows = len(linear)
    probabilities = apply("softmax", calibrated(linear, temperature))
    sure = probabilities.max(axis=1)
    best, expected = (_labels(each, reject) for each in (probabilities, network))
    truth = np.pad(truth, [(0, 0), (0, 1)])  # the last column is that of no label
    order = np.argsort(-sure, kind="stable")
    every = np.arange(rows)
    wins = truth[every, best].astype(np.int64) - truth[every, expected]
    differing, won = (np.cumsum(each[order]) for each in (best != expected, wins))
    # A threshold classifies all rows of the same probability.
    is_last = np.append(sure[order][1:] < sure[order][:-1], True) if rows else np.empty(0, bool)
    answered = 0
    for count in (np.flatnonzero(is_last) + 1)[::-1].tolist():
        low = wilson(1 - differing[count - 1] / rows, rows).low
        if count < MIN_ANSWERED * rows:
            break
        if low >= MIN_AGREEMENT and won[count - 1] >= -MAX_LOSS * rows:
            answered = count
            break
    last = answered - 1
    agreement = float(1 - differing[last] / rows) if answered else 1.0
    return CascadeChoice(
        settings=CascadeSettings(threshold=float(sure[order][last]), temperature=temperature)
        if answered
        else None,
        rows=rows,
        answered=answered / rows if rows else 0.0,
        agreement=agreement,
        agreement_low=wilson(agreement, rows).low,
        accuracy_change=float(won[last] / rows) if answered else 0.0,
        linear_accuracy=float(truth[every, best].mean()) if rows else 0.0,
    )


def _labels(probabilities: NDArray[np.float32], reject: float) -> NDArray[np.int64]:
    """The index of each row's label; that after the last if the row is rejected."""
    best = probabilities.argmax(axis=1)
    return np.where(reached(probabilities.max(axis=1), reject), best, probabilities.shape[1])
