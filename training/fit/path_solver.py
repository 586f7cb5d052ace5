"""The linear path solved: its weights from a linear classifier on the features of the graph.

Gradient descent needs many updates to fit a table in which most n-grams occur once or twice. Where
the rows are few, a solver finds the optimum in seconds: with one label a text, a linear support
vector machine for each label against the others (liblinear, Fan et al. 2008, "LIBLINEAR: A Library
for Large Linear Classification"); with several, a logistic regression for each; for numbers, a
ridge regression. The regularization is chosen by cross-validation on the training rows, and so is
the factor that makes margins of support vector machines log-odds. A text with probabilities, as a
teacher gives them, is fitted once with each of its likely labels, without cross-validation.

A classifier is fitted twice, and the mean of the weights is taken: to the features as they are,
and to features that count the more, the more labels differ in how many of their texts have them
(Wang and Manning 2012, "Baselines and Bigrams", for two labels).

The features are those that the exported network computes: each n-gram of tokens, scaled by its
inverse document frequency and by the text's norm, and the character n-grams of its words, whose
weights are added to those of the words that hold them. Of a text in several windows they are the
mean of the windows' features, whose logits are the mean of the windows' logits.

An n-gram that no training text has may share its bucket with one that some text has, and then
counts as that one. Of few rows, the more of those found in new texts are such collisions, the less
the n-grams of a length count.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.svm import LinearSVC

from gatewise.service.model.linear_path import MIN_NORM, SCALE
from gatewise.training.config.training_section import TrainingConfig
from gatewise.training.data.examples import Examples, Targets, Windows
from gatewise.training.evaluation.calibration import negative_log_likelihood
from gatewise.training.fit.document_frequencies import counting_batches, ngram_rows
from gatewise.training.network.char_ngrams import CharNgrams
from gatewise.training.network.ngrams import NgramLogits, inverse_frequencies
from gatewise.training.network.shape import NgramTable
from gatewise.vocab.tokenizer.tokenizer import CLS_ID

_STRENGTHS = {False: (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), True: (1.0, 3.0, 10.0, 30.0, 100.0)}
"""The values of C that are tried, by whether a text may have several labels."""

_FIRST_STRENGTH = {False: 1.0, True: 3.0}
"""The value of C that is tried first."""

_USUAL_SCALE, _SCALE_DEVIATION = 8.0, 0.5
"""Median of the factor of the logits, and the standard deviation of its logarithm, in the prior:
about those of other corpora."""

_SCALES = (0.1, 100.0)
"""Bounds of the factor."""

_FOLDS = 3

_TOLERANCE = 0.01
"""Stopping tolerance of the solvers: at scikit-learn's default they take up to five times as long,
with the same results in cross-validation."""

_MAX_ITERATIONS = 1000

_DIGITS = 4
"""Significant digits of the factor: more would be noise of the search."""

_CONTRAST_POWER = 0.7
"""What contrasts of features are raised to."""

_SPELLING_WEIGHT = 0.5
"""Factor of the features of character n-grams, beside those of the tokens."""

_LIKELY = 0.05
"""Least probability of a label with which a text is fitted."""

_FEW_ROWS = 5_000
"""Rows up to which n-grams count by the share that are no collisions: measured on few rows only."""

_Part = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The numbers of the rows of a fold: those that are fitted and those held out."""


@dataclass(frozen=True)
class Solution:
    """How a linear path is solved: chosen by cross-validation, or usual values without one.

    Attributes:
        strength: The C, the inverse of the regularization.
        scale: The factor that makes the logits log-odds; None if C was given, and of logistic
            regressions, whose logits are log-odds.
    """

    strength: float
    scale: float | None = None


