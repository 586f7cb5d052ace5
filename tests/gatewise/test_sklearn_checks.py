"""scikit-learn's own checks of the classifiers, whose rows of numbers adapters validate.

Without an adapter scikit-learn leaves out every check of texts that fits, for it has rows of
numbers only; and it wants rows of one length, which sequences need not have.
"""

from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted, validate_data

from gatewise.sklearn import SequenceClassifier, TextClassifier


class OfRows:
    """Validates rows of numbers, all of one length, as scikit-learn's own estimators do."""

    def fit(self, X, y, sample_weight=None):  # noqa: N803 — scikit-learn's name
        return super().fit(self.given(validate_data(self, X)), y, sample_weight)

    def predict(self, X):  # noqa: N803 — likewise
        return super().predict(self._read(X))

    def predict_proba(self, X):  # noqa: N803 — likewise
        return super().predict_proba(self._read(X))

    def decision_function(self, X):  # noqa: N803 — likewise
        return super().decision_function(self._read(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = False
        tags.input_tags.three_d_array = tags.input_tags.allow_nan = False
        tags.input_tags.two_d_array = True
        return tags

    def _read(self, X):  # noqa: N803 — likewise
        check_is_fitted(self)
        return self.given(validate_data(self, X, reset=False))


class NumbersAsWords(OfRows, TextClassifier):
    """`TextClassifier` for rows of numbers: a text has two words for each number."""

    def given(self, rows):
        """Words with the column of a number: its value in steps of a half, and its digits."""
        letters = str.maketrans("0123456789-.e+", "abcdefghijklmn")
        return [
            " ".join(
                f"{chr(97 + column % 26)}{word.translate(letters)}"
                for column, value in enumerate(row)
                for word in (f"x{np.round(2 * value):.4g}", f"{value:.9g}")
            )
            for row in rows.astype(float)
        ]


class RowsAsSequences(OfRows, SequenceClassifier):
    """`SequenceClassifier`, which takes rows of numbers as they are."""

    def given(self, rows):
        """A row is a sequence of single numbers."""
        return rows


LEFT_OUT = {
    "check_sample_weight_equivalence_on_dense_data": "rows that are repeated are in other batches, "
    "and among those held out, so that the network differs"
}


def _name(check):
    return check.func.func.__name__ if isinstance(check.func, partial) else check.func.__name__


WORDS = NumbersAsWords(
    units=4, embedding_size=4, buckets=100, spelling=(), unit="word", epochs=3, refit=False
)
SEQUENCES = RowsAsSequences(units=8, epochs=20, learning_rate=0.02, dropout=0.0, refit=False)
CHECKS = [
    (estimator, check)
    for estimator in (WORDS, SEQUENCES)
    for _, check in estimator_checks_generator(estimator)
    if _name(check) not in LEFT_OUT
]


@pytest.mark.sampled(10)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("estimator", "check"),
    CHECKS,
    ids=lambda each: _name(each) if callable(each) else type(each).__name__,
)
def test_a_check_of_scikit_learn_passes(estimator, check):
    check(clone(estimator))
