"""The figures of a report, beside those that scikit-learn gives for all rows at once."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import metrics

from gatewise.service.model.model_documents import RejectSettings
from gatewise.training.evaluation import evaluate as evaluation
from gatewise.training.evaluation.calibration import expected_calibration_error
from gatewise.training.evaluation.evaluate import evaluate
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.encoding import Encoded

NAMES = ["a", "b", "c", "d", "never"]
THRESHOLDS = (0.5, 0.3, 0.8, 0.95, 0.5)


class Recorded:
    """A classifier whose logits are given: a text's only id is its number."""

    def __init__(self, logits, thresholds=None) -> None:
        self.classes_ = NAMES
        self.thresholds = thresholds
        self.multi_label = thresholds is not None
        self.score_function = "sigmoid" if self.multi_label else "softmax"
        self.reject = None
        self._logits = logits.astype(np.float32)

    def logits(self, encoded):
        return self._logits[[int(text.ids[0]) for text in encoded]]


def rows_of(labels):
    for number, each in enumerate(labels):
        ids = np.array([number], dtype=np.int64)
        row = Row(f"text {number}", each, Location("f.csv", number + 2))
        yield EncodedRow(row, Encoded(ids, truncated=False))


@pytest.fixture
def logits():
    return np.random.default_rng(4).normal(0, 2, (500, len(NAMES)))


@pytest.fixture
def windows(monkeypatch):
    """Several windows, the last of them smaller than the others."""
    monkeypatch.setattr(evaluation, "_WINDOW", 64)


@pytest.mark.usefixtures("windows")
class TestSingleLabel:
    @pytest.fixture
    def truth(self):
        return np.random.default_rng(5).integers(0, 4, 500)

    @pytest.fixture
    def report(self, logits, truth):
        return evaluate(Recorded(logits), rows_of([(NAMES[label],) for label in truth]))

    def test_the_figures_are_scikit_learns(self, logits, truth, report):
        predicted = logits.argmax(axis=1)
        assert report.rows == 500
        assert report.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        loss = metrics.log_loss(truth, probabilities, labels=range(5))
        assert report.log_loss == pytest.approx(loss, abs=1e-6)
        expected = metrics.precision_recall_fscore_support(truth, predicted, labels=range(4))
        found = [(each.precision, each.recall, each.f1, each.rows) for each in report.labels]
        np.testing.assert_allclose(np.array(found).T, expected)
        assert report.macro_f1 == pytest.approx(expected[2].mean())

    def test_labels_that_do_not_occur_are_named_and_not_counted(self, report):
        assert [each.label for each in report.labels] == ["a", "b", "c", "d"]
        assert report.labels_without_rows == ("never",)

    def test_the_accuracy_has_an_interval(self, report):
        low, high = report.as_dict()["accuracy_interval"]
        assert (low, high) == report.accuracy_interval
        assert low < report.accuracy < high

    def test_the_calibration_error_is_that_of_the_best_label(self, logits, truth, report):
        probabilities = softmax(logits, axis=1)
        right = probabilities.argmax(axis=1) == truth
        expected = expected_calibration_error(probabilities.max(axis=1), right)
        assert report.ece == pytest.approx(expected, abs=1e-6)

    def test_the_document_says_nothing_of_several_labels(self, report):
        document = report.as_dict()
        figures = ["accuracy", "macro_f1", "log_loss", "ece", "rows", "accuracy_interval"]
        assert list(document) == [*figures, "labels_without_rows", "labels"]
        assert list(document["labels"][0]) == ["label", "precision", "recall", "f1", "rows"]
        assert not report.multi_label


@pytest.mark.usefixtures("windows")
class TestSeveralLabels:
    @pytest.fixture
    def truth(self):
        truth = np.random.default_rng(6).random((500, len(NAMES))) < 0.3
        truth[:, -1] = False
        return truth

    @pytest.fixture
    def report(self, logits, truth):
        labels = [tuple(np.array(NAMES)[row].tolist()) for row in truth]
        return evaluate(Recorded(logits, THRESHOLDS), rows_of(labels))

    def test_the_figures_are_scikit_learns(self, logits, truth, report):
        probabilities = expit(logits)
        predicted = probabilities >= np.array(THRESHOLDS)
        assert report.rows == 500
        assert report.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
        f1 = {
            average: metrics.f1_score(truth, predicted, average=average, zero_division=0)
            for average in ("macro", "micro")
        }
        assert (report.macro_f1, report.micro_f1) == pytest.approx((f1["macro"], f1["micro"]))
        every = expected_calibration_error(probabilities.reshape(-1), truth.reshape(-1))
        assert report.ece == pytest.approx(every, abs=1e-6)
        losses = -np.log(np.where(truth, probabilities, 1 - probabilities))
        assert report.log_loss == pytest.approx(losses.mean(), abs=1e-6)
        expected = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
        found = [(each.precision, each.recall, each.f1, each.rows) for each in report.labels]
        np.testing.assert_allclose(np.array(found).T, expected)

    def test_every_label_is_counted_with_its_threshold(self, report):
        assert [(each.label, each.threshold) for each in report.labels] == list(
            zip(NAMES, THRESHOLDS, strict=True)
        )
        assert (report.labels[-1].f1, report.labels[-1].rows) == (0.0, 0)

    def test_the_document_has_the_many_labels_last(self, report):
        document = report.as_dict()
        figures = ["accuracy", "macro_f1", "log_loss", "ece", "rows", "micro_f1"]
        assert list(document) == [*figures, "accuracy_interval", "labels_without_rows", "labels"]
        assert document["labels"][1]["threshold"] == 0.3
        assert report.multi_label

    def test_rows_without_any_label(self, logits):
        report = evaluate(Recorded(logits - 100, THRESHOLDS), rows_of([()] * 70))
        assert (report.accuracy, report.macro_f1, report.micro_f1) == (1.0, 0.0, 0.0)
        assert report.log_loss == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("windows")