@dataclass(frozen=True)
class _Features:
    """The features of some texts.

    Attributes:
        matrix: A row for each text: columns of n-grams, then of character n-grams.
        targets: The target of each text.
        idf: The inverse document frequency of each row of the table, as the solved path has it.
        weights: The weight of each text, of a mean of 1.
        rows: The table row of each column of an n-gram.
        scales: What the weights of a column are multiplied by in the table.
        spelling: The character n-grams of each token, `(vocab, character n-grams)`, each scaled
            as in `matrix`.
    """

    matrix: sparse.csr_matrix
    targets: NDArray[Any]
    idf: NDArray[np.float64]
    weights: NDArray[np.float32]
    rows: NDArray[np.int64]
    scales: NDArray[np.float64]
    spelling: sparse.csr_matrix

    @cached_property
    def has(self) -> sparse.csc_matrix:
        """Which texts have each feature: one or nothing."""
        return sparse.csc_matrix(self.matrix != 0).astype(np.float64)

    @property
    def bias(self) -> NDArray[np.int64]:
        """The column of the begin mark, which every text has; none without single tokens."""
        return np.flatnonzero(self.rows == CLS_ID)

    @cached_property
    def squares(self) -> NDArray[np.float64]:
        """The sum of the squares of each feature, `(columns,)`."""
        return np.asarray(self.matrix.multiply(self.matrix).sum(axis=0)).ravel()

    @cached_property
    def ordered(self) -> sparse.csr_matrix:
        """The matrix, the columns of each row in order."""
        return self.matrix.sorted_indices()

    def scaled(self, scales: NDArray[np.float64], *, in_order: bool) -> sparse.csr_matrix:
        """The matrix with each column multiplied by its scale.

        Args:
            scales: The scale of each column, `(columns,)`.
            in_order: Whether the columns of each row are in order. A logistic regression sorts
                them at every fit otherwise, which with many labels takes as long as solving. A
                support vector machine does not, and its rounding depends on their order.
        """
        if not in_order:
            return self.matrix @ sparse.diags_array(scales)
        data = self.ordered.data * scales[self.ordered.indices]
        places = (self.ordered.indices, self.ordered.indptr)
        return sparse.csr_matrix((data, *places), self.matrix.shape)

    def only(self, texts: NDArray[np.int64]) -> "_Features":
        """The features of some of the texts."""
        return replace(
            self,
            matrix=self.matrix[texts],
            targets=self.targets[texts],
            weights=self.weights[texts],
        )


def solve_linear_path(
    model: keras.Model,
    train: Examples,
    spelling: CharNgrams | None,
    config: TrainingConfig,
    *,
    multi_label: bool,
    is_regression: bool = False,
    strength: float | None = None,
) -> Solution | None:
    """Sets the weights of a network's linear path, and keeps them from being trained further.

    Args:
        model: From `gatewise.training.network.build`, its document frequencies counted; unchanged
            if it has no linear path.
        train: The training rows, with a label or labels each.
        spelling: The character n-grams of each token; None to use none.
        config: The training settings: the seed, and whether labels are balanced.
        multi_label: Whether a text may have several labels.
        is_regression: Whether the targets are standardized numbers.
        strength: The C, the inverse of the regularization; None to choose it by cross-validation.

    Returns:
        The C that was used, and the factor; None if the network has no linear path.
    """
    layers = [layer for layer in model.layers if isinstance(layer, NgramLogits)]
    if not layers:
        return None
    (layer,) = layers
    features = _features(model, layer, train, spelling, is_regression=is_regression)
    kind = _RidgeSolver if is_regression else _Solver
    # Folds of numbers, as those of several labels, need no row of each label.
    solver = kind(layer.classes, config, multi_label=multi_label or is_regression)
    solution = solver.choose(features) if strength is None else Solution(strength)
    weights = solver.fit(features, solution.strength)
    _set_weights(layer, features, weights, exact_bias=multi_label)
    layer.trainable = False
    for shared in model.layers:
        if shared.name == "ngram_spelling":
            # The weights of character n-grams are in the table, added to those of the tokens.
            shared.trainable = False
    return solution


def held_out_log_odds(
    model: keras.Model,
    rows: Examples,
    spelling: CharNgrams | None,
    config: TrainingConfig,
    *,
    multi_label: bool,
    strength: float,
    folds: int,
) -> NDArray[np.float64]:
    """The log-odds that a solved linear path gives each text when it is fitted without it.

    Args:
        model: From `gatewise.training.network.build`, its document frequencies counted; it is not
            changed.
        rows: The rows, with a label or labels each.
        spelling: The character n-grams of each token; None to use none.
        config: The training settings: the seed, and whether labels are balanced.
        multi_label: Whether a text may have several labels.
        strength: The C, the inverse of the regularization.
        folds: The number of folds of the cross-validation; fewer if no label has as many rows.

    Returns:
        float64 `(texts, classes)`; -inf for a label that no fitted row of the fold has. A text
        without which there is nothing to fit has the same for all labels.
    """
    layer: NgramLogits = model.get_layer("ngrams")
    features = _features(model, layer, rows, spelling)
    targets = features.targets
    solver = _Solver(layer.classes, config, multi_label=multi_label)
    in_order = np.zeros((len(targets), layer.classes))
    most = len(targets) if multi_label else int(np.bincount(targets).max())
    parts = solver.parts(targets, min(folds, most)) if most > 1 else []
    if not parts:
        return in_order
    order = np.concatenate([held_out for _, held_out in parts])
    log_odds = solver.held_out(features, strength, parts)
    if not multi_label:
        log_odds *= _scale(log_odds, targets[order])
    if not isinstance(rows, Windows):
        order = np.concatenate(list(counting_batches(rows)))[order]
    in_order[order] = log_odds
    return in_order


