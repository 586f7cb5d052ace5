"""scikit-learn's own checks of `TextClassifier`, whose rows of numbers an adapter writes as texts.

Without the adapter scikit-learn leaves out every check that fits, for it has rows of numbers only.
"""

from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted, validate_data

from gatewise.sklearn import TextClassifier


class NumbersAsWords(TextClassifier):
    """`TextClassifier` for rows of numbers: a text has a word for each number, with its column."""

    def fit(self, X, y, sample_weight=None):  # noqa: N803 — scikit-learn's name
        return super().fit(_texts(validate_data(self, X)), y, sample_weight)

    def predict(self, X):  # noqa: N803 — likewise
        return super().predict(self._read(X))

    def predict_proba(self, X):  # noqa: N803 — likewise
        return super().predict_proba(self._read(X))

    def decision_function(self, X):  # noqa: N803 — likewise
        return super().decision_function(self._read(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = False
        tags.input_tags.two_d_array = True
        return tags

    def _read(self, X):  # noqa: N803 — likewise
        check_is_fitted(self)
        return _texts(validate_data(self, X, reset=False))


def _texts(rows):
    """Two words for each number: its value in steps of a half, and its digits."""
    letters = str.maketrans("0123456789-.e+", "abcdefghijklmn")
    return [
        " ".join(
            f"{chr(97 + column % 26)}{word.translate(letters)}"
            for column, value in enumerate(row)
            for word in (f"x{np.round(2 * value):.4g}", f"{value:.9g}")
        )
        for row in rows.astype(float)
    ]


LEFT_OUT = {
    "check_sample_weight_equivalence_on_dense_data": "rows that are repeated are in other batches, "
    "and among those held out, so that the network differs"
}


def _name(check):
    return check.func.func.__name__ if isinstance(check.func, partial) else check.func.__name__


def _checks():
    estimator = NumbersAsWords(
        units=4, embedding_size=4, buckets=100, spelling=(), unit="word", epochs=3, refit=False
    )
    checks = [check for _, check in estimator_checks_generator(estimator)]
    return [check for check in checks if _name(check) not in LEFT_OUT], estimator


CHECKS, ESTIMATOR = _checks()


@pytest.mark.sampled(5)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_a_check_of_scikit_learn_passes(check):
    check(clone(ESTIMATOR))
