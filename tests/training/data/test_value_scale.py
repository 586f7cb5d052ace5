import numpy as np
import pytest

from gatewise.training.data.value_scale import ValueScale, values_of
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.errors import CorpusError


def rows(*values):
    return [
        Row("text", ("value",), Location("a.csv", 2), values=None if value is None else (value,))
        for value in values
    ]


def test_training_rows_have_mean_zero_and_deviation_one():
    given = rows(2.0, 4.0, 9.0)
    scale = ValueScale.of(given)
    assert scale.mean.tolist() == [5]
    assert scale.deviation == pytest.approx(np.std([2, 4, 9]))
    found = scale.standardized(given)
    assert found.shape == (3, 1)
    assert found.mean() == pytest.approx(0, abs=1e-7)
    assert found.std() == pytest.approx(1)


def test_large_numbers_that_differ_little_keep_their_differences():
    given = rows(1e9, 1e9 + 1e5, 1e9 + 2e5)
    found = ValueScale.of(given).standardized(given)
    np.testing.assert_allclose(found[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)


@pytest.mark.parametrize("numbers", [(1e9, 1e9 + 1, 1e9 + 2), (1e-40, 2e-40)])
def test_numbers_that_a_model_cannot_tell_apart_are_refused(numbers):
    with pytest.raises(CorpusError, match="numbers that 32-bit floats can tell apart"):
        ValueScale.of(rows(*numbers))


def test_equal_numbers_are_refused():
    with pytest.raises(CorpusError, match=r"received 0\.1 in every row"):
        ValueScale.of(rows(0.1, 0.1, 0.1))


def test_rows_of_another_task_have_no_numbers():
    with pytest.raises(ValueError, match="another task"):
        values_of(rows(1.0, None))


def test_each_of_several_numbers_has_a_scale_of_its_own():
    pairs = [(1.0, 1e9), (2.0, 1.2e9), (6.0, 0.8e9)]
    given = [Row("text", ("age", "price"), Location("a.csv", 2), values=pair) for pair in pairs]
    scale = ValueScale.of(given)
    for place in range(2):
        alone = rows(*(pair[place] for pair in pairs))
        expected = ValueScale.of(alone)
        assert (scale.mean[place], scale.deviation[place]) == (expected.mean, expected.deviation)
        found = scale.standardized(given)[:, place]
        assert found.tolist() == expected.standardized(alone)[:, 0].tolist()
    assert (scale.rmse_unit, expected.rmse_unit) == (1, expected.deviation)
    same = [Row("text", row.labels, row.location, values=(row.values[0], 7.0)) for row in given]
    with pytest.raises(CorpusError, match=r"training rows: price: .* received 7 in every row"):
        ValueScale.of(same)
