"""The classifiers that Gatewise is compared with: bags of words and characters, and fastText.

Each learns from the train part of a split, chooses its settings on the validation part, and is
asked for the test part once, at the end. Knows nothing of other classifiers, nor of how figures
are kept. A further one, on sentence embeddings, is in `embeddings`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC
from splits import Part, Split
from tokenizers import normalizers, pre_tokenizers

Settings = dict[str, Any]

SVC_GRID = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
LR_GRID = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)
"""Values of C to choose from, in ascending order."""

PATIENCE = 2
"""Values of C in a row that are worse than the best, after which no higher ones are tried."""

# Five characters in a row are millions over long texts: there, the most frequent are kept.
_LONG = 4_000_000  # characters
_BOUNDS: Settings = {"min_df": 3, "max_features": 500_000}


@dataclass(frozen=True)
class Outcome:
    """What came of a classifier on a split.

    Attributes:
        accuracy: Share of the test texts whose label was right.
        validation: The same of the validation texts.
        seconds: From the texts to the trained classifier, settings chosen; of the processor, all
            threads added up, for a clock would tell how busy the machine was.
        chosen: The settings that were chosen, in words.
    """

    accuracy: float
    validation: float
    seconds: float
    chosen: str


class Classifier(Protocol):
    """What is compared."""

    @property
    def title(self) -> str:
        """What the table calls it."""

    def settings(self, name: str) -> Settings:
        """What its figures on the set of that name depend on, beside the split and the seed."""

    def measure(self, split: Split, seed: int) -> Outcome:
        """Trains it, and asks it for the test texts."""


class Linear(Protocol):
    """A linear classifier of scikit-learn, as far as it is used here."""

    def fit(self, features: Any, labels: Sequence[str]) -> "Linear":
        """Learns."""

    def score(self, features: Any, labels: Sequence[str]) -> float:
        """Share of the labels that are right."""


@dataclass(frozen=True)
class Tfidf:
    """Words, pairs of words and one to five characters, weighted by TF-IDF, and a linear model."""

    title: str
    kind: Literal["svc", "lr"]

    def settings(self, name: str) -> Settings:  # noqa: ARG002 — the same for every set
        """The grid of C, and what the features are."""
        features = {"text": between_spaces("TEXT"), "long": _LONG, **_BOUNDS}
        return {"kind": self.kind, "grid": self._grid, **features}

    def measure(self, split: Split, seed: int) -> Outcome:
        """Finds the features in the training texts, and C on the validation texts."""
        start = time.process_time()
        features = tfidf(split.train)
        train = features.fit_transform(split.train.texts)
        validation = features.transform(split.validation.texts)

        def fitted(c: float) -> Linear:
            model: Linear = (
                LinearSVC(C=c, random_state=seed)
                if self.kind == "svc"
                else OneVsRestClassifier(LogisticRegression(C=c, solver="liblinear"))
            )
            return model.fit(train, split.train.labels)

        best = best_of(self._grid, fitted, validation, split.validation.labels)
        seconds = time.process_time() - start
        accuracy = best.model.score(features.transform(split.test.texts), split.test.labels)
        return Outcome(accuracy, best.validation, seconds, f"C={best.c:g}")

    @property
    def _grid(self) -> tuple[float, ...]:
        return SVC_GRID if self.kind == "svc" else LR_GRID


@dataclass(frozen=True)
class Best:
    """The best of a grid.

    Attributes:
        model: The classifier.
        c: Its C.
        validation: Its accuracy on the validation rows.
    """

    model: Linear
    c: float
    validation: float


def best_of(
    grid: Sequence[float],
    fitted: Callable[[float], Linear],
    features: Any,
    labels: Sequence[str],
) -> Best:
    """Walks up a grid of C until it does harm, and takes the best; of equals, the lowest C.

    Args:
        grid: Values of C, in ascending order.
        fitted: Trains a classifier with one of them.
        features: Those of the validation texts.
        labels: Those of the validation texts.
    """
    best: Best | None = None
    worse = 0
    for c in grid:
        model = fitted(c)
        accuracy = float(model.score(features, labels))
        worse = worse + 1 if best and accuracy < best.validation else 0
        if best is None or accuracy > best.validation:
            best = Best(model, c, accuracy)
        if worse == PATIENCE:
            break
    if best is None:
        raise ValueError("expected a grid of one value or more, received none")
    return best


def tfidf(train: Part) -> Any:
    """The features of the bags of words and characters, for these training texts."""
    long = sum(map(len, train.texts)) > _LONG
    options: Settings = {"sublinear_tf": True, "dtype": np.float32, **(_BOUNDS if long else {})}
    of_words = TfidfVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), **options
    )
    of_characters = TfidfVectorizer(
        analyzer="char", preprocessor=between_spaces, ngram_range=(1, 5), **options
    )
    return FeatureUnion([("words", of_words), ("characters", of_characters)])


def between_spaces(text: str) -> str:
    """A text in lower case whose characters tell where it begins and ends, as a name's do.

    >>> between_spaces("O'Hara")
    " o'hara "
    """
    return f" {text.lower()} "


_CLEAN = normalizers.BertNormalizer(strip_accents=False)
_CUT = pre_tokenizers.BertPreTokenizer()


def words(text: str) -> list[str]:
    """The words of a text as BERT first cuts it: in lower case, punctuation and Han letters apart.

    >>> words("It's 2D: 巅峰")
    ['it', "'", 's', '2d', ':', '巅', '峰']
    """
    return [word for word, _ in _CUT.pre_tokenize_str(_CLEAN.normalize_str(text))]


@dataclass(frozen=True)
class FastText:
    """FastText (Joulin et al. 2017, arXiv:1607.01759), which looks for its settings itself.

    Attributes:
        seconds: How long it looks, by the set's name and the seed.
        told: What that depends on, by the set's name.
    """

    seconds: Callable[[str, int], float]
    told: Callable[[str], Settings]
    title: str = "fastText, autotuned"

    def settings(self, name: str) -> Settings:
        """How long it looks for its settings."""
        return self.told(name)

    def measure(self, split: Split, seed: int) -> Outcome:
        """Has it look for settings by its accuracy on the validation texts."""
        # Imported late: a package that is needed for this row alone.
        import fasttext  # noqa: PLC0415

        duration = max(1, round(self.seconds(split.name, seed)))
        names = sorted(set(split.train.labels))
        ids = {name: f"__label__{number}" for number, name in enumerate(names)}
        start = time.process_time()
        with TemporaryDirectory() as scratch:
            train, validation = (
                fasttext_lines(Path(scratch) / f"{name}.txt", part, ids)
                for name, part in (("train", split.train), ("validation", split.validation))
            )
            model = fasttext.train_supervised(
                input=str(train),
                autotuneValidationFile=str(validation),
                autotuneDuration=duration,
                thread=1,
                seed=seed,
                verbose=0,
            )
        seconds = time.process_time() - start
        found = ", ".join(
            f"{name}={getattr(model, name)}"
            for name in ("lr", "dim", "epoch", "wordNgrams", "minn", "maxn", "bucket")
        )
        accuracy = fasttext_accuracy(model, split.test, ids)
        return Outcome(accuracy, fasttext_accuracy(model, split.validation, ids), seconds, found)


def fasttext_lines(path: Path, part: Part, ids: dict[str, str]) -> Path:
    """A part as fastText reads it: a line for each text, its label first."""
    with path.open("w", encoding="utf-8") as file:
        for text, label in zip(part.texts, part.labels, strict=True):
            file.write(f"{ids[label]} {' '.join(words(text))}\n")
    return path


def fasttext_accuracy(model: Any, part: Part, ids: dict[str, str]) -> float:
    """Share of a part's texts that a model of fastText gives their label."""
    answers, _ = model.predict([" ".join(words(text)) for text in part.texts])
    truth = [ids[label] for label in part.labels]
    return float(np.mean([bool(a) and a[0] == t for a, t in zip(answers, truth, strict=True)]))
