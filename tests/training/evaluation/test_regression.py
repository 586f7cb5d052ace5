import numpy as np
import pytest

from gatewise.service.model.model_documents import IntervalSettings
from gatewise.training.evaluation.intervals import quantile
from gatewise.training.evaluation.regression import RegressionReport, ResidualAnalyzer
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.tokenizer.coverage import CoverageCounter
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.encoding import Encoded


def test_metrics_of_a_few_rows_by_hand():
    truth, found = np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 4.0, 3.0, 5.0])
    interval = IntervalSettings(confidence=0.9, half_width=1.0)
    report = RegressionReport.of(truth, found, interval)
    assert report.rmse == pytest.approx(np.sqrt(5 / 4))
    assert report.mae == 3 / 4
    assert report.r2 == pytest.approx(1 - 5 / 14)
    assert report.spearman == pytest.approx(0.8)  # the ranks of two neighbours are exchanged
    assert report.coverage == 3 / 4
    assert (report.rows, report.confidence) == (4, 0.9)


def test_metrics_that_constant_numbers_do_not_have_are_left_out():
    report = RegressionReport.of(np.array([2.0, 2.0]), np.array([1.0, 3.0]))
    assert report.as_dict() == {"rmse": 1.0, "mae": 1.0, "rows": 2}


def test_intervals_cover_as_many_new_rows_as_they_promise():
    # Of 19 errors the 18th largest is that of 90 %; the promise holds for any distribution.
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(2000):
        errors = np.abs(generator.standard_cauchy(20))
        covered.append(errors[-1] <= quantile(errors[:-1], 0.9))
    assert np.mean(covered) == pytest.approx(18 / 20, abs=0.02)


def test_the_largest_errors_are_kept_in_order():
    analyzer = ResidualAnalyzer(CoverageCounter())
    ids = np.array([2, 5])
    for first in (0, 40):
        numbers = np.arange(first, first + 40, dtype=np.float64)
        rows = [
            EncodedRow(
                Row(f"text {number:.0f}", ("value",), Location("a.csv", 2), value=number),
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
    assert found.points[3] == (3, 1.5)
