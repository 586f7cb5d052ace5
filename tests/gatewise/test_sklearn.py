"""`gatewise.sklearn.TextClassifier`: an estimator among scikit-learn's."""

import gc
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from gatewise.sklearn import TextClassifier, TextRegressor
from gatewise.training.config.config import Config
from gatewise.vocab.errors import GatewiseError

FAST = {"units": 4, "embedding_size": 4, "buckets": 100, "spelling": (), "epochs": 1}


@pytest.fixture(scope="module")
def rows(reviews):
    """Texts with labels that sort otherwise as numbers than as strings."""
    texts, labels = reviews
    return np.array(texts, dtype=object), np.where(np.array(labels) == "good", 10, 2)


@pytest.fixture(scope="module")
def classifier():
    return TextClassifier(refit=False, **FAST)


@pytest.fixture(scope="module")
def fitted(classifier, rows):
    return clone(classifier).fit(*rows)


def test_its_parameters_are_the_settings(classifier):
    parameters = TextClassifier().get_params()
    assert parameters["units"] == "auto"  # what `size` says
    assert parameters["ngrams"] == Config().network.ngrams
    assert {"verbose", "epochs", "seed", "max_length", "out_of_scope"} <= parameters.keys()
    assert not {"text_column", "task", "delimiter"} & parameters.keys()
    nested = TextClassifier(network={"units": 4}, **{"training.epochs": 3})
    assert (nested.units, nested.epochs) == (4, 3)
    assert nested.set_params(network={"units": 5}, epochs=4).get_params()["units"] == 5
    assert clone(nested).get_params() == nested.get_params()
    assert repr(nested) == "TextClassifier(epochs=4, units=5)"
    assert is_classifier(nested)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unit_count": 3}, "unknown setting 'unit_count'"),
        ({"text_column": "body"}, "corpus.text_column is no setting of an estimator"),
        ({"units": 3, "network": {"units": 4}}, "network.units occurs twice"),
    ],
)
def test_an_unknown_parameter_is_refused(settings, message):
    with pytest.raises(GatewiseError, match=message) as caught:
        TextClassifier(**settings)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ValueError, match=message):
        TextClassifier().set_params(**settings)


def test_integers_stay_integers_in_the_order_of_their_columns(fitted, rows):
    texts, labels = rows
    assert fitted.classes_.tolist() == [2, 10]
    assert fitted.classes_.dtype.kind == "i"
    assert fitted.model_.classes_ == ["10", "2"]
    predicted, probabilities = fitted.predict(texts), fitted.predict_proba(texts)
    assert predicted.dtype == fitted.classes_.dtype
    assert fitted.score(texts, labels) > 0.9
    np.testing.assert_array_equal(fitted.classes_[probabilities.argmax(axis=1)], predicted)
    np.testing.assert_array_equal(np.where(fitted.decision_function(texts) > 0, 10, 2), predicted)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    frame = pd.DataFrame({"body": texts})
    for column in (list(texts), frame, frame["body"], texts[:, None]):
        np.testing.assert_array_equal(fitted.predict_proba(column), probabilities)


def test_it_is_pickled_with_its_model(fitted, rows, tmp_path):
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    assert "in memory" in str(fitted.model_._source.path)
    for other in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "fitted.joblib")):
        assert other.get_params() == fitted.get_params()
        np.testing.assert_array_equal(other.predict_proba(rows[0]), fitted.predict_proba(rows[0]))
    fitted.model_.save(tmp_path / "model")
    assert (tmp_path / "model" / "onnx" / "model.onnx").is_file()


def test_it_has_a_report_in_the_process_that_fitted_it(fitted):
    page = fitted.model_.report().html
    assert "Text classifier with 2 labels" in page
    assert "Exported models" not in page
    with pytest.raises(GatewiseError, match=r"report\.html.* is made in the process that fits it"):
        pickle.loads(pickle.dumps(fitted)).model_.report()


def test_a_pipeline_is_searched_and_cross_validated(classifier, rows):
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    search = GridSearchCV(
        make_pipeline(lower, classifier),
        {"textclassifier__epochs": [1, 2]},
        cv=2,
        error_score="raise",
    )
    search.fit(*rows)
    assert search.best_params_["textclassifier__epochs"] in (1, 2)
    assert search.score(*rows) > 0.9
    assert cross_val_score(classifier, *rows, cv=2, error_score="raise").shape == (2,)


