"""The estimators for sequences of numbers among scikit-learn's."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from gatewise.sklearn import SequenceClassifier, SequenceRegressor
from gatewise.vocab.errors import GatewiseError

FAST = {"units": 4, "readout": "last", "dropout": 0.0, "epochs": 6, "refit": False}


@pytest.fixture(scope="module")
def rows(gestures):
    """Sequences of several lengths, and a number for each label."""
    sequences, labels = gestures(90, 1)
    return sequences, np.array([{"fall": 3, "rise": 1, "stay": 2}[label] for label in labels])


@pytest.fixture(scope="module")
def classifier():
    return SequenceClassifier(learning_rate=0.05, batch_size=16, **FAST)


@pytest.fixture(scope="module")
def fitted(classifier, rows):
    return clone(classifier).fit(*rows)


def test_labels_are_learnt_from_sequences_of_several_lengths(fitted, rows):
    sequences, labels = rows
    assert fitted.classes_.tolist() == [1, 2, 3]
    assert fitted.score(sequences, labels) > 0.8
    probabilities = fitted.predict_proba(sequences)
    np.testing.assert_array_equal(
        probabilities.argmax(axis=1), fitted.decision_function(sequences).argmax(axis=1)
    )
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(sequences), probabilities)
    lists = [numbers.tolist() for numbers in sequences]
    objects = np.empty(len(lists), dtype=object)
    objects[:] = sequences
    frame = pd.DataFrame({"acceleration": lists})
    for given in (lists, tuple(sequences), objects, frame, frame["acceleration"]):
        np.testing.assert_array_equal(fitted.predict_proba(given), probabilities)


def test_it_is_searched_and_cross_validated_in_a_pipeline(classifier, rows):
    sequences, labels = rows
    cut = FunctionTransformer(lambda each: [numbers[:10] for numbers in each])
    search = GridSearchCV(
        make_pipeline(cut, classifier),
        {"sequenceclassifier__units": [3, 4]},
        cv=2,
        error_score="raise",
    ).fit(sequences, labels)
    assert search.best_params_["sequenceclassifier__units"] in (3, 4)
    array = np.stack([numbers[:10] for numbers in sequences])
    assert search.score(sequences, labels) == search.best_estimator_[-1].score(array, labels)
    assert cross_val_score(classifier, array, labels, cv=2, error_score="raise").shape == (2,)


def test_rows_of_a_matrix_are_sequences_of_single_numbers():
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(200, 6)).cumsum(axis=1)
    numbers = matrix[:, -1] + matrix[:, -2]
    regressor = SequenceRegressor(learning_rate=0.05, batch_size=16, **FAST).fit(
        matrix[:150], numbers[:150], X_validation=matrix[150:], y_validation=numbers[150:]
    )
    assert regressor.score(matrix[150:], numbers[150:]) > 0.5
    found = regressor.predict(matrix)
    assert found.shape == (200,)
    frame = pd.DataFrame(matrix, columns=list("abcdef"))
    for given in (frame, matrix[:, :, None], matrix.tolist()):
        np.testing.assert_array_equal(regressor.predict(given), found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a text", "another"], "X: expected a sequence of numbers for each row, .* of type str"),
        ([1.0, 2.0], "X: expected a sequence of numbers for each row, .* of type float"),
        (pd.DataFrame({"a": [1.0, 2.0]}), "X: expected a sequence of numbers for each row"),
        (pd.DataFrame([[1, 2]] * 2, columns=["a", "a"]), "X: .*different names, .* two called 'a'"),
        ([[[1, 2]], [[1]]], "position 1: .*expected vectors of 2 numbers, received numbers"),
        ([[1, 2], None], "position 1: the sequence is missing"),
        ([[1, 2], [1, float("inf")]], "position 1: .*expected a finite number"),
        ([], "expected one .* at least, received none"),
    ],
)
def test_what_cannot_be_fitted_is_refused(classifier, given, message):
    with pytest.raises(GatewiseError, match=message) as caught:
        clone(classifier).fit(given, [1, 2][: len(given)])
    assert isinstance(caught.value, ValueError)


def test_sequences_to_predict_are_checked_by_their_position(fitted, rows):
    for given, message in (
        ([rows[0][0], None], "sequence 1, counted from 0: expected a list of numbers"),
        ([rows[0][0], [1, 2]], "sequence 1, counted from 0: expected vectors of 2 numbers"),
        (["a text"], "X: expected a sequence of numbers for each row"),
    ):
        for method in (fitted.predict, fitted.predict_proba, fitted.decision_function):
            with pytest.raises(ValueError, match=message):
                method(given)


def test_settings_of_words_are_refused(classifier, rows):
    with pytest.raises(ValueError, match=r"tokens\.unit: .*received one of sequences"):
        clone(classifier).set_params(unit="word").fit(*rows)
