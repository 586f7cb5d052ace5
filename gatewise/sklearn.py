"""Estimators of scikit-learn, for texts in one column and for sequences of numbers."""

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from gatewise.model import Model
from gatewise.service.model.scores import reached
from gatewise.sources import is_sequence, label_values, names_of_columns, table_columns, text_values
from gatewise.training.config.config import Config, placed, sections_of
from gatewise.training.config.network_section import SIZED
from gatewise.vocab.corpus.data_frames import column_names, column_values, is_missing, is_table
from gatewise.vocab.errors import (
    ArgumentError,
    CorpusError,
    GatewiseError,
    SequenceError,
    TextsError,
    first_line,
)

# How a file is read, and what `y` says by itself.
_NOT_PARAMETERS = {
    *("text_column", "label_column", "weight_column", "delimiter", "quoting", "encoding", "sheet"),
    *("probability_prefix", "task"),
}
# The settings with which a text may get no label.
_REJECTING = ("target_precision", "out_of_scope")
# TensorFlow's seeds and its session belong to the process.
_ONE_FIT = threading.Lock()


def _settings() -> Iterator[tuple[str, str, object]]:
    """The parameter, the full name and the default of each setting."""
    for section, field in Config.model_fields.items():
        defaults = field.get_default().model_dump(mode="json")
        for name, default in defaults.items():
            if name not in _NOT_PARAMETERS:
                # A number would be a setting of its own, beside which `size` has no effect.
                default = "auto" if name in SIZED else default  # noqa: PLW2901
                # A default that is shared must not be mutable.
                default = tuple(default) if isinstance(default, list) else default  # noqa: PLW2901
                parameter = name if len(sections_of(name)) == 1 else f"{section}_{name}"
                yield parameter, f"{section}.{name}", default


_FULL_NAMES = {parameter: name for parameter, name, _ in _settings()}
_PARAMETERS = {name: parameter for parameter, name in _FULL_NAMES.items()}
_DEFAULTS = {parameter: default for parameter, _, default in _settings()}


class _Estimator(BaseEstimator):  # type: ignore[misc]  # of no types
    """The parameters of every estimator, and the training run with them."""

    def __init__(self, *, verbose: bool = False, **settings: object) -> None:
        self.verbose = verbose
        for name, value in (_DEFAULTS | _by_parameter(settings)).items():
            setattr(self, name, value)

    def set_params(self, **params: object) -> Self:
        """Sets parameters by name, as the constructor takes them.

        Raises:
            ConfigError: If a name is unknown.
        """
        verbose = {name: params.pop(name) for name in ("verbose",) if name in params}
        super().set_params(**verbose, **_by_parameter(params))
        return self

    def _inputs(self, X: Any) -> list[object]:  # noqa: N803 — scikit-learn's name
        """What `X` holds, in a list; the run, or the model, checks each."""
        raise NotImplementedError

    def _train(
        self,
        texts: list[object],
        targets: Any,
        validation: tuple[list[object], Any] | None,
        sample_weight: object,
        **settings: object,
    ) -> Model:
        # TensorFlow and what else trains take seconds to import.
        from gatewise.train_model import train  # noqa: PLC0415

        if hasattr(sample_weight, "__array__"):
            sample_weight = np.asarray(sample_weight)
        settings |= {full: getattr(self, name) for name, full in _FULL_NAMES.items()}
        with _ONE_FIT:
            progress = bool(self.verbose)
            return train(
                texts,
                targets,
                settings=settings,
                sample_weight=sample_weight,
                validation=validation,
                progress=progress,
                with_report=False,
            ).without_folder()