def test_its_predictions_are_features_calibrated_and_voted_on(classifier, rows):
    texts, labels = rows
    frame = pd.DataFrame({"title": texts, "stars": np.arange(len(texts)) % 5})
    probabilities = cross_val_predict(classifier, texts, labels, cv=2, method="predict_proba")
    assert probabilities.shape == (len(texts), 2)
    calibrated = CalibratedClassifierCV(classifier, cv=2).fit(texts, labels)
    assert calibrated.score(texts, labels) > 0.8
    linear = make_pipeline(TfidfVectorizer(), LogisticRegression())
    voting = VotingClassifier([("gatewise", classifier), ("linear", linear)], voting="soft")
    assert voting.fit(texts, labels).score(texts, labels) > 0.8
    # One column of a frame is a column of texts.
    columns = ColumnTransformer([("text", "passthrough", ["title"])])
    assert make_pipeline(columns, classifier).fit(frame, labels).score(frame, labels) > 0.8


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_fit_leaves_no_graph_behind(classifier, rows, cell):
    import tensorflow as tf

    def graphs_after_a_fit():
        clone(classifier).set_params(cell=cell).fit(*rows)
        gc.collect()
        return sum(issubclass(type(each), tf.Graph) for each in gc.get_objects())

    # The first fit traces what all share.
    graphs_after_a_fit()
    assert graphs_after_a_fit() == graphs_after_a_fit()


def test_an_indicator_matrix_gives_several_labels(classifier, rows):
    texts, labels = rows
    matrix = np.stack([labels == 10, labels == 2, np.arange(len(labels)) % 2 == 0], axis=1)
    frame = pd.DataFrame(matrix.astype(int), columns=["good", "bad", "odd"])
    # The columns of a frame are those of their names, wherever they stand.
    turned = frame[["odd", "bad", "good"]]
    fitted = clone(classifier).fit(texts, frame, X_validation=texts, y_validation=turned)
    assert fitted.model_.metrics["validation"]["micro_f1"] == 1
    assert fitted.classes_.tolist() == [0, 1, 2]
    predicted, scores = fitted.predict(texts), fitted.decision_function(texts)
    assert predicted.shape == scores.shape == fitted.predict_proba(texts).shape == matrix.shape
    assert set(np.unique(predicted)) <= {0, 1}
    assert ((scores >= 0) == predicted).mean() > 0.99
    assert (predicted[:, 0] == matrix[:, 0]).mean() > 0.9
    assert fitted.model_.metrics["baselines"] is None


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["a", "b"], [1, "b"], "y: expected labels of one type"),
        (["a", "b"], [1, None], "y: position 1: the label is missing"),
        (["a", "b"], [1.0, float("nan")], "y: position 1: the label is missing"),
        (["a", "b"], [0.5, 1.5], "y: Unknown label type: continuous"),
        (["a", "b"], [["x"], ["y", "z"]], "received lists: MultiLabelBinarizer makes"),
        (["a", "b"], None, "requires y to be passed, but the target y is None"),
        (["a", "b"], [1, 1], "expected at least two different labels"),
        (["a", "b"], [1, 2, 3], "received 2 texts and 3 of labels"),
        ([], [], "expected one text at least, received none"),
        (["a", None], [1, 2], "position 1: the text is missing"),
        (["a", 3], [1, 2], "position 1: expected the text to be a string"),
        (np.zeros((2, 2)), [1, 2], "X: expected one column of texts, received 2 columns"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), [1], "X: expected one column of texts"),
        (["a", "b"], np.array([[1, 0], [1, 0]]), "expected a row of each label"),
        (["a", "b"], np.array([[1, np.nan], [0, 1]]), "y: expected zeros and ones .* NaN"),
        (["a", "b"], [b"x", b"y"], "y: position 0: expected the label to be a string, an integer"),
        (["a", "b"], [{"x": 1}, {"y": 1}], "y: position 0: expected the label to be a string"),
        ([b"a", b"b"], [1, 2], "position 0: expected the text to be a string"),
    ],
)
def test_what_cannot_be_fitted_is_refused(classifier, texts, labels, message):
    with pytest.raises(GatewiseError, match=message) as caught:
        clone(classifier).fit(texts, labels)
    assert isinstance(caught.value, ValueError)


def test_validation_rows_without_labels_are_refused(classifier, rows):
    other = pd.DataFrame([[0, 1]], columns=["a", "c"])
    for expected, given in (
        ("y_validation: expected columns called a, b, received a, c", other),
        (
            "y_validation: expected columns .* received two called 'a'",
            other.set_axis(["a", "a"], axis=1),
        ),
    ):
        with pytest.raises(GatewiseError, match=expected):
            clone(classifier).fit(
                ["a", "b"], pd.DataFrame({"a": [0, 1], "b": [1, 0]}), None, ["c"], given
            )
    with pytest.raises(GatewiseError, match="X_validation and y_validation: expected both"):
        clone(classifier).fit(*rows, X_validation=["a"])


@pytest.mark.parametrize("labels", [5, "abc", {1, 2}])
def test_labels_that_are_no_sequence_are_refused(classifier, labels):
    with pytest.raises(GatewiseError) as caught:
        clone(classifier).fit(["a", "b"], labels)
    assert str(caught.value) == (
        f"y: expected a label for each text, received a value of type {type(labels).__name__}"
    )


