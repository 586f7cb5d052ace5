"""A teacher of an encoder as it is: a logistic regression on its vectors of the training texts."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from gatewise.training.teacher.encoder_folder import EncoderFolder
from gatewise.training.teacher.targets import probabilities_of
from gatewise.training.teacher.text_encoder import TextEncoder

_STRENGTHS = (1.0, 10.0, 100.0)
"""The values of C, the inverse of the regularization, that are tried. With greater ones the teacher
is surer and no better, and the network learns less from it."""

_DEFAULT_STRENGTH = 10.0
_FOLDS = 3
_MAX_TRIED_ROWS = 5_000
_ITERATIONS = 300


class FrozenEncoder:
    """See `gatewise.training.teacher.teacher.Teacher`."""

    has_space = True

    def __init__(self, folder: EncoderFolder, seed: int, *, multi_label: bool) -> None:
        """Loads the encoder.

        Args:
            folder: Its files.
            seed: Seed of the folds of the cross-validation.
            multi_label: Whether a text may have several labels.
        """
        self._folder, self._seed, self._multi_label = folder, seed, multi_label
        self._encoder = TextEncoder(folder)
        self.card, self.width = folder.card, self._encoder.width
        self.fingerprint = folder.fingerprint
        self._weights: NDArray[np.float64] = np.zeros((0, self.width))
        self._biases: NDArray[np.float64] = np.zeros(0)

    def learn(self, vectors: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Fits the logistic regression, its regularization chosen by cross-validation."""
        with threadpool_limits(1), warnings.catch_warnings():
            # The order of sums depends on the number of threads. A fit that was cut off will do.
            warnings.simplefilter("ignore", ConvergenceWarning)
            strength = self._strength(vectors, truth)
            self._weights, self._biases = self._fit(vectors, truth, strength)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The encoder's vectors of some texts."""
        return self._encoder.vectors(texts)

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of each label."""
        logits = vectors.astype(np.float64) @ self._weights.T + self._biases
        return probabilities_of(logits, multi_label=self._multi_label)

    def similar_words(self, words: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Words whose vectors are near, before the encoder's first layer."""
        return self._encoder.similar_words(words)

    def _strength(self, vectors: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
        rows = np.random.default_rng(self._seed).permutation(len(vectors))[:_MAX_TRIED_ROWS]
        vectors, truth = vectors[rows], truth[rows]
        if truth.sum(axis=0).max() < _FOLDS:
            return _DEFAULT_STRENGTH
        splitter = KFold if self._multi_label else StratifiedKFold
        with warnings.catch_warnings():
            # Of labels with fewer rows than folds.
            warnings.simplefilter("ignore", UserWarning)
            folds = splitter(_FOLDS, shuffle=True, random_state=self._seed)
            parts = list(folds.split(vectors, truth.argmax(axis=1)))
        losses = dict.fromkeys(_STRENGTHS, 0.0)
        for strength in _STRENGTHS:
            for fitted, held_out in parts:
                weights, biases = self._fit(vectors[fitted], truth[fitted], strength)
                logits = vectors[held_out].astype(np.float64) @ weights.T + biases
                losses[strength] += self._loss(logits, truth[held_out])
        return min(losses, key=losses.__getitem__)

    def _loss(self, logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
        if self._multi_label:
            return float(np.logaddexp(0, np.where(truth, -logits, logits)).sum())
        names = np.arange(truth.shape[1])
        return float(
            log_loss(truth.argmax(axis=1), softmax(logits, axis=1), labels=names, normalize=False)
        )

    def _fit(
        self, vectors: NDArray[np.float32], truth: NDArray[np.bool_], strength: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weights, `(labels, width)`, and the biases, `(labels,)`."""
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
            if len(model.classes_) == 2:
                # scikit-learn keeps the weights of the second of two labels only.
                weights[model.classes_] = np.concatenate([-model.coef_, model.coef_]) / 2
                biases[model.classes_] = np.concatenate([-model.intercept_, model.intercept_]) / 2
            else:
                weights[model.classes_], biases[model.classes_] = model.coef_, model.intercept_
            return weights, biases
        # The odds of a label that every row has, or none.
        shares = (truth.sum(axis=0) + 0.5) / (len(truth) + 1)
        biases = np.log(shares / (1 - shares))
        for label in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)):
            model = _regression(strength).fit(vectors, truth[:, label])
            weights[label], biases[label] = model.coef_[0], model.intercept_[0]
        return weights, biases


def _regression(strength: float) -> Any:
    return LogisticRegression(C=strength, max_iter=_ITERATIONS)
