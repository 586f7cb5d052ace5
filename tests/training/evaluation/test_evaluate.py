"""The metrics of a report agree with those of scikit-learn for all rows at once."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import metrics

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import RejectSettings
from gatewise.training.evaluation import evaluate as evaluation
from gatewise.training.evaluation.calibration import BINS
from gatewise.training.evaluation.evaluate import evaluate
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.encoding import Encoded

NAMES = ["a", "b", "c", "d", "never"]
THRESHOLDS = (0.5, 0.3, 0.8, 0.95, 0.5)
LOGITS = np.random.default_rng(4).normal(0, 2, (500, len(NAMES))).astype(np.float32)


def calibration_error(probabilities, right):
    """The gaps between probability and share of correct predictions, bin by bin."""
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    gaps = [abs((right - probabilities)[places == place].sum()) for place in range(BINS)]
    return sum(gaps) / len(right)


class Recorded:
    """A classifier whose logits are given: a text's only id is its number."""

    def __init__(self, logits=LOGITS, thresholds=None, reject=None) -> None:
        self.classes_ = NAMES
        self.thresholds, self.reject = thresholds, reject
        self.multi_label = thresholds is not None
        self.score_function = "sigmoid" if self.multi_label else "softmax"
        self._logits = logits

    def logits(self, encoded):
        return self._logits[[int(text.ids[0]) for text in encoded]]


def rows_of(labels):
    for number, each in enumerate(labels):
        ids = np.array([number], dtype=np.int64)
        row = Row(f"text {number}", each, Location("f.csv", number + 2))
        yield EncodedRow(row, Encoded(ids, truncated=False))


@pytest.fixture(autouse=True)
def windows(monkeypatch):
    """Several windows, the last of them smaller than the others."""
    monkeypatch.setattr(evaluation, "_WINDOW", 64)


def test_the_metrics_of_one_label_are_scikit_learns():
    truth = np.random.default_rng(5).integers(0, 4, 500)
    report = evaluate(Recorded(), rows_of([(NAMES[label],) for label in truth]))
    predicted, probabilities = LOGITS.argmax(axis=1), softmax(LOGITS.astype(float), axis=1)
    assert (report.rows, report.multi_label) == (500, False)
    assert report.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    loss = metrics.log_loss(truth, probabilities, labels=range(5))
    assert report.log_loss == pytest.approx(loss, abs=1e-6)
    error = calibration_error(probabilities.max(axis=1), predicted == truth)
    assert report.ece == pytest.approx(error, abs=1e-6)
    expected = metrics.precision_recall_fscore_support(truth, predicted, labels=range(4))
    found = [(each.precision, each.recall, each.f1, each.rows) for each in report.labels]
    np.testing.assert_allclose(np.array(found).T, expected)
    assert report.macro_f1 == pytest.approx(expected[2].mean())
    # Labels that do not occur are not counted.
    assert [each.label for each in report.labels] == ["a", "b", "c", "d"]
    document = report.as_dict()
    assert report.labels_without_rows == ("never",)
    names = ["accuracy", "macro_f1", "log_loss", "ece", "rows", "accuracy_interval"]
    assert list(document) == [*names, "labels_without_rows", "labels"]
    low, high = document["accuracy_interval"]
    assert (low, high) == report.accuracy_interval
    assert low < report.accuracy < high
    assert list(document["labels"][0]) == ["label", "precision", "recall", "f1", "rows"]


def test_the_metrics_of_several_labels_are_scikit_learns():
    truth = np.random.default_rng(6).random((500, len(NAMES))) < 0.3
    truth[:, -1] = False
    labels = [tuple(np.array(NAMES)[row].tolist()) for row in truth]
    report = evaluate(Recorded(thresholds=THRESHOLDS), rows_of(labels))
    probabilities = expit(LOGITS.astype(float))
    predicted = probabilities >= np.array(THRESHOLDS)
    assert (report.rows, report.multi_label) == (500, True)
    assert report.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    macro, micro = (
        metrics.f1_score(truth, predicted, average=average, zero_division=0)
        for average in ("macro", "micro")
    )
    assert (report.macro_f1, report.micro_f1) == pytest.approx((macro, micro))
    every = calibration_error(probabilities.reshape(-1), truth.reshape(-1))
    assert report.ece == pytest.approx(every, abs=1e-6)
    losses = -np.log(np.where(truth, probabilities, 1 - probabilities))
    assert report.log_loss == pytest.approx(losses.mean(), abs=1e-6)
    expected = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
    found = [(each.precision, each.recall, each.f1, each.rows) for each in report.labels]
    np.testing.assert_allclose(np.array(found).T, expected)
    named = [(each.label, each.threshold) for each in report.labels]
    assert named == list(zip(NAMES, THRESHOLDS, strict=True))
    document = report.as_dict()
    names = ["accuracy", "macro_f1", "log_loss", "ece", "rows", "micro_f1"]
    assert list(document) == [*names, "accuracy_interval", "labels_without_rows", "labels"]
    assert document["labels"][1]["threshold"] == 0.3