@pytest.mark.parametrize("setting", [{"out_of_scope": "10"}, {"target_precision": 0.9}])
def test_labels_are_strings_where_texts_may_be_rejected(classifier, rows, monkeypatch, setting):
    monkeypatch.setattr("gatewise.train_model.train", None)  # refused before any training
    with pytest.raises(GatewiseError, match="y: expected labels that are strings where texts may"):
        clone(classifier).set_params(**setting).fit(*rows)


def test_rows_out_of_scope_are_no_class(reviews, capsys):
    texts, labels = reviews
    labels = ["oos" if "song" in text else label for text, label in zip(texts, labels, strict=True)]
    rejecting = TextClassifier(refit=False, out_of_scope="oos", verbose=True, **FAST)
    fitted = rejecting.fit(texts, labels)
    assert fitted.classes_.tolist() == ["bad", "good"]
    assert fitted.predict_proba(texts).shape == (len(texts), 2)
    assert set(fitted.predict(texts)) <= {"bad", "good", fitted.model_.reject.label}
    # Progress is shown without a terminal too.
    assert "epoch" in capsys.readouterr().err.lower()


def network_of(fitted):
    return fitted.model_.contents()["onnx/model.onnx"]


def test_equal_weights_are_none(classifier, fitted, rows):
    weights = np.full(len(rows[0]), 0.1)
    found = clone(classifier).fit(*rows, sample_weight=weights)
    assert found.model_.contents() == fitted.model_.contents()


def test_only_the_proportions_of_weights_count(classifier, rows):
    weights = np.tile([1.0, 2.0], len(rows[0]) // 2)
    as_given, tiny = (
        clone(classifier).fit(*rows, sample_weight=weights * scale) for scale in (1, 2.0**-200)
    )
    assert network_of(tiny) == network_of(as_given)


def test_a_row_without_weight_is_left_out(classifier, fitted, rows):
    texts, labels = rows
    others = ["a third word", None, ""]
    weights = [*np.ones(len(texts)), 0, 0, 0]
    found = clone(classifier).fit([*texts, *others], [*labels, 7, 2, 10], sample_weight=weights)
    assert found.classes_.tolist() == [2, 10]
    assert network_of(found) == network_of(fitted)


@pytest.mark.parametrize("path", ["solved", "descended"])
def test_the_heavier_of_two_labels_is_learnt(classifier, rows, path):
    texts, labels = np.repeat(rows[0], 2), np.tile([2, 10], len(rows[0]))
    # Of each text both labels are there; the right one weighs more.
    weights = np.where(labels == np.repeat(rows[1], 2), 5.0, 1.0)
    estimator = clone(classifier).set_params(linear_path=path, epochs=4, check="ignore")
    found = estimator.fit(texts, labels, pd.Series(weights), *rows)
    assert found.score(*rows) > 0.9
    assert found.model_.metrics["config"]["corpus"]["weight_column"] == "sample_weight"


def test_weights_count_with_several_labels_and_with_numbers(classifier, rows):
    texts, weights = np.repeat(rows[0], 2), np.tile([1.0, 9.0], len(rows[0]))
    is_right = weights > 1
    of_texts = np.repeat(rows[1] == 10, 2)
    truth = np.stack([of_texts == is_right, ~is_right], axis=1).astype(int)
    several = clone(classifier).set_params(epochs=4, check="ignore")
    several.fit(texts, truth, weights, texts[is_right], truth[is_right])
    assert (several.predict_proba(rows[0])[:, 0] > 0.5)[rows[1] == 10].mean() > 0.9
    # The two numbers of a text add up to 0.
    numbers = np.where(is_right == of_texts, 1.5, -1.5)
    regressor = TextRegressor(refit=False, check="ignore", **(FAST | {"epochs": 4}))
    regressor.fit(texts, numbers, weights, texts[is_right], numbers[is_right])
    assert ((regressor.predict(rows[0]) > 0) == (rows[1] == 10)).mean() > 0.9


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "sample_weight: expected a weight for each of 2 texts, received 1"),
        ([1, -1], "position 1: column 'sample_weight': expected a weight, .* received -1"),
        ([1, None], "position 1: column 'sample_weight': expected a weight, .* received null"),
        ([1, np.inf], "position 1: column 'sample_weight': expected a weight, .* received inf"),
        (np.ones((2, 2)), "position 0: column 'sample_weight': expected a weight, .* a list"),
        ([0, 0], "sample_weight: expected a weight above zero for some of the texts"),
        (2.0, "sample_weight: expected a column of values"),
    ],
)
def test_weights_that_are_none_are_refused(classifier, weights, message):
    with pytest.raises(GatewiseError, match=message) as caught:
        clone(classifier).fit(["a", "b"], [1, 2], sample_weight=weights)
    assert isinstance(caught.value, ValueError)


def test_texts_to_predict_are_checked(classifier, fitted):
    with pytest.raises(NotFittedError):
        clone(classifier).predict(["a"])
    with pytest.raises(ValueError, match="text 1, counted from 0: expected a string"):
        fitted.predict(["a", None])
    with pytest.raises(ValueError, match="text 1 is empty"):
        fitted.predict(["fine", " "])
