"""A teacher of an encoder as it is: a logistic regression on its vectors of the training texts."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.targets import probabilities_of
from gatewise.training.teacher.teacher import Teacher
from gatewise.training.teacher.text_encoder import TextEncoder

_STRENGTHS = (1.0, 10.0, 100.0)
"""The values of C, the inverse of the regularization, that are tried. With greater ones the teacher
is surer and no better, and the network learns less from it."""

_DEFAULT_STRENGTH = 10.0
_FOLDS = 3
_MAX_TRIED_ROWS = 5_000
_ITERATIONS = 300

_Model = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The weights, `(labels, width)`, and the biases, `(labels,)`."""


class FrozenEncoder(TextEncoder, Teacher):
    """Its vectors are those of the encoder: near ones mean similar texts."""

    def __init__(self, folder: EncoderFolder, seed: int, *, multi_label: bool) -> None:
        """Loads the encoder.

        Args:
            folder: Its files.
            seed: Seed of the folds of the cross-validation.
            multi_label: Whether a text may have several labels.
        """
        super().__init__(folder)
        self._seed, self._multi_label = seed, multi_label
        self.card, self.fingerprint = folder.card, folder.fingerprint
        self._model: _Model = np.zeros((0, self.width)), np.zeros(0)

    @property
    def has_learned(self) -> bool:
        """Whether it is a classifier."""
        return len(self._model[0]) > 0

    def learn(self, vectors: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Becomes a classifier; the regularization is chosen by cross-validation.

        Args:
            vectors: The vectors of the training texts, `(texts, width)`.
            truth: Which labels each has, `(texts, labels)`.
        """
        with threadpool_limits(1), warnings.catch_warnings():
            # The order of sums depends on the number of threads. A fit that was cut off will do. A
            # label may have too few rows for the folds.
            warnings.simplefilter("ignore", UserWarning)
            self._model = self._fit(vectors, truth, self._strength(vectors, truth))

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of each label."""
        return probabilities_of(_logits(vectors, self._model), multi_label=self._multi_label)

    def _strength(self, vectors: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
        rows = np.random.default_rng(self._seed).permutation(len(vectors))[:_MAX_TRIED_ROWS]
        vectors, truth = vectors[rows], truth[rows]
        if truth.sum(axis=0).max() < _FOLDS:
            return _DEFAULT_STRENGTH
        splitter = KFold if self._multi_label else StratifiedKFold
        folds = splitter(_FOLDS, shuffle=True, random_state=self._seed)
        parts = list(folds.split(vectors, truth.argmax(axis=1)))

        def loss(strength: float) -> float:
            total = 0.0
            for fitted, held_out in parts:
                model = self._fit(vectors[fitted], truth[fitted], strength)
                total += self._loss(_logits(vectors[held_out], model), truth[held_out])
            return total

        return min(_STRENGTHS, key=loss)

    def _loss(self, logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
        if self._multi_label:
            return float(np.logaddexp(0, np.where(truth, -logits, logits)).sum())
        names = np.arange(truth.shape[1])
        return float(
            log_loss(truth.argmax(axis=1), softmax(logits, axis=1), labels=names, normalize=False)
        )

    def _fit(
        self, vectors: NDArray[np.float32], truth: NDArray[np.bool_], strength: float
    ) -> _Model:
        count = truth.shape[1]
        weights = np.zeros((count, vectors.shape[1]))
        if not self._multi_label:
            # A label that no row has, as in a fold, is never given.
            biases = np.full(count, -30.0)
            classes = np.unique(truth.argmax(axis=1))
            if len(classes) == 1:
                # The other labels have no row in this fold, and there is nothing to separate.
                biases[classes] = 0.0
                return weights, biases
            model = _regression(strength).fit(vectors, truth.argmax(axis=1))
            found, constants = model.coef_, model.intercept_
            if len(classes) == 2:
                # scikit-learn keeps the weights of the second of two labels only.
                found, constants = (np.concatenate([-of, of]) / 2 for of in (found, constants))
            weights[classes], biases[classes] = found, constants
            return weights, biases
        # The odds of a label that every row has, or none.
        shares = (truth.sum(axis=0) + 0.5) / (len(truth) + 1)
        biases = np.log(shares / (1 - shares))
        for label in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)):
            model = _regression(strength).fit(vectors, truth[:, label])
            weights[label], biases[label] = model.coef_[0], model.intercept_[0]
        return weights, biases


def _logits(vectors: NDArray[np.float32], model: _Model) -> NDArray[np.float64]:
    weights, biases = model
    return np.asarray(vectors.astype(np.float64) @ weights.T + biases)


def _regression(strength: float) -> Any:
    return LogisticRegression(C=strength, max_iter=_ITERATIONS)