class _Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]  # of no types
    """A classifier of what `_inputs` reads."""

    def fit(
        self,
        X: Any,  # noqa: N803 — scikit-learn's name
        y: Any,
        sample_weight: object = None,
        X_validation: Any = None,  # noqa: N803 — likewise
        y_validation: Any = None,
    ) -> Self:
        """Trains a model.

        Args:
            X: The texts or sequences, as the class describes them.
            y: The labels, or an indicator matrix `(rows, labels)`.
            sample_weight: The weight of each row, by which its loss is multiplied: 0 leaves it
                out, and only the ratios of weights matter.
            X_validation: Rows that choose the best epoch; None holds a share of the rows out.
            y_validation: Their labels; the columns of a data frame are those of their names in `y`.

        Raises:
            GatewiseError: If the rows or the parameters cannot be used; a `ValueError` too.
        """
        inputs, (labels, names, classes) = self._inputs(X), _targets(y)
        validation = None
        if _has_validation(X_validation, y_validation):
            of_validation, _, others = _targets(y_validation, names_of_columns(y))
            _check_columns(labels, others, classes)
            validation = (self._inputs(X_validation), of_validation)
        rejects = any(getattr(self, name) is not None for name in _REJECTING)
        if rejects and classes.dtype.kind not in "OU":
            raise CorpusError("y: expected labels that are strings where texts may be rejected")
        model = self._train(inputs, labels, validation, sample_weight)
        # The label of rows out of scope is no class of the model.
        kept = [place for place, name in enumerate(names) if name in model.classes_]
        order = [model.classes_.index(names[place]) for place in kept]
        self.model_, self.classes_, self._order = model, classes[kept], np.array(order)
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803 — likewise
        """The label of each row, `(rows,)`, or an indicator matrix, `(rows, labels)`."""
        probabilities, model = self._probabilities(X), self.model_
        if model.thresholds is not None:
            return reached(probabilities, model.thresholds)[:, self._order].astype(np.int64)
        best = self.classes_[probabilities[:, self._order].argmax(axis=1)]
        none = model.none_labels(probabilities)
        if model.reject is None:
            return np.asarray(best)
        found = [each if no is None else no for each, no in zip(best, none, strict=True)]
        return np.array(found, dtype=object)

    def predict_proba(self, X: Any) -> NDArray[np.float32]:  # noqa: N803 — likewise
        """The probability of each label, `(rows, labels)`, columns in the order of `classes_`."""
        return self._probabilities(X)[:, self._order]

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 — likewise
        """The score of each label, `(rows, labels)`; of two labels, that of the second.

        Of two labels and of an indicator matrix it is the log-odds, 0 where the prediction changes;
        of more labels the logits.
        """
        check_is_fitted(self)
        model: Model = self.model_
        logits = model.logits(model.encode_nonempty(model.encoding.checked(self._inputs(X))))
        logits = logits[:, self._order].astype(np.float64)
        if model.thresholds is not None:
            thresholds = np.clip(np.array(model.thresholds)[self._order], 1e-7, 1 - 1e-7)
            logits = logits - np.log(thresholds / (1 - thresholds))
        elif len(self.classes_) == 2:
            logits = logits[:, 1] - logits[:, 0]
        return np.asarray(logits, dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _probabilities(self, X: Any) -> NDArray[np.float32]:  # noqa: N803 — likewise
        """The probability of each label in the order of the model."""
        check_is_fitted(self)
        model: Model = self.model_
        return model.predict_proba(self._inputs(X))


class _Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]  # of no types
    """A model that predicts a number for each row of what `_inputs` reads."""

    def fit(
        self,
        X: Any,  # noqa: N803 — scikit-learn's name
        y: Any,
        sample_weight: object = None,
        X_validation: Any = None,  # noqa: N803 — likewise
        y_validation: Any = None,
    ) -> Self:
        """Trains a model; the arguments are those of a classifier, with numbers as `y`.

        Raises:
            GatewiseError: If the rows or the parameters cannot be used; a `ValueError` too.
        """
        inputs, numbers = self._inputs(X), _numbers(y)
        validation = None
        if _has_validation(X_validation, y_validation):
            validation = (self._inputs(X_validation), _numbers(y_validation))
        task = {"corpus.task": "regression"}
        self.model_ = self._train(inputs, numbers, validation, sample_weight, **task)
        return self

    def predict(self, X: Any) -> NDArray[np.float32]:  # noqa: N803 — likewise
        """The number of each row, `(rows,)`; `(rows, numbers)` if it was fitted with several."""
        check_is_fitted(self)
        model: Model = self.model_
        return np.asarray(model.predict(self._inputs(X)))