class _Solver:
    """The linear classifier of a task."""

    def __init__(self, classes: int, config: TrainingConfig, *, multi_label: bool) -> None:
        self._classes, self._seed, self._multi_label = classes, config.seed, multi_label
        self._strengths, self._first = _STRENGTHS[multi_label], _FIRST_STRENGTH[multi_label]
        self._balanced = "balanced" in (config.class_weights, config.sampling)

    def choose(self, features: _Features) -> Solution:
        """The C that is best in cross-validation, and the factor of its logits.

        From the first value on, smaller or larger ones are tried for as long as they are better.
        """
        first, targets = self._first, features.targets
        if self._has_shares(targets):
            # Changed copies of one text, in several folds, would be as good as known.
            return Solution(first, _USUAL_SCALE)
        most = len(targets) if self._multi_label else np.bincount(targets).max()
        if most < _FOLDS:
            # No label has a row for each fold.
            return Solution(first, None if self._multi_label else _USUAL_SCALE)
        parts = self.parts(targets, _FOLDS)
        truth = targets[np.concatenate([held_out for _, held_out in parts])]
        values = self._strengths
        start = values.index(first)
        best, best_logits = first, self.held_out(features, first, parts)
        highest = self._score(best_logits, truth)
        for others in (reversed(values[:start]), values[start + 1 :]):
            before = best
            for value in others:
                logits = self.held_out(features, value, parts)
                score = self._score(logits, truth)
                if score <= highest:
                    break
                best, best_logits, highest = value, logits, score
            if best != before:
                break
        return Solution(best, None if self._multi_label else _scale(best_logits, truth))

    def parts(self, targets: NDArray[Any], count: int) -> list[_Part]:
        """The rows that are fitted and those that are held out, for each fold."""
        folds = KFold if self._multi_label else StratifiedKFold
        with warnings.catch_warnings():
            # Of labels with fewer rows than folds, which some folds then lack.
            warnings.simplefilter("ignore", UserWarning)
            split = folds(count, shuffle=True, random_state=self._seed).split(targets, targets)
            parts = list(split)
        if self._multi_label:
            return parts
        # A label with a single row may leave another alone.
        return [part for part in parts if len(np.unique(targets[part[0]])) > 1]

    def held_out(
        self, features: _Features, strength: float, parts: list[_Part]
    ) -> NDArray[np.float64]:
        """The logits of the rows held out, in the order of the folds."""
        by_fold = []
        for fitted, held_out in parts:
            weights = self.fit(features.only(fitted), strength)
            logits = features.matrix[held_out] @ weights.T
            if not self._multi_label:
                present = np.isin(np.arange(self._classes), features.targets[fitted])
                logits[:, ~present] = -np.inf
            by_fold.append(logits)
        return np.concatenate(by_fold)

    def fit(self, features: _Features, strength: float) -> NDArray[np.float64]:
        """The weights of each class, float64 `(classes, columns)`."""
        if self._has_shares(features.targets):
            features = _with_likely_labels(features)
        targets = features.targets
        weights = np.zeros((self._classes, features.matrix.shape[1]))
        options = {
            "C": strength,
            "fit_intercept": False,
            "max_iter": _MAX_ITERATIONS,
            "tol": _TOLERANCE,
            "random_state": self._seed,
        }
        if self._multi_label:
            truth = targets >= 0.5
            regression = LogisticRegression(solver="liblinear", dual=True, **options)
            for label in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)):
                of_label = truth[:, label]
                (weights[label],) = self._weights(regression, features, of_label, [of_label])
            return weights
        labels = np.unique(targets)
        # A label that no text has: the margin of texts without it.
        weights[:, features.bias] = -1
        if len(labels) == 1:
            weights[labels, features.bias] = 1
            return weights
        of_labels = (targets == label for label in labels)
        found = self._weights(LinearSVC(**options), features, targets, of_labels)
        if len(found) == 1:
            found = np.concatenate([-found, found])
        weights[labels] = found
        return weights

    def _weights(
        self,
        classifier: LinearSVC | LogisticRegression,
        features: _Features,
        targets: NDArray[Any],
        labels: Iterable[NDArray[np.bool_]],
    ) -> NDArray[np.float64]:
        """The mean weights of a classifier fitted to the features and to their contrasts.

        Args:
            classifier: Fitted twice, each time anew.
            features: The features.
            targets: What it learns.
            labels: Which texts have each label.
        """
        contrasts = _contrasts(features, labels)
        of_texts: NDArray[np.floating] = features.weights
        if self._balanced:
            # By the weights of the rows, as in the loss of the recurrent path. Some versions of
            # scikit-learn would count the rows.
            of_texts = of_texts * _class_weights(of_texts, targets)
        found = []
        with warnings.catch_warnings():
            # Of labels with a row or two each. A fit that was cut off will do.
            warnings.simplefilter("ignore", UserWarning)
            for scales in (np.ones_like(contrasts), contrasts):
                scaled = features.scaled(scales, in_order=self._multi_label)
                found.append(classifier.fit(scaled, targets, of_texts).coef_ * scales)
        return np.asarray(np.mean(found, axis=0))

    def _has_shares(self, targets: NDArray[Any]) -> bool:
        """Whether a text has a probability of each label, instead of one label."""
        return targets.ndim == 2 and not self._multi_label

    def _score(self, logits: NDArray[np.float64], targets: NDArray[Any]) -> float:
        """How good logits are; greater is better."""
        if self._multi_label:
            losses = np.logaddexp(0, np.where(targets >= 0.5, -logits, logits))
            return -float(losses.sum())
        is_right = logits.argmax(axis=1) == targets
        if not self._balanced:
            return float(np.count_nonzero(is_right))
        # The sum of the recalls: every label counts the same.
        rows = np.bincount(targets, minlength=self._classes)
        return float((is_right / rows[targets]).sum())


