import numpy as np
import pytest

from gatewise.service.model.model_documents import IntervalSettings
from gatewise.training.evaluation.conformal_interval import quantile
from gatewise.training.evaluation.regression import RegressionReport, ResidualAnalyzer
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.tokenizer.coverage import CoverageCounter
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.encoding import Encoded


def test_metrics_of_a_few_rows_by_hand():
    truth, found = np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 4.0, 3.0, 5.0])
    interval = IntervalSettings(confidence=0.9, half_width=1.0)
    report = RegressionReport.of(["value"], truth[:, None], found[:, None], interval)
    assert report.rmse == pytest.approx(np.sqrt(5 / 4))
    assert report.mae == 3 / 4
    assert report.r2 == pytest.approx(1 - 5 / 14)
    assert report.spearman == pytest.approx(0.8)  # the ranks of two neighbours are exchanged
    assert report.coverage == 3 / 4
    assert (report.rows, report.confidence) == (4, 0.9)


def test_metrics_that_constant_numbers_do_not_have_are_left_out():
    truth, found = np.array([[2.0], [2.0]]), np.array([[1.0], [3.0]])
    report = RegressionReport.of(["value"], truth, found)
    assert report.as_dict() == {"rmse": 1.0, "mae": 1.0, "rows": 2}


def test_several_numbers_have_metrics_of_their_own_and_together_in_deviations():
    generator = np.random.default_rng(1)
    truth = generator.normal(size=(50, 2)) * [1, 1e6]
    found = truth + generator.normal(size=(50, 2)) * [0.5, 1e5]
    interval = IntervalSettings.of(0.9, (0.5, 1e4))
    report = RegressionReport.of(["age", "price"], truth, found, interval)
    for place, (name, half_width) in enumerate([("age", 0.5), ("price", 1e4)]):
        column = slice(place, place + 1)
        alone = IntervalSettings.of(0.9, (half_width,))
        one = RegressionReport.of([name], truth[:, column], found[:, column], alone)
        assert report.targets[name] == one
    scaled = (found - truth) / truth.std(axis=0)
    assert report.rmse == report.cost == pytest.approx(np.sqrt(np.square(scaled).mean()))
    assert report.mae == pytest.approx(np.abs(scaled).mean())
    for name in ("r2", "spearman", "coverage"):
        means = [getattr(each, name) for each in report.targets.values()]
        assert getattr(report, name) == pytest.approx(sum(means) / 2)
    document = report.as_dict()
    assert document["targets"]["price"] == report.targets["price"].as_dict()
    assert "targets" not in document["targets"]["price"]


def test_intervals_cover_as_many_new_rows_as_they_promise():
    # Of 19 errors the 18th largest is that of 90 %; the promise holds for any distribution.
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(2000):
        errors = np.abs(generator.standard_cauchy(20))
        covered.append(errors[-1] <= quantile(errors[:-1], 0.9))
    assert np.mean(covered) == pytest.approx(18 / 20, abs=0.02)


def test_the_largest_errors_are_kept_in_order():
    analyzer = ResidualAnalyzer(["value"], np.array([20.0]), CoverageCounter())
    ids = np.array([2, 5])
    for first in (0, 40):
        numbers = np.arange(first, first + 40, dtype=np.float64)
        rows = [
            EncodedRow(
                Row(f"text {number:.0f}", ("value",), Location("a.csv", 2), values=(number,)),
                Encoded(ids, False),
            )
            for number in numbers.tolist()
        ]
        analyzer.add(rows, (numbers[:, None] / 2).astype(np.float32))
    found = analyzer.result()
    assert found.rows == 80
    assert [miss.text for miss in found.misses[:2]] == ["text 79", "text 78"]
    assert len(found.misses) == 50
    assert (found.misses[0].value, found.misses[0].predicted) == (79, 39.5)
    assert found.points["value"][3] == (3, 1.5)
    assert found.as_dict()["points"] == found.points["value"]
    assert "target" not in found.as_dict()["misses"][0]


def test_the_largest_error_of_several_numbers_is_that_of_most_deviations():
    analyzer = ResidualAnalyzer(["age", "price"], np.array([1.0, 1e6]), CoverageCounter())
    location, encoded = Location("a.csv", 2), Encoded(np.array([2, 5]), False)
    rows = [
        EncodedRow(Row(text, ("age", "price"), location, values=values), encoded)
        for text, values in (("old", (30.0, 2e6)), ("dear", (10.0, 9e6)))
    ]
    analyzer.add(rows, np.array([[28.5, 2e6], [10.0, 7e6]], dtype=np.float32))
    found = analyzer.result()
    assert [(miss.text, miss.target, miss.value, miss.predicted) for miss in found.misses] == [
        ("dear", "price", 9e6, 7e6),
        ("old", "age", 30, 28.5),
    ]
    assert found.points == {"age": ((30, 28.5), (10, 10)), "price": ((2e6, 2e6), (9e6, 7e6))}
    assert found.as_dict()["points"] == found.points
