"""The metrics of a classifier on labelled rows.

The classifier is the one that serves, so the report is what users get. Rows are counted in windows
and not kept.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics import multilabel_confusion_matrix

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import apply, reached
from gatewise.training.evaluation.calibration import Reliability, predictions_of
from gatewise.training.evaluation.share_interval import Interval, wilson
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow

_WINDOW = 8192
"""Rows classified at a time."""

OnWindow = Callable[[Sequence[EncodedRow], NDArray[np.float32]], None]


@dataclass(frozen=True)
class LabelMetrics:
    """The metrics of one label.

    Attributes:
        label: Its name.
        precision: Share of the rows for which it is predicted that have it.
        recall: Share of the rows that have it for which it is predicted.
        f1: Harmonic mean of the two.
        rows: Rows that have it.
        threshold: The probability from which on it is predicted; None in a single-label task.
    """

    label: str
    precision: float
    recall: float
    f1: float
    rows: int
    threshold: float | None = None


@dataclass(frozen=True)
class Report:
    """The metrics of a classifier on labelled rows.

    Attributes:
        accuracy: Share of rows whose label is predicted. In a multi-label task, share of rows with
            exactly their labels predicted (subset accuracy). With a reject threshold, a row
            without a predicted label counts as wrong, and rows out of scope are left out (in-scope
            accuracy, Larson et al., 2019, https://aclanthology.org/D19-1131).
        macro_f1: Mean F1 over the labels that occur in the rows; in a multi-label task over all.
        log_loss: Mean negative log of the probability of the correct label, in nats; in a
            multi-label task of the presence or absence of each label, over rows and labels.
        ece: Expected calibration error: the mean gap between the probability of the best label and
            the share of rows where it is correct; in a multi-label task over all labels of a row.
        rows: Rows counted, those out of scope left out.
        labels: The metrics of each label that the macro F1 is over.
        labels_without_rows: The other labels: no row has them.
        unknown_labels: Rows of each label that the model does not know; None if there are none.
            Every such row is an error, and each of these labels has an F1 of 0. In a single-label
            task the log loss leaves these rows out.
        micro_f1: F1 over all pairs of a row and a label; None in a single-label task, where it
            would be the accuracy.
        answered: Share of rows with a predicted label; None without a reject threshold.
        accuracy_answered: Share of those rows whose label is correct; 1 if there are none.
        out_of_scope_rows: Rows out of scope; None if the model was trained without
            `reject.out_of_scope`. A label predicted for them lowers its precision.
        out_of_scope_recall: Share of those rows without a predicted label; None if there are none.
    """

    accuracy: float
    macro_f1: float
    log_loss: float
    ece: float
    rows: int
    labels: tuple[LabelMetrics, ...]
    micro_f1: float | None = None
    answered: float | None = None
    accuracy_answered: float | None = None
    out_of_scope_rows: int | None = None
    out_of_scope_recall: float | None = None
    labels_without_rows: tuple[str, ...] = ()
    unknown_labels: Mapping[str, int] | None = None

    @property
    def accuracy_interval(self) -> Interval:
        """The bounds of the accuracy, with a confidence of 95 %."""
        return wilson(self.accuracy, self.rows)

    @property
    def main_metrics(self) -> dict[str, float]:
        """The metrics that models are compared by, by name."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1}

    @property
    def cost(self) -> float:
        """Log loss plus error rate: less is better."""
        return self.log_loss - self.accuracy

    @property
    def multi_label(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.micro_f1 is not None

    def as_dict(self) -> dict[str, object]:
        """The report as a JSON object, without the metrics that the task does not have."""
        document = asdict(self, dict_factory=_known)
        document["accuracy_interval"] = list(self.accuracy_interval)
        # Last, because there may be many.
        for name in ("labels_without_rows", "labels"):
            document[name] = document.pop(name)
        return document


def evaluate(
    classifier: Classifier, rows: Iterable[EncodedRow], on_window: OnWindow | None = None
) -> Report:
    """Classifies rows and compares the predictions with their labels.

    Args:
        classifier: The model.
        rows: Rows encoded by it; at least one.
        on_window: Called with each window of rows and its logits, `(rows, labels)`.
    """
    names = Labels(tuple(classifier.classes_))
    counts = _Counts(classifier)
    stream = iter(rows)
    while window := list(islice(stream, _WINDOW)):
        logits = classifier.logits([row.encoded for row in window])
        labels = [row.row.labels for row in window]
        unknown = [[name for name in row if name not in names.ids] for row in labels]
        counts.add(logits, names.matrix(labels), unknown)
        if on_window:
            on_window(window, logits)
    return counts.report(names)


def predicted(
    logits: NDArray[np.float32],
    thresholds: Sequence[float] | None,
    min_probability: float | None = None,
) -> NDArray[np.bool_]:
    """The predicted labels of rows, `(rows, labels)`.

    Args:
        logits: Shape `(rows, labels)`.
        thresholds: In a multi-label task, the probability from which on each label is predicted.
        min_probability: In a single-label task, the probability that the best label must reach;
            None for any.
    """
    if thresholds is not None:
        return reached(apply("sigmoid", logits), thresholds)
    best: NDArray[np.bool_] = logits.argmax(axis=1)[:, None] == np.arange(logits.shape[1])
    if min_probability is not None:
        best &= reached(apply("softmax", logits), min_probability)
    return best


class _Counts:
    """The counts that the metrics are computed from."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier, self._reject = classifier, classifier.reject
        # For each label [[true negatives, false positives], [false negatives, true positives]].
        self._of_labels = np.zeros((len(classifier.classes_), 2, 2), dtype=np.int64)
        self._rows = self._exact = self._answered = 0
        self._out_of_scope = self._rejected = 0  # rows out of scope, and those without a label
        self._losses, self._with_loss = 0.0, 0
        self._unknown: Counter[str] = Counter()
        self._trust = Reliability()

    def add(
        self,
        logits: NDArray[np.float32],
        truth: NDArray[np.bool_],
        unknown_labels: Sequence[Sequence[str]],
    ) -> None:
        unknown = np.array([bool(names) for names in unknown_labels])
        self._unknown.update(chain.from_iterable(unknown_labels))
        multi_label = self._classifier.multi_label
        minimum = self._reject.threshold if self._reject else None
        labels = predicted(logits, self._classifier.thresholds, minimum)
        self._of_labels += multilabel_confusion_matrix(truth, labels)
        if not multi_label:
            in_scope = truth.any(axis=1) | unknown
            self._out_of_scope += int(np.count_nonzero(~in_scope))
            self._rejected += int(np.count_nonzero(~labels[~in_scope].any(axis=1)))
            logits, truth, labels = logits[in_scope], truth[in_scope], labels[in_scope]
            unknown = unknown[in_scope]
        self._rows += len(logits)
        self._exact += int(np.count_nonzero((truth == labels).all(axis=1) & ~unknown))
        self._answered += int(np.count_nonzero(labels.any(axis=1)))
        has_loss = ~unknown | multi_label
        self._with_loss += int(np.count_nonzero(has_loss))
        losses = _losses(logits[has_loss], truth[has_loss], multi_label=multi_label)
        self._losses += float(losses.sum())
        probabilities = apply(self._classifier.score_function, logits)
        self._trust.add(*predictions_of(probabilities, truth, multi_label=multi_label))

    def report(self, names: Labels) -> Report:
        thresholds, rows = self._classifier.thresholds, max(self._rows, 1)
        labels = _label_metrics(self._of_labels, names, thresholds)
        micro_f1 = None
        if thresholds is not None:
            hits = self._of_labels[:, 1, 1].sum()
            pairs = _pairs(self._of_labels).sum() + self._unknown.total()
            micro_f1 = float(_share(2 * hits, pairs))
        knows_out_of_scope = self._reject is not None and self._reject.out_of_scope is not None
        answered = self._answered
        return Report(
            accuracy=self._exact / rows,
            macro_f1=sum(label.f1 for label in labels) / max(len(labels) + len(self._unknown), 1),
            log_loss=self._losses / max(self._with_loss, 1),
            ece=self._trust.error,
            rows=self._rows,
            labels=labels,
            micro_f1=micro_f1,
            answered=answered / rows if self._reject else None,
            accuracy_answered=(self._exact / answered if answered else 1.0)
            if self._reject
            else None,
            out_of_scope_rows=self._out_of_scope if knows_out_of_scope else None,
            out_of_scope_recall=self._rejected / self._out_of_scope if self._out_of_scope else None,
            labels_without_rows=tuple(
                name
                for name, counts in zip(names.names, self._of_labels, strict=True)
                if thresholds is None and not counts[1].sum()
            ),
            unknown_labels=dict(self._unknown.most_common()) or None,
        )


def _losses(
    logits: NDArray[np.float32], truth: NDArray[np.bool_], *, multi_label: bool
) -> NDArray[np.float64]:
    """The log loss of each row, `(rows,)`."""
    wide = logits.astype(np.float64)
    if not multi_label:
        return np.asarray(logsumexp(wide, axis=1) - wide[truth])
    # -log sigmoid(z) = log(1 + e^-z), and -log(1 - sigmoid(z)) = log(1 + e^z)
    return np.asarray(np.logaddexp(0, np.where(truth, -wide, wide)).mean(axis=1))


def _label_metrics(
    counts: NDArray[np.int64], names: Labels, thresholds: Sequence[float] | None
) -> tuple[LabelMetrics, ...]:
    (_, false_positives), (false_negatives, hits) = counts.transpose(1, 2, 0)
    rows = hits + false_negatives
    precision, recall = _share(hits, hits + false_positives), _share(hits, rows)
    f1 = _share(2 * hits, _pairs(counts))
    return tuple(
        LabelMetrics(
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
    """Rows that have each label plus rows for which it is predicted."""
    pairs: NDArray[np.int64] = 2 * counts[:, 1, 1] + counts[:, 0, 1] + counts[:, 1, 0]
    return pairs


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """A quotient; zero where the denominator is."""
    return np.asarray(part / np.maximum(whole, 1), dtype=np.float64)


def _known(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {name: value for name, value in pairs if value is not None}