class _OfTexts(_Estimator):
    """`X` is one column of texts."""

    def _inputs(self, X: Any) -> list[object]:  # noqa: N803 — scikit-learn's name
        return _texts(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


class _OfSequences(_Estimator):
    """`X` is a sequence of numbers for each row."""

    def _inputs(self, X: Any) -> list[object]:  # noqa: N803 — scikit-learn's name
        return _sequences(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.allow_nan = True
        return tags


class TextClassifier(_OfTexts, _Classifier):
    """A text classifier that scikit-learn can fit, clone, search and combine.

    `X` is one column of texts. `y` has a label for each text, or is an indicator matrix with a
    column for each label. Fits of one process run one after the other; processes, as `n_jobs` of
    scikit-learn's searches starts them, are independent.

    Attributes:
        classes_: The labels, sorted and of their own type, without that of rows out of scope; with
            an indicator matrix, the numbers of its columns.
        model_: The `gatewise.Model`, whose files are in memory. It has metrics and no report: the
            search for parameters trains many.

    Args:
        verbose: Whether to show progress on standard error.
        settings: Settings of a training run by name, such as `epochs=3`, or in a dict for each
            section, such as `network={"units": 32}`; the parameters of this estimator are the
            settings by their names.
    """


class TextRegressor(_OfTexts, _Regressor):
    """A model that predicts a number, or several, for each text; see `TextClassifier`.

    `X` is one column of texts, `y` a number for each, or a matrix `(texts, numbers)`. The numbers
    of the model are called after the columns of a data frame.

    Attributes:
        model_: The `gatewise.Model`, whose files are in memory.

    Args:
        verbose: Whether to show progress on standard error.
        settings: Settings of training, by the names of `TextClassifier`.
    """


class SequenceClassifier(_OfSequences, _Classifier):
    """A classifier of sequences of numbers; see `TextClassifier`.

    `X` holds a sequence for each row: an array `(rows, steps)` or `(rows, steps, features)`, a data
    frame whose columns are the steps, or, where lengths differ, a list or a column of arrays
    `(steps,)` or `(steps, features)`. NaN is a missing number.

    Attributes:
        classes_: The labels, as of `TextClassifier`.
        model_: The `gatewise.Model`, whose files are in memory.

    Args:
        verbose: Whether to show progress on standard error.
        settings: Settings of training, by the names of `TextClassifier`; those of words are
            refused.
    """


class SequenceRegressor(_OfSequences, _Regressor):
    """A model that predicts a number, or several, for each sequence of numbers.

    `X` is that of `SequenceClassifier`, `y` a number for each row, or a matrix `(rows, numbers)`.

    Attributes:
        model_: The `gatewise.Model`, whose files are in memory.

    Args:
        verbose: Whether to show progress on standard error.
        settings: Settings of training, by the names of `TextClassifier`; those of words are
            refused.
    """


# What scikit-learn takes the parameters and their defaults from, and an editor its hints.
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_Estimator.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        inspect.Parameter("verbose", _KEYWORD, default=False),
        *(inspect.Parameter(name, _KEYWORD, default=value) for name, value in _DEFAULTS.items()),
    ]
)


def _by_parameter(settings: dict[str, object]) -> dict[str, object]:
    """Settings by the names of parameters, as the constructor and `set_params` take them."""
    own = {name: value for name, value in settings.items() if name in _FULL_NAMES}
    others = {name: value for name, value in settings.items() if name not in own}
    for section, values in placed(others).items():
        for name, value in values.items():
            parameter = _PARAMETERS.get(f"{section}.{name}")
            if parameter is None or parameter in own:
                problem = "is no setting of an estimator" if parameter is None else "occurs twice"
                raise ArgumentError(f"{section}.{name} {problem}")
            own[parameter] = value
    return own


def _texts(X: Any) -> list[object]:  # noqa: N803 — scikit-learn's name
    """The texts of one column, of whatever type."""
    if is_table(X):
        names = column_names(X)
        if len(names) != 1:
            raise TextsError(f"X: expected one column of texts, received {len(names)} columns")
        return column_values(X[names[0]])
    if getattr(X, "ndim", 1) == 2:
        if X.shape[1] != 1:
            raise TextsError(f"X: expected one column of texts, received {X.shape[1]} columns")
        X = X.ravel()  # noqa: N806
    return text_values(X)


def _sequences(X: Any) -> list[object]:  # noqa: N803 — likewise
    """The sequences of the rows."""
    if is_table(X):
        columns = [*table_columns(X, "X").values()]
        X = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))  # noqa: N806
    is_rows = getattr(X, "ndim", 1) > 1 and not hasattr(X, "toarray")
    found = list(X) if is_rows or isinstance(X, list | tuple) else column_values(X)
    first = next((each for each in found if not is_missing(each)), None)
    if first is not None and not is_sequence(first):
        raise SequenceError(
            "X: expected a sequence of numbers for each row, an array (rows, steps) or (rows, "
            f"steps, features) or a list of arrays, received a value of type {type(first).__name__}"
        )
    return found