class _RidgeSolver(_Solver):
    """The ridge regression of numbers; C is the inverse of scikit-learn's alpha."""

    def __init__(self, classes: int, config: TrainingConfig, *, multi_label: bool) -> None:
        super().__init__(classes, config, multi_label=multi_label)
        self._strengths, self._first = _STRENGTHS[False], _FIRST_STRENGTH[False]

    def fit(self, features: _Features, strength: float) -> NDArray[np.float64]:
        """The weights of each number, float64 `(numbers, columns)`."""
        # Standardized targets and the begin mark, which every text has, leave out an intercept.
        ridge = Ridge(alpha=1 / strength, fit_intercept=False, solver="sparse_cg")
        numbers = features.targets.astype(np.float64)
        ridge.fit(features.matrix, numbers, features.weights.astype(np.float64))
        return np.atleast_2d(ridge.coef_)

    def _score(self, logits: NDArray[np.float64], targets: NDArray[Any]) -> float:
        return -float(np.square(logits - targets).sum())


def _with_likely_labels(features: _Features) -> _Features:
    """Each text once for each of its likely labels, weighted by their probabilities.

    The most probable label of a text is always one of them.
    """
    is_likely = features.targets >= _LIKELY
    is_likely[np.arange(len(is_likely)), features.targets.argmax(axis=1)] = True
    texts, labels = np.nonzero(is_likely)
    weights = features.weights[texts] * features.targets[texts, labels]
    return replace(
        features,
        matrix=features.matrix[texts],
        targets=labels,
        weights=(weights / weights.mean()).astype(np.float32),
    )


def _class_weights(of_texts: NDArray[np.floating], targets: NDArray[Any]) -> NDArray[np.float64]:
    """For each text a factor by which its label weighs as much as any other, `(texts,)`."""
    labels, places = np.unique(targets, return_inverse=True)
    sums = np.bincount(places, of_texts)
    return np.asarray((sums.sum() / (len(labels) * sums))[places])


