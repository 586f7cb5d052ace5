"""Baselines beside a model, on the rows that it is evaluated on.

The majority baseline predicts the most frequent label for every text. The linear one is a support
vector machine on TF-IDF features of word and character n-grams, with scikit-learn's defaults. It is
trained only on a small corpus, where it takes seconds. Nothing is chosen by either. For numbers,
their mean and a ridge regression on the same features take their places. Of sequences of numbers
the features are their last steps, standardized: the regression is an autoregression then.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from gatewise.service.model.input_encoding import Item
from gatewise.training.data.encoded_corpus import EncodedSplit
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.data.value_scale import values_of
from gatewise.training.evaluation.regression import RegressionReport
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.corpus.sequences import Numbers, as_numbers

_MAX_CHARACTERS = 1_000_000
"""Characters of the training texts, and of the evaluated texts, up to which it is trained."""

_MAX_JSON = 20_000_000
"""The same of sequences of numbers, as JSON."""

_MAX_STEPS, _MAX_NUMBERS = 256, 20_000_000
"""Last steps of a sequence that it reads, at most, and numbers of all training rows."""

_MAX_TARGETS = 300_000
"""Training rows times labels up to which it is trained: it is one classifier for each label."""

LabelSet = tuple[str, ...]


@dataclass(frozen=True)
class LinearBaseline:
    """The metrics of the linear baseline, as in `gatewise.training.evaluation.evaluate.Report`."""

    accuracy: float
    macro_f1: float
    micro_f1: float | None


@dataclass(frozen=True)
class Baselines:
    """The baselines on the evaluated rows.

    Attributes:
        rows: Rows evaluated, those out of scope left out.
        majority_labels: The most frequent label of the training rows, or set of labels.
        majority: Accuracy of predicting it for every row.
        linear: The metrics of the linear baseline; None if it was not trained.
        why_not: Why it was not trained; None if it was.
    """

    rows: int
    majority_labels: LabelSet
    majority: float
    linear: LinearBaseline | None
    why_not: str | None = None

    def as_dict(self) -> dict[str, object]:
        """The baselines as a JSON object."""
        return asdict(self)


def measure(
    train: Sequence[StoredRows], evaluated: EncodedSplit, labels: Labels, *, multi_label: bool
) -> Baselines:
    """Measures the baselines.

    Args:
        train: The training rows, in one part or several.
        evaluated: The rows to evaluate on.
        labels: The labels of the task.
        multi_label: Whether a text may have several of them, or none.
    """
    sets: Counter[LabelSet] = Counter()
    characters = 0
    for row in chain.from_iterable(train):
        if row.labels or multi_label:
            sets[row.labels] += 1
            characters += len(row.text)
    most = max(sets.values())
    majority = min(names for names, count in sets.items() if count == most)
    rows = evaluated.rows.only(evaluated.in_scope)
    truth: list[LabelSet] = []
    longest = 0
    for row in rows:
        truth.append(row.labels)
        longest += len(row.text)
    hits = truth.count(majority)
    why_not = None
    limit = _limit(evaluated)
    if max(characters, longest) > limit:
        why_not = f"the texts have more than {limit:,} characters"
    elif sets.total() * len(labels) > _MAX_TARGETS:
        why_not = f"rows times labels are more than {_MAX_TARGETS:,}"
    linear = None
    if why_not is None:
        learnt = [row for row in chain.from_iterable(train) if row.labels or multi_label]
        features = evaluated.texts.features
        linear = _linear(learnt, [*rows], labels, features, multi_label=multi_label)
        why_not = None if linear else "the texts have no words"
    return Baselines(len(truth), majority, hits / max(len(truth), 1), linear, why_not)


@dataclass(frozen=True)
class NumberBaselines:
    """The baselines of a model that predicts numbers.

    Attributes:
        rows: Rows evaluated.
        mean_value: The mean of the training rows, of each number.
        mean: The metrics of predicting these for every row.
        linear: The metrics of the ridge regression; None if it was not trained.
        why_not: Why it was not trained; None if it was.
    """

    rows: int
    mean_value: tuple[float, ...]
    mean: RegressionReport
    linear: RegressionReport | None
    why_not: str | None = None

    @property
    def shown_mean(self) -> str:
        """The mean or means with four digits."""
        return ", ".join(f"{mean:.4g}" for mean in self.mean_value)

    def as_dict(self) -> dict[str, object]:
        """The baselines as a JSON object."""
        return {
            **asdict(self),
            "mean_value": self.mean_value if len(self.mean_value) > 1 else self.mean_value[0],
            "mean": self.mean.as_dict(),
            "linear": self.linear and self.linear.as_dict(),
        }


def measure_numbers(
    train: Sequence[StoredRows], evaluated: EncodedSplit, labels: Labels
) -> NumberBaselines:
    """Measures the baselines of a regression.

    Args:
        train: The training rows, in one part or several.
        evaluated: The rows to evaluate on.
        labels: The names of the numbers.
    """
    learnt, truth = values_of(chain.from_iterable(train)), values_of(evaluated.rows)
    means = tuple(float(column.mean()) for column in learnt.T)
    of_mean = RegressionReport.of(labels.names, truth, np.full_like(truth, means))
    longest = max(int(rows.characters.sum()) for rows in (*train, evaluated.rows))
    limit = _limit(evaluated)
    linear, why_not = None, f"the texts have more than {limit:,} characters"
    if longest <= limit:
        features = evaluated.texts.features
        solver = "auto" if features else "sparse_cg"
        inputs = _inputs(chain.from_iterable(train), features)
        model = make_pipeline(_features(inputs, features), Ridge(solver=solver))
        try:
            model.fit(inputs, learnt)
        except ValueError:  # an empty vocabulary
            why_not = "the texts have no words"
        else:
            found = model.predict(_inputs(evaluated.rows, features)).reshape(truth.shape)
            linear = RegressionReport.of(labels.names, truth, found)
    return NumberBaselines(len(truth), means, of_mean, linear, None if linear else why_not)


def _limit(evaluated: EncodedSplit) -> int:
    return _MAX_JSON if evaluated.texts.features else _MAX_CHARACTERS


def _linear(
    learnt: Sequence[Row],
    evaluated: Sequence[Row],
    labels: Labels,
    features: int,
    *,
    multi_label: bool,
) -> LinearBaseline | None:
    inputs, classifier = _inputs(learnt, features), LinearSVC(random_state=0)
    model = make_pipeline(
        _features(inputs, features), OneVsRestClassifier(classifier) if multi_label else classifier
    )
    targets = labels.matrix([row.labels for row in learnt])
    with warnings.catch_warnings():
        # Of a label that every row has, or that needs more iterations: it is a baseline as it is.
        warnings.simplefilter("ignore")
        try:
            model.fit(inputs, targets if multi_label else targets.argmax(axis=1))
        except ValueError:  # an empty vocabulary, or a single label
            return None
    found = model.predict(_inputs(evaluated, features))
    if not multi_label:
        found = found[:, None] == np.arange(len(labels))
    truth = labels.matrix([row.labels for row in evaluated])
    return _metrics(truth, found.astype(np.bool_), multi_label=multi_label)


def _inputs(rows: Iterable[Row], features: int) -> list[Item]:
    """The texts of rows, or their sequences as arrays."""
    return [as_numbers(row.text) if features else row.text for row in rows]


def _features(train: Sequence[Item], features: int) -> FeatureUnion | Pipeline:
    """TF-IDF features of texts; the last steps of sequences, with so many numbers each."""
    if features:
        fitting = _MAX_NUMBERS // (len(train) * features)
        steps = max(1, min(max(map(len, train)), _MAX_STEPS, fitting))
        return make_pipeline(
            FunctionTransformer(lambda sequences: _last_steps(sequences, steps, features)),
            SimpleImputer(keep_empty_features=True),
            StandardScaler(),
        )
    return FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+")),  # noqa: S106
            ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))),
        ]
    )


def _last_steps(sequences: Sequence[Numbers], steps: int, features: int) -> NDArray[np.float32]:
    """The last steps of each sequence, `(sequences, steps x features)`; NaN where it has none."""
    matrix = np.full((len(sequences), steps, features), np.nan, dtype=np.float32)
    for row, sequence in zip(matrix, sequences, strict=True):
        numbers = sequence[-steps:]
        row[steps - len(numbers) :] = numbers
    return matrix.reshape(len(sequences), -1)


def _metrics(
    truth: NDArray[np.bool_], found: NDArray[np.bool_], *, multi_label: bool
) -> LinearBaseline:
    occurring: Sequence[int] = np.flatnonzero(truth.any(axis=0) | multi_label).tolist()
    macro, micro = (
        float(f1_score(truth, found, labels=occurring, average=average, zero_division=0))
        for average in ("macro", "micro")
    )
    accuracy = float((truth == found).all(axis=1).mean())
    return LinearBaseline(accuracy, macro, micro if multi_label else None)
