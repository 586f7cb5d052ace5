"""How good a model is: the figures of a classifier over labelled rows.

Asks the very classifier that serves, so what is reported is what users get. Counts with
scikit-learn, a window of rows at a time, and keeps nothing of a row; does not import TensorFlow.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import apply, reached
from gatewise.training.evaluation.calibration import Reliability, told_of
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics import multilabel_confusion_matrix

_WINDOW = 8192
"""Rows classified at a time."""

OnWindow = Callable[[Sequence[EncodedRow], NDArray[np.float32]], None]


@dataclass(frozen=True)
class LabelFigures:
    """The figures of one label.

    Attributes:
        label: Its name.
        precision: Share of the rows given this label that have it.
        recall: Share of the rows that have this label that were given it.
        f1: Harmonic mean of the two.
        rows: Rows that have it.
        threshold: The probability from which on it is given; None in a single-label task.
    """

    label: str
    precision: float
    recall: float
    f1: float
    rows: int
    threshold: float | None = None


@dataclass(frozen=True)
class Report:
    """The figures of a classifier over labelled rows.

    Attributes:
        accuracy: Share of rows whose most probable label is theirs. In a multi-label task, share
            of rows that were given all their labels and no other (subset accuracy). Of a model
            that may give none, a row that is given none is wrong, and rows out of scope, which
            have none, are not among the rows that this is a share of (in-scope accuracy, Larson et
            al., 2019, https://aclanthology.org/D19-1131).
        macro_f1: Mean F1 over the labels that occur in the rows; in a multi-label task over all.
        log_loss: Mean negative log of the probability given to the right label, in nats; in a
            multi-label task to each label's being there or not, the mean over rows and labels.
        ece: Expected calibration error: the mean gap between the probability of the best label and
            the share of rows where it is right; in a multi-label task over every label of a row.
        rows: Rows counted, those out of scope left out.
        labels: The figures of each label that the macro F1 is over.
        micro_f1: F1 over all pairs of a row and a label; None in a single-label task, where it
            would be the accuracy.
        answered: Share of rows that are given a label; None of a model that gives each one.
        accuracy_answered: Share of those that are given the right one; 1 without any.
        out_of_scope_rows: Rows that have none of the labels; None of a model that was not trained
            with `reject.out_of_scope`. A label that they are given is wrong in its precision.
        out_of_scope_recall: Share of those that are given none; None without any.
    """

    accuracy: float
    macro_f1: float
    log_loss: float
    ece: float
    rows: int
    labels: tuple[LabelFigures, ...]
    micro_f1: float | None = None
    answered: float | None = None
    accuracy_answered: float | None = None
    out_of_scope_rows: int | None = None
    out_of_scope_recall: float | None = None

    @property
    def multi_label(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.micro_f1 is not None

    def as_dict(self) -> dict[str, object]:
        """The report as a JSON object, without what a single-label task does not have."""
        document = asdict(self, dict_factory=_known)
        # The many labels come last, where they hide nothing.
        document["labels"] = document.pop("labels")
        return document


def evaluate(
    classifier: Classifier, rows: Iterable[EncodedRow], on_window: OnWindow | None = None
) -> Report:
    """Classifies rows and compares with their labels.

    Args:
        classifier: The model.
        rows: Rows encoded by it, whose labels it knows; at least one.
        on_window: Given each window of rows with its logits, `(rows, labels)`.
    """
    names = Labels(tuple(classifier.classes_))
    counts = _Counts(classifier)
    stream = iter(rows)
    while window := list(islice(stream, _WINDOW)):
        logits = classifier.logits([row.encoded for row in window])
        counts.add(logits, names.matrix([row.row.labels for row in window]))
        if on_window:
            on_window(window, logits)
    return counts.report(names)


def given(
    logits: NDArray[np.float32], thresholds: Sequence[float] | None, least: float | None = None
) -> NDArray[np.bool_]:
    """Which labels the rows are given, `(rows, labels)`.

    Args:
        logits: Shape `(rows, labels)`.
        thresholds: In a multi-label task, the probability from which on each label is given.
        least: In a single-label task, the probability that the best label must reach; None for
            any.
    """
    if thresholds is not None:
        return reached(apply("sigmoid", logits), thresholds)
    best: NDArray[np.bool_] = logits.argmax(axis=1)[:, None] == np.arange(logits.shape[1])
    if least is not None:
        best &= reached(apply("softmax", logits), least)
    return best


class _Counts:
    """What is counted of rows as they pass."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier, self._reject = classifier, classifier.reject
        # For each label [[true negatives, false positives], [false negatives, true positives]].
        self._of_labels = np.zeros((len(classifier.classes_), 2, 2), dtype=np.int64)
        self._rows = self._exact = self._answered = self._outside = self._found_out = 0
        self._losses = 0.0
        self._trust = Reliability()

    def add(self, logits: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        several = self._classifier.multi_label
        least = self._reject.threshold if self._reject else None
        predicted = given(logits, self._classifier.thresholds, least)
        self._of_labels += multilabel_confusion_matrix(truth, predicted)
        if not several:
            inside = truth.any(axis=1)
            self._outside += int(np.count_nonzero(~inside))
            self._found_out += int(np.count_nonzero(~predicted[~inside].any(axis=1)))
            logits, truth, predicted = logits[inside], truth[inside], predicted[inside]
        self._rows += len(logits)
        self._exact += int(np.count_nonzero((truth == predicted).all(axis=1)))
        self._answered += int(np.count_nonzero(predicted.any(axis=1)))
        self._losses += float(_losses(logits, truth, several=several).sum())
        probabilities = apply(self._classifier.score_function, logits)
        self._trust.add(*told_of(probabilities, truth, multi_label=several))

    def report(self, names: Labels) -> Report:
        thresholds, rows = self._classifier.thresholds, max(self._rows, 1)
        labels = _figures(self._of_labels, names, thresholds)
        micro_f1 = None
        if thresholds is not None:
            hits = self._of_labels[:, 1, 1].sum()
            micro_f1 = float(_share(2 * hits, _pairs(self._of_labels).sum()))
        looks_outside = self._reject is not None and self._reject.out_of_scope is not None
        answered = self._answered
        return Report(
            accuracy=self._exact / rows,
            macro_f1=sum(label.f1 for label in labels) / max(len(labels), 1),
            log_loss=self._losses / rows,
            ece=self._trust.error,
            rows=self._rows,
            labels=labels,
            micro_f1=micro_f1,
            answered=answered / rows if self._reject else None,
            accuracy_answered=(self._exact / answered if answered else 1.0)
            if self._reject
            else None,
            out_of_scope_rows=self._outside if looks_outside else None,
            out_of_scope_recall=self._found_out / self._outside if self._outside else None,
        )


def _losses(
    logits: NDArray[np.float32], truth: NDArray[np.bool_], *, several: bool
) -> NDArray[np.float64]:
    """The negative log of the probability given to what is true of each row, `(rows,)`."""
    wide = logits.astype(np.float64)
    if not several:
        return np.asarray(logsumexp(wide, axis=1) - wide[truth])
    # -log sigmoid(z) = log(1 + e^-z), and -log(1 - sigmoid(z)) = log(1 + e^z)
    return np.asarray(np.logaddexp(0, np.where(truth, -wide, wide)).mean(axis=1))


def _figures(
    counts: NDArray[np.int64], names: Labels, thresholds: Sequence[float] | None
) -> tuple[LabelFigures, ...]:
    (_, false_positives), (false_negatives, hits) = counts.transpose(1, 2, 0)
    rows = hits + false_negatives
    precision, recall = _share(hits, hits + false_positives), _share(hits, rows)
    f1 = _share(2 * hits, _pairs(counts))
    return tuple(
        LabelFigures(
            label=label,
            precision=float(precision[index]),
            recall=float(recall[index]),
            f1=float(f1[index]),
            rows=int(rows[index]),
            threshold=thresholds[index] if thresholds is not None else None,
        )
        for index, label in enumerate(names.names)
        if thresholds is not None or rows[index]
    )


def _pairs(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that have each label and rows that were given it, added."""
    pairs: NDArray[np.int64] = 2 * counts[:, 1, 1] + counts[:, 0, 1] + counts[:, 1, 0]
    return pairs


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """A quotient; zero where there is nothing to share."""
    return np.asarray(part / np.maximum(whole, 1), dtype=np.float64)


def _known(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {name: value for name, value in pairs if value is not None}
