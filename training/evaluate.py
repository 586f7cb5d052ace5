"""How good a model is: the figures of a classifier over labelled rows.

Asks the very classifier that serves, so what is reported is what users get. Counts with
scikit-learn; does not import TensorFlow.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from service.classifier import Classifier
from vocab.encoded_rows import EncodedRow

_WINDOW = 8192
"""Rows classified at a time."""


@dataclass(frozen=True)
class LabelFigures:
    """The figures of one label.

    Attributes:
        label: Its name.
        precision: Share of the rows given this label that have it.
        recall: Share of the rows that have this label that were given it.
        f1: Harmonic mean of the two.
        rows: Rows that have it.
    """

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class Report:
    """The figures of a classifier over labelled rows.

    Attributes:
        accuracy: Share of rows whose most probable label is theirs.
        macro_f1: Mean F1 over the labels that occur in the rows.
        log_loss: Mean negative log of the probability given to the right label, in nats.
        rows: Rows counted.
        labels: The figures of each label that occurs in the rows.
    """

    accuracy: float
    macro_f1: float
    log_loss: float
    rows: int
    labels: tuple[LabelFigures, ...]

    def as_dict(self) -> dict[str, object]:
        """The report as a JSON object."""
        return asdict(self)


def evaluate(classifier: Classifier, rows: Iterable[EncodedRow]) -> Report:
    """Classifies rows and compares with their labels.

    Args:
        classifier: The model.
        rows: Rows encoded by it, whose labels it knows; at least one.
    """
    ids = {label: index for index, label in enumerate(classifier.classes_)}
    truth: list[int] = []
    predicted: list[int] = []
    losses = 0.0
    stream = iter(rows)
    while window := list(islice(stream, _WINDOW)):
        logits = classifier.logits([row.encoded for row in window]).astype(np.float64)
        expected = [ids[row.row.label] for row in window]
        losses += float((logsumexp(logits, axis=1) - logits[range(len(window)), expected]).sum())
        truth.extend(expected)
        predicted.extend(logits.argmax(axis=1).tolist())
    occurring = sorted(set(truth))
    figures = precision_recall_fscore_support(
        truth, predicted, labels=occurring, average=None, zero_division=0
    )
    labels = tuple(
        LabelFigures(
            label=classifier.classes_[index],
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
            rows=int(support),
        )
        for index, precision, recall, f1, support in zip(occurring, *figures, strict=True)
    )
    return Report(
        accuracy=float(accuracy_score(truth, predicted)),
        macro_f1=sum(label.f1 for label in labels) / len(labels),
        log_loss=losses / len(truth),
        rows=len(truth),
        labels=labels,
    )