def test_each_window_is_passed_on_with_its_logits(logits):
    seen = []
    rows = list(rows_of([("a",)] * 150))
    evaluate(Recorded(logits), rows, on_window=lambda *window: seen.append(window))
    assert [row for window, _ in seen for row in window] == rows
    assert [len(window) for window, _ in seen] == [64, 64, 22]
    np.testing.assert_array_equal(
        np.concatenate([each for _, each in seen]), logits[:150].astype(np.float32)
    )


def test_nothing_of_a_row_is_kept():
    def peak(rows):
        classifier, stream = Recorded(np.zeros((rows, len(NAMES)))), rows_of([("a",)] * rows)
        tracemalloc.start()
        try:
            evaluate(classifier, stream)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(8192 * 6) < 1.2 * peak(8192 * 2)


class TestRejection:
    @pytest.fixture
    def truth(self):
        """The label of each row; 4 stands for rows that have none."""
        return np.random.default_rng(7).integers(0, 5, 500)

    @pytest.fixture
    def report(self, logits, truth, monkeypatch):
        monkeypatch.setattr(evaluation, "_WINDOW", 64)
        classifier = Recorded(logits)
        classifier.reject = RejectSettings(threshold=0.6, label="none", out_of_scope="other")
        labels = [(NAMES[label],) if label < 4 else () for label in truth]
        return evaluate(classifier, rows_of(labels))

    def test_the_figures_are_counted_one_by_one(self, logits, truth, report):
        probabilities = softmax(logits.astype(np.float32), axis=1)
        answered = probabilities.max(axis=1) >= 0.6
        right, inside = probabilities.argmax(axis=1) == truth, truth < 4
        assert report.rows == inside.sum()
        assert report.accuracy == pytest.approx((answered & right)[inside].mean())
        assert report.answered == pytest.approx(answered[inside].mean())
        assert report.accuracy_answered == pytest.approx(right[inside & answered].mean())
        assert report.out_of_scope_rows == (~inside).sum()
        assert report.out_of_scope_recall == pytest.approx((~answered)[~inside].mean())

    def test_a_label_that_rows_out_of_scope_are_given_is_imprecise(self, logits, truth, report):
        probabilities = softmax(logits.astype(np.float32), axis=1)
        given = np.where(probabilities.max(axis=1) >= 0.6, probabilities.argmax(axis=1), -1)
        for index, figures in enumerate(report.labels):
            assert figures.precision == pytest.approx((truth[given == index] == index).mean())
            assert figures.recall == pytest.approx((given[truth == index] == index).mean())

    def test_what_is_said_of_probabilities_is_of_rows_in_scope(self, logits, truth, report):
        probabilities = softmax(logits, axis=1)[truth < 4]
        labels = truth[truth < 4]
        right = probabilities.argmax(axis=1) == labels
        expected = expected_calibration_error(probabilities.max(axis=1), right)
        assert report.ece == pytest.approx(expected, abs=1e-6)
        expected = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
        assert report.log_loss == pytest.approx(expected, rel=1e-6)

    def test_without_a_name_for_such_rows_there_are_none(self, logits, truth):
        classifier = Recorded(logits)
        classifier.reject = RejectSettings(threshold=0.6, label="none")
        document = evaluate(classifier, rows_of([("a",)] * 500)).as_dict()
        assert {"answered", "accuracy_answered"} <= set(document)
        assert not {"out_of_scope_rows", "out_of_scope_recall"} & set(document)


def test_a_folder_is_asked_as_it_will_answer(multi_label_folder):
    import gatewise

    classifier = gatewise.load(multi_label_folder)
    texts = {"blue reddish": ("blue", "red"), "green": (), "grey": (), "red": ("red", "blue")}
    rows = [
        EncodedRow(Row(text, labels, Location("f.csv", 2)), classifier.encode([text])[0])
        for text, labels in texts.items()
    ]
    report = evaluate(classifier, rows)
    assert report.accuracy == 0.75
    assert {each.label: each.f1 for each in report.labels} == pytest.approx(
        {"blue": 2 / 3, "green": 0.0, "red": 1.0}
    )
