"""Linear models on fixed features: TF-IDF of words and characters, or vectors of an encoder.

C, and with several labels a text the thresholds, are chosen by cross-validation on the training
rows; the model is then trained on all of them.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.svm import LinearSVC

from benchmarks.accuracy.draws import Draw
from benchmarks.accuracy.points import Outcome
from benchmarks.lib.fasttext_format import words
from gatewise.training.evaluation import thresholds

FOLDS = 5

GRIDS = {"svc": (0.1, 0.3, 1, 3, 10), "lr": (1, 4, 16, 64, 256), "vectors": (0.3, 1, 3, 10, 30)}
"""Values of C to choose from; of equals, the lowest."""

# Five characters in a row are millions over long texts: there, the most frequent are kept.
_LONG = 4_000_000  # characters
_BOUNDS = {"min_df": 3, "max_features": 500_000}


def svc(draw: Draw) -> Outcome:
    """A linear support vector machine on TF-IDF."""
    return learn(draw, LinearSVC(random_state=draw.number), "svc", *tfidf(draw))


def logistic_regression(draw: Draw) -> Outcome:
    """Logistic regression, one label against the rest, on TF-IDF."""
    model = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
    return learn(draw, model, "lr", *tfidf(draw))


def on_vectors(draw: Draw, train: Any, test: Any) -> Outcome:
    """Logistic regression on the vectors of an encoder, `(rows, width)`."""
    return learn(draw, LogisticRegression(max_iter=1000), "vectors", train, test)


@lru_cache(maxsize=1)
def tfidf(draw: Draw) -> tuple[Any, Any]:
    """The features of the training and the test rows, `(rows, features)`.

    Words and pairs of words, and two to five characters within words.
    """
    long = sum(map(len, draw.train.texts)) > _LONG
    options: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float32}
    options.update(_BOUNDS if long else {})
    of_words = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), **options
    )
    of_characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **options)
    features = FeatureUnion([("words", of_words), ("characters", of_characters)])
    return features.fit_transform(draw.train.texts), features.transform(draw.test.texts)


def learn(draw: Draw, model: Any, grid: str, train: Any, test: Any) -> Outcome:
    """Chooses C, trains on all training rows, and scores the test rows."""
    if draw.multi_label:
        return _learn_several(draw, model, grid, train, test)
    labels, expected = (np.array(rows.labels).ravel() for rows in (draw.train, draw.test))
    least = int(np.unique(labels, return_counts=True)[1].min())
    folds = StratifiedKFold(max(2, min(FOLDS, least)), shuffle=True, random_state=draw.number)
    search = GridSearchCV(model, _choices(model, grid), cv=folds).fit(train, labels)
    return Outcome(float(search.score(test, expected)), chosen=_chosen(search))


def _learn_several(draw: Draw, model: Any, grid: str, train: Any, test: Any) -> Outcome:
    """One label against the rest, each with the threshold of the best F1 on held-out rows."""
    if not isinstance(model, OneVsRestClassifier):
        model = OneVsRestClassifier(model)
    names = MultiLabelBinarizer().fit(draw.train.labels)
    truth, expected = (names.transform(rows.labels) for rows in (draw.train, draw.test))
    folds = KFold(FOLDS, shuffle=True, random_state=draw.number)
    # Average precision needs no thresholds.
    search = GridSearchCV(model, _choices(model, grid), cv=folds, scoring="average_precision").fit(
        train, truth
    )
    held_out = cross_val_predict(
        search.best_estimator_, train, truth, cv=folds, method="decision_function"
    )
    least = np.array(thresholds.choose(expit(held_out), truth > 0))
    predicted = expit(search.decision_function(test)) >= least
    micro, macro = (
        float(f1_score(expected, predicted, average=average, zero_division=0))
        for average in ("micro", "macro")
    )
    return Outcome(micro, macro, _chosen(search))


def _choices(model: Any, grid: str) -> dict[str, Any]:
    return {"estimator__C" if isinstance(model, OneVsRestClassifier) else "C": GRIDS[grid]}


def _chosen(search: Any) -> str:
    return ", ".join(f"C={value:g}" for value in search.best_params_.values())
