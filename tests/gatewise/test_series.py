"""Rows of time series: which numbers they hold, and which are known when."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import gatewise
from gatewise.series import windows
from gatewise.service.model.streaming_classifier import StreamingClassifier
from gatewise.vocab.errors import ArgumentError


@pytest.mark.parametrize("horizon", [1, 7])
def test_a_row_holds_the_last_steps_and_the_number_ahead(horizon):
    rows = windows(np.arange(30.0), 5, horizon).train
    assert rows.sequences.shape == (30 - 5 - horizon + 1, 5)
    np.testing.assert_array_equal(rows.sequences[3], np.arange(3.0, 8))
    np.testing.assert_array_equal(rows.values, rows.sequences[:, -1] + horizon)


def test_the_target_is_a_feature_or_another_series():
    series = np.stack([np.arange(20.0), np.arange(20.0) * 10], axis=1)
    of_feature = windows(series, 4, target=1).train
    assert of_feature.sequences.shape == (16, 4, 2)
    assert of_feature.values[0] == 40
    of_other = windows(pd.DataFrame(series), 4, target=pd.Series(np.arange(20.0) * -1)).train
    assert of_other.values[0] == -4


@pytest.mark.parametrize("horizon", [1, 3, 6])
def test_parts_follow_each_other_and_know_nothing_of_later_ones(horizon):
    split = windows(np.arange(200.0), 10, horizon, validation=0.2, test=0.3)
    parts = [split.train, split.validation, split.test]
    left = 0.3 * (200 - 10 - horizon + 1) - (horizon - 1)
    assert len(split.test.values) == pytest.approx(left, abs=1)
    for earlier, later in pairwise(parts):
        # A number of the earlier part is its time here.
        assert earlier.values.max() == later.sequences[0, -1]
        assert (np.diff(later.values) == 1).all()


def test_several_series_are_windowed_and_split_each_by_itself():
    split = windows([np.arange(20.0), np.arange(100.0, 130)], 5, test=0.5)
    for rows in (split.train, split.test):
        assert (np.diff(rows.sequences, axis=1) == 1).all()
        assert {number < 50 for number in rows.values} == {True, False}
    assert split.validation is None


def test_rows_without_a_number_are_left_out_and_missing_observations_stay():
    series = np.arange(12.0)
    series[6] = np.nan
    rows = windows(series, 3).train
    assert len(rows.values) == 8
    assert np.isnan(rows.sequences).any()
    assert not np.isnan(rows.values).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(5), 5), "expected a series of 6 observations or more.*received 5"),
        ((np.zeros((9, 2)), 3), "a step has 2 numbers; received none"),
        ((np.zeros(9), 0), "steps: expected a whole number from 1, received 0"),
        ((np.zeros(9), 2.5), r"steps: expected a whole number from 1, received 2\.5"),
        ((np.zeros(9), "2"), "steps: expected a whole number from 1, received '2'"),
        ((np.zeros(9), 2, -1), "horizon: expected a whole number from 1, received -1"),
        ((np.zeros(9), 2, None), "horizon: expected a whole number from 1, received None"),
        ((np.float64([1, 2, np.inf, 4]), 1), "values: expected finite numbers.*at step 2"),
        (([np.zeros(9), np.zeros(3)], 5), r"values\[1\]: expected a series of 6.*received 3"),
        (([np.zeros(9), np.zeros((9, 2))], 2), r"series of as many features each.*\(9, 2\)"),
        ((None, 2), "values: expected a series.*an array of 0 dimensions"),
        ((np.zeros(9), True), "steps: expected a whole number from 1, received True"),
        (([10**400] * 9, 2), "values: expected numbers of one shape: int too large"),
        ((np.zeros(9) + 1j, 2), "values: expected numbers of one shape: received complex128"),
        ((pd.date_range("2020", periods=9), 2), "numbers of one shape: received datetime64"),
        (([], 2), "values: expected a series of 3 observations or more.*received 0"),
        ((np.zeros((2, 2, 2)), 1), "an array of 3 dimensions"),
        ((["a", "b", "c"], 1), "values: expected numbers of one shape: could not convert"),
        (([[[1, 2], [3]]], 1), r"values\[0\]: expected numbers of one shape: setting an array"),
    ],
)
def test_what_cannot_be_windowed_is_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        windows(*arguments)


def test_arguments_that_do_not_fit_are_refused():
    series = np.zeros((9, 2))
    for options, message in (
        ({"target": 2}, "number of a feature, received 2"),
        ({"target": np.zeros(8)}, "expected a series of 9 numbers"),
        ({"target": "price"}, "target: expected numbers of one shape"),
        ({"target": np.int64(2)}, "number of a feature, received 2"),
        ({"target": [0, 1]}, "expected a series of 9 numbers"),
        ({"target": 0, "validation": 0.6, "test": 0.5}, "leave rows for training"),
        ({"target": 0, "validation": "0.2"}, "validation: expected a share.*received '0.2'"),
        ({"target": 0, "test": None}, "test: expected a share.*received None"),
        ({"target": 0, "test": -0.2}, "leave rows for training"),
        ({"target": 0, "test": float("nan")}, "leave rows for training"),
        ({"target": 0, "validation": 0.001}, "too few rows, 6"),
    ):
        with pytest.raises(ArgumentError, match=message):
            windows(series, 3, **options)


def test_masked_observations_are_missing_and_a_column_of_one_number_is_a_series():
    masked = np.ma.masked_array(np.arange(9.0), np.arange(9) == 4)
    rows = windows(masked.reshape(-1, 1), 2).train
    assert rows.sequences.shape == (6, 2, 1)
    assert rows.values.tolist() == [2, 3, 5, 6, 7, 8]
    assert np.isnan(rows.sequences).sum() == 2


def test_several_series_have_a_target_each():
    several = [np.zeros((9, 2)), np.zeros((8, 2))]
    for target, message in (
        (0.5, "expected a list of one for each of 2 series, received a value of type float"),
        ("price", "expected a list of one for each of 2 series, received a value of type str"),
        ([np.zeros(9)], "expected a list of one for each of 2 series, received 1"),
        ([np.zeros(9), np.zeros(9)], "expected a series of 8 numbers"),
    ):
        with pytest.raises(ArgumentError, match=f"target: {message}"):
            windows(several, 3, target=target)
    assert len(windows(several, 3, target=[np.ones(9), np.ones(8)]).train.values) == 11


def test_a_network_learns_the_next_observation_and_streams_it(tmp_path):
    time = np.arange(400)
    series = 50 + 10 * np.sin(time / 5) + np.random.default_rng(1).normal(0, 0.3, 400)
    rows = windows(series, 20, validation=0.2, test=0.2)
    model = gatewise.train(
        *rows.train,
        out=tmp_path / "model",
        validation=rows.validation,
        test=rows.test,
        network={"cell": "gru", "direction": "forward", "readout": "last", "dropout": 0.0},
        units=8,
        epochs=30,
        learning_rate=0.02,
    )
    assert model.trained.run.test.rmse < 0.2 * model.trained.run.baselines.mean.rmse
    stream = StreamingClassifier.load(tmp_path / "model").stream()
    latest = series[-20:].copy()
    latest[3] = np.nan
    for step, observation in enumerate(latest):
        (found,) = stream.feed(observation)
        (expected,) = model.predict([latest[: step + 1]])
        assert found.scores[0] == pytest.approx(expected, abs=1e-5 * series.std())
    assert found.scores[0] == pytest.approx(50 + 10 * np.sin(80), abs=2)