def test_rows_without_any_label():
    report = evaluate(Recorded(LOGITS - 100, THRESHOLDS), rows_of([()] * 70))
    assert (report.accuracy, report.macro_f1, report.micro_f1) == (1.0, 0.0, 0.0)
    assert report.log_loss == pytest.approx(0, abs=1e-6)


def test_each_window_is_passed_on_with_its_logits():
    seen = []
    rows = list(rows_of([("a",)] * 150))
    evaluate(Recorded(), rows, on_window=lambda *window: seen.append(window))
    assert [row for window, _ in seen for row in window] == rows
    assert [len(window) for window, _ in seen] == [64, 64, 22]
    np.testing.assert_array_equal(np.concatenate([each for _, each in seen]), LOGITS[:150])


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr(evaluation, "_WINDOW", 2048)

    def peak(rows):
        classifier = Recorded(np.zeros((rows, len(NAMES)), np.float32))
        stream = rows_of([("a",)] * rows)
        tracemalloc.start()
        try:
            evaluate(classifier, stream)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(2048 * 6) < 1.2 * peak(2048 * 2)


def test_the_metrics_with_a_rejection_threshold():
    # The label 4 stands for rows that have none.
    truth = np.random.default_rng(7).integers(0, 5, 500)
    reject = RejectSettings(threshold=0.6, label="none", out_of_scope="other")
    labels = [(NAMES[label],) if label < 4 else () for label in truth]
    report = evaluate(Recorded(reject=reject), rows_of(labels))
    probabilities = softmax(LOGITS, axis=1)
    answered = probabilities.max(axis=1) >= 0.6
    right, inside = probabilities.argmax(axis=1) == truth, truth < 4
    assert report.rows == inside.sum()
    assert report.accuracy == pytest.approx((answered & right)[inside].mean())
    assert report.answered == pytest.approx(answered[inside].mean())
    assert report.accuracy_answered == pytest.approx(right[inside & answered].mean())
    assert report.out_of_scope_rows == (~inside).sum()
    assert report.out_of_scope_recall == pytest.approx((~answered)[~inside].mean())
    # A label that rows out of scope are given is imprecise.
    given = np.where(answered, probabilities.argmax(axis=1), -1)
    for index, found in enumerate(report.labels):
        assert found.precision == pytest.approx((truth[given == index] == index).mean())
        assert found.recall == pytest.approx((given[truth == index] == index).mean())
    # Metrics of probabilities are of rows in scope.
    best = probabilities.max(axis=1)[inside]
    assert report.ece == pytest.approx(calibration_error(best, right[inside]), abs=1e-6)
    losses = -np.log(probabilities[inside][np.arange(inside.sum()), truth[inside]])
    assert report.log_loss == pytest.approx(losses.mean(), rel=1e-5)


def test_without_an_out_of_scope_label_there_are_no_such_rows():
    classifier = Recorded(reject=RejectSettings(threshold=0.6, label="none"))
    document = evaluate(classifier, rows_of([("a",)] * 500)).as_dict()
    assert {"answered", "accuracy_answered"} <= set(document)
    assert not {"out_of_scope_rows", "out_of_scope_recall"} & set(document)


def test_the_classifier_of_a_folder(multi_label_folder):
    classifier = Classifier.load(multi_label_folder)
    texts = {"blue reddish": ("blue", "red"), "green": (), "grey": (), "red": ("red", "blue")}
    rows = [
        EncodedRow(Row(text, labels, Location("f.csv", 2)), classifier.encode([text])[0])
        for text, labels in texts.items()
    ]
    report = evaluate(classifier, rows)
    assert report.accuracy == 0.75
    f1 = {each.label: each.f1 for each in report.labels}
    assert f1 == pytest.approx({"blue": 2 / 3, "green": 0.0, "red": 1.0})