def _has_validation(X: Any, y: Any) -> bool:  # noqa: N803 — likewise
    if (X is None) != (y is None):
        raise ArgumentError("X_validation and y_validation: expected both of them or none")
    return X is not None


@contextmanager
def _own_errors() -> Iterator[None]:
    """Makes the errors of scikit-learn's functions errors on `y` of one line."""
    try:
        yield
    except GatewiseError:
        raise
    except ValueError as error:
        raise CorpusError(f"y: {first_line(error)}") from None


def _require_target(y: Any) -> None:
    if y is None:
        raise CorpusError("This estimator requires y to be passed, but the target y is None.")


@_own_errors()
def _numbers(y: Any) -> Any:
    """The numbers of the texts, of which a table of several keeps their names."""
    _require_target(y)
    if names_of_columns(y):
        return y
    if is_table(y):
        y = np.array([*table_columns(y, "y").values()]).T
    is_rows = isinstance(y, list | tuple) and all(isinstance(row, list | tuple) for row in y)
    if (is_rows or getattr(y, "ndim", 1) == 2) and np.shape(y)[1] > 1:
        return np.asarray(y).tolist()
    return column_values(column_or_1d(y, warn=True))


@_own_errors()
def _targets(y: Any, names: Sequence[str] = ()) -> tuple[Any, list[str], NDArray[Any]]:
    """The labels for a training run, the name of each class in it, and the classes.

    The columns of a table of validation rows are those of the training rows' names.
    """
    _require_target(y)
    y = _matrix_of(y, names)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] > 1:
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise CorpusError("y: expected zeros and ones in an indicator matrix, received NaN")
        if type_of_target(y) != "multilabel-indicator":
            raise CorpusError(
                "y: Unknown label type: expected a label for each text or an indicator matrix of "
                f"zeros and ones, received a target of the kind {type_of_target(y)}"
            )
        matrix = np.asarray(y).astype(np.int64)
        return matrix, list(map(str, range(matrix.shape[1]))), np.arange(matrix.shape[1])
    if getattr(y, "ndim", 1) == 2:
        y = column_or_1d(y, warn=True)
    if isinstance(y, str | bytes | set | frozenset) or not hasattr(y, "__iter__"):
        raise CorpusError(
            f"y: expected a label for each text, received a value of type {type(y).__name__}"
        )
    values = column_values(y)
    if any(isinstance(value, list | tuple | set) for value in values):
        raise CorpusError(
            "y: expected a label for each text, received lists: MultiLabelBinarizer makes an "
            "indicator matrix of them"
        )
    missing = next((place for place, value in enumerate(values) if value is None), None)
    if missing is not None:
        raise CorpusError(f"y: position {missing}: the label is missing")
    found = label_values(values, "y")
    array = np.asarray(y if hasattr(y, "dtype") else values)
    if array.dtype.kind == "O" and values and not isinstance(values[0], str):
        array = np.asarray(values)
    if array.dtype.kind == "f" and (array != array.round()).any():
        raise CorpusError(
            "y: Unknown label type: continuous: expected strings, integers or booleans, received "
            f"{array[array != array.round()][0]}"
        )
    for position, label in enumerate(found):
        if not isinstance(label, str | int):
            raise CorpusError(
                f"y: position {position}: expected the label to be a string, an integer or a "
                f"boolean, received a value of type {type(label).__name__}"
            )
    names = list(map(str, found))
    classes, first = np.unique(array, return_index=True)
    return names, [names[index] for index in first], classes


def _matrix_of(y: Any, names: Sequence[str]) -> Any:
    """A sparse matrix, a table, or rows of zeros and ones as an array; others as they are."""
    if hasattr(y, "toarray"):
        return y.toarray()
    if is_table(y):
        return np.array([*table_columns(y, "y_validation" if names else "y", names).values()]).T
    if hasattr(y, "__array__") and not hasattr(y, "__iter__"):
        return np.asarray(y)
    is_rows = isinstance(y, list | tuple) and all(isinstance(row, list | np.ndarray) for row in y)
    if is_rows and len({len(row) for row in y}) == 1:
        return np.array(y) if type_of_target(y) == "multilabel-indicator" else y
    return y


def _check_columns(labels: Any, others: NDArray[Any], classes: NDArray[Any]) -> None:
    if getattr(labels, "ndim", 1) == 2 and len(others) != len(classes):
        raise CorpusError(
            f"y_validation: expected {len(classes)} columns as in y, received {len(others)}"
        )