def _contrasts(features: _Features, labels: Iterable[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """How differently often the texts of a label and other texts have each feature, `(columns,)`.

    For a label it is the logarithm of the ratio of the texts with the feature, among as many texts
    with the label and without it, each plus one. The largest over the labels counts, raised to a
    power, and scaled so that the texts keep their mean square norm. The bias, which is in all
    texts, keeps its scale.

    Args:
        features: The features.
        labels: Which texts have each label.
    """
    contrasts = np.zeros(features.matrix.shape[1])
    bias = features.bias
    for of_label in labels:
        sides = np.where(of_label, features.weights, 0), np.where(of_label, 0, features.weights)
        texts = min(weights.sum() for weights in sides)
        inside, outside = (weights @ features.has * (texts / weights.sum()) for weights in sides)
        contrasts = np.maximum(contrasts, np.abs(np.log1p(inside) - np.log1p(outside)))
    contrasts[bias] = 0
    if not contrasts.any():
        return np.ones_like(contrasts)
    contrasts **= _CONTRAST_POWER
    squares = features.squares
    contrasts *= np.sqrt((squares.sum() - squares[bias].sum()) / (squares @ np.square(contrasts)))
    contrasts[bias] = 1
    return contrasts


def _scale(logits: NDArray[np.float64], targets: NDArray[Any]) -> float:
    """The factor that makes the logits of rows held out log-odds."""
    # A fold may lack the label of a row that it holds out.
    known = np.isfinite(logits[np.arange(len(targets)), targets])
    logits, targets = logits[known], targets[known]

    def cost(logarithm: float) -> float:
        distance = (logarithm - np.log(_USUAL_SCALE)) / _SCALE_DEVIATION
        loss = negative_log_likelihood(np.exp(logarithm) * logits, targets)
        return loss + float(distance**2) / (2 * len(targets))

    found = minimize_scalar(cost, bounds=np.log(_SCALES), method="bounded")
    return float(f"{np.exp(found.x):.{_DIGITS}g}")


def _features(
    model: keras.Model,
    layer: NgramLogits,
    train: Examples,
    ngrams: CharNgrams | None,
    *,
    is_regression: bool = False,
) -> _Features:
    idf = layer.idf.numpy().astype(np.float64)
    indices, lengths, targets = [], [], []
    for rows, of_batch in ngram_rows(model, train):
        known = (rows > 0) & (idf[rows] > 0)
        indices.append(rows[known])
        lengths.append(known.sum(axis=1))
        targets.append(of_batch)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    found = np.concatenate(indices)
    table = layer.table
    has = sparse.csr_matrix((np.ones(len(found)), found, starts), (len(train), table.rows))
    if len(train) <= _FEW_ROWS:
        idf *= _precisions(table, np.bincount(found, minlength=table.rows))
    norms = np.maximum(np.sqrt(has @ np.square(idf)), MIN_NORM)
    columns = np.unique(found)
    by_norm = sparse.diags_array(1 / norms)
    # The begin mark is in every text: as a feature of about one it takes the part of a bias.
    scales = np.where(columns == CLS_ID, norms.mean(), 1.0)
    own = sparse.csr_matrix(by_norm @ has[:, columns] @ sparse.diags_array(idf[columns] * scales))
    of_texts = np.concatenate(targets)
    if not is_regression:
        # Divided by the norm, as in the graph, it tells the length of a text, which would be learnt
        # in place of what the n-grams say.
        own.data[columns[own.indices] == CLS_ID] = 1
    spelling = _spelling(ngrams, has[:, : table.vocab_size])
    matrix = (
        own
        if spelling is None
        else sparse.hstack([own, by_norm @ has[:, : table.vocab_size] @ spelling])
    )
    matrix = sparse.csr_matrix(matrix)
    if isinstance(train, Windows):
        matrix, of_texts = _pooled(matrix, train)
        sample_weights = train.texts.weights(np.arange(len(train.texts)))
    else:
        sample_weights = train.weights(np.concatenate(list(counting_batches(train))))
    return _Features(
        matrix,
        of_texts,
        idf,
        sample_weights,
        columns,
        scales,
        sparse.csr_matrix((table.vocab_size, 0)) if spelling is None else spelling,
    )


def _precisions(table: NgramTable, frequencies: NDArray[np.int64]) -> NDArray[np.float64]:
    """The estimated share of the n-grams found in new texts that the training texts have, too.

    The others share a bucket with one of these. Good and Turing estimate the share of n-grams in
    new texts that are new (Good 1953, "The population frequencies of species and the estimation of
    population parameters"): that of those seen once among all that were seen.

    Args:
        table: Layout of the n-grams.
        frequencies: Texts that contain the n-gram of each row.

    Returns:
        A share for each row, the same for all n-grams of a length; one for single tokens.
    """
    precisions = np.ones(table.rows)
    for length in table.lengths:
        if length == 1:
            continue
        start = table.offset(length)
        buckets = slice(start, start + table.buckets)
        counts = frequencies[buckets]
        # Never one, so that a length never loses all its weight.
        used = np.count_nonzero(counts) / (table.buckets + 1)
        # One seen once is alone in its bucket as often as a bucket is empty.
        once = np.count_nonzero(counts == 1) / (1 - used)
        new = min(once, counts.sum()) / (counts.sum() + 1)
        precisions[buckets] = (1 - new) / (1 - new + new * used)
    return precisions


def _pooled(matrix: sparse.csr_matrix, windows: Windows) -> tuple[sparse.csr_matrix, Targets]:
    """The features and targets of texts from the features of their windows.

    Args:
        matrix: A row for each window, in the order of `ngram_rows`.
        windows: The windows.
    """
    rows = np.concatenate(list(counting_batches(windows)))
    places = (windows.text_numbers[rows], np.arange(len(rows)))
    shares = 1 / windows.counts[windows.text_numbers[rows]]
    mean = sparse.csr_matrix((shares, places), (len(windows.texts), len(rows)))
    return mean @ matrix, windows.texts.targets(np.arange(len(windows.texts)))


def _spelling(ngrams: CharNgrams | None, has: sparse.csr_matrix) -> sparse.csr_matrix | None:
    """The character n-grams of each token, scaled by their IDF.

    Args:
        ngrams: The character n-grams of each token; None to use none.
        has: Which tokens each text has, `(texts, vocab)`.
    """
    if ngrams is None:
        return None
    counted = ngrams.rows > 0
    starts = np.concatenate([[0], np.cumsum(counted.sum(axis=1))])
    shape = (len(ngrams.rows), ngrams.count)
    spelling = sparse.csr_matrix(
        (np.ones(int(starts[-1])), ngrams.rows[counted].astype(np.int64), starts), shape
    )
    frequencies = ((has @ spelling) > 0).sum(axis=0)
    scales = inverse_frequencies(np.asarray(frequencies).ravel(), has.shape[0])
    return sparse.csr_matrix(spelling @ sparse.diags_array(_SPELLING_WEIGHT * scales))


def _set_weights(
    layer: NgramLogits, features: _Features, weights: NDArray[np.float64], *, exact_bias: bool
) -> None:
    """Writes the weights of a classifier, `(classes, columns)`, into the table of the path.

    Args:
        layer: The path.
        features: The features that the weights belong to.
        weights: The weights.
        exact_bias: Whether the weights of the begin mark become the bias. Otherwise the graph
            divides them by the norm of a text, so that they count more in short texts. That is as
            good where a text has the label with the largest logit. Of several labels most are rare:
            their biases are large, and would rank the texts by their length.
    """
    if exact_bias:
        bias = features.bias
        layer.bias.assign(weights[:, bias].sum(axis=1).astype(np.float32))
        weights = weights.copy()
        weights[:, bias] = 0
    count = len(features.rows)
    own, of_spelling = weights[:, :count], weights[:, count:]
    table = np.zeros((layer.table.rows, len(weights)))
    table[features.rows] = (own * features.scales).T
    layer.idf.assign(features.idf.astype(np.float32))
    idf = features.idf[: layer.table.vocab_size]
    # In the graph a token's weights are scaled by its own IDF.
    factors = np.divide(1, idf, out=np.zeros_like(idf), where=idf > 0)
    table[: layer.table.vocab_size] += factors[:, None] * (features.spelling @ of_spelling.T)
    table /= SCALE
    if layer.kernel is not None:
        # The directions in which the logits of the training rows differ most are kept.
        logits = features.matrix @ weights.T
        _, _, directions = np.linalg.svd(logits, full_matrices=False)
        kernel = np.zeros(layer.kernel.shape)
        kept = directions[: len(kernel)]
        kernel[: len(kept)] = kept
        layer.kernel.assign(kernel.astype(np.float32))
        table = table @ kernel.T
    layer.weights_table.assign(table.astype(np.float32))
