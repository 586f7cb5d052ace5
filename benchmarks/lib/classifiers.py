"""The classifiers that are compared: Gatewise, bags of words and characters, and fastText.

Each trains on the training rows of a split, chooses its settings on the validation rows, and is
asked for the test rows once, at the end.
"""

import time
from collections.abc import Callable, Mapping, Sequence
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
from tokenizers import normalizers, pre_tokenizers

from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.corpora import Rows, Split
from benchmarks.lib.results import Result
from gatewise.training.config import config as configs
from gatewise.training.config.config import Config
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows

Settings = dict[str, Any]

C_GRIDS = {
    "svc": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    "lr": (0.25, 1.0, 4.0, 16.0, 64.0, 256.0),
}
"""Values of C to choose from, in ascending order."""

PATIENCE = 2
"""Values of C in a row that are worse than the best, after which no higher ones are tried."""

# Five characters in a row are millions over long texts: there, the most frequent are kept.
_LONG = 4_000_000  # characters
_BOUNDS: Settings = {"min_df": 3, "max_features": 500_000}


class Classifier(Protocol):
    """What is compared."""

    @property
    def title(self) -> str:
        """What the table calls it."""

    def settings(self, corpus: str) -> Settings:
        """What its results on a corpus depend on, besides the split and the seed."""

    def measure(self, split: Split, seed: int) -> Result:
        """Trains it, and asks it for the test texts."""


@dataclass(frozen=True)
class Gatewise:
    """Gatewise, trained as `gatewise train` does it, with some settings."""

    assignments: Sequence[str] = ()
    title: str = "Gatewise"

    def config(self, seed: int = 1) -> Config:
        """Every setting of a run."""
        assignments = [*self.assignments, f"training.seed={seed}"]
        return configs.load(assignments=assignments).without_places()

    def settings(self, corpus: str) -> Settings:  # noqa: ARG002 — the same for every corpus
        """Every setting; of a folder or file of vectors, its name."""
        settings = self.config().model_dump(mode="json")
        if vectors := settings["network"]["vectors"]:
            settings["network"]["vectors"] = Path(vectors).name
        return settings

    def measure(self, split: Split, seed: int) -> Result:
        """Trains a model folder, and takes the figures that it was written with."""
        with split.written() as corpora, TemporaryDirectory() as scratch:
            start = time.process_time()
            config, out = self.config(seed), Path(scratch) / "model"
            run = train(corpora, out, config, StopAtBadRows(), lambda _: None)
            seconds = time.process_time() - start
        if run.test is None:
            raise BenchmarkError("expected a test corpus")
        parameters = f"{run.parameters:,} parameters"
        return Result(run.test.accuracy, run.validation.accuracy, seconds, parameters)


@dataclass(frozen=True)
class Tfidf:
    """Words, pairs of words and one to five characters, weighted by TF-IDF, and a linear model."""

    title: str
    kind: Literal["svc", "lr"]

    def settings(self, corpus: str) -> Settings:  # noqa: ARG002 — the same for every corpus
        """The grid of C, and what the features are."""
        features = {"text": between_spaces("TEXT"), "long": _LONG, **_BOUNDS}
        return {"kind": self.kind, "grid": C_GRIDS[self.kind], **features}

    def measure(self, split: Split, seed: int) -> Result:
        """Finds the features in the training texts, and C on the validation texts."""
        start = time.process_time()
        features = tfidf_features(split.train)
        train = features.fit_transform(split.train.texts)
        validation = features.transform(split.validation.texts)

        def fitted(c: float) -> Any:
            if self.kind == "svc":
                model = LinearSVC(C=c, random_state=seed)
            else:
                model = OneVsRestClassifier(LogisticRegression(C=c, solver="liblinear"))
            return model.fit(train, split.train.labels)

        def accuracy_of(model: Any) -> float:
            return float(model.score(validation, split.validation.labels))

        model, c, accuracy = best_of(C_GRIDS[self.kind], fitted, accuracy_of)
        seconds = time.process_time() - start
        test = model.score(features.transform(split.test.texts), split.test.labels)
        return Result(float(test), accuracy, seconds, f"C={c:g}")


def best_of(
    grid: Sequence[float], fitted: Callable[[float], Any], accuracy_of: Callable[[Any], float]
) -> tuple[Any, float, float]:
    """Walks up a grid of C until accuracy falls; of equals, the lowest C.

    Returns:
        The best model, its C, and its accuracy.
    """
    best: tuple[Any, float, float] = (None, 0.0, -1.0)
    worse = 0
    for c in grid:
        model = fitted(c)
        accuracy = float(accuracy_of(model))
        worse = worse + 1 if accuracy < best[2] else 0
        if accuracy > best[2]:
            best = model, c, accuracy
        if worse == PATIENCE:
            break
    return best


def tfidf_features(train: Rows) -> Any:
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
    """A text in lower case, with a space at either end so that n-grams show where it begins.

    >>> between_spaces("O'Hara")
    " o'hara "
    """
    return f" {text.lower()} "


_NORMALIZER = normalizers.BertNormalizer(strip_accents=False)
_PRE_TOKENIZER = pre_tokenizers.BertPreTokenizer()


def words(text: str) -> list[str]:
    """The words of a text as BERT's pre-tokenizer finds them, in lower case.

    >>> words("It's 2D: 巅峰")
    ['it', "'", 's', '2d', ':', '巅', '峰']
    """
    normalized = _NORMALIZER.normalize_str(text)
    return [word for word, _ in _PRE_TOKENIZER.pre_tokenize_str(normalized)]


@dataclass(frozen=True)
class FastText:
    """FastText (Joulin et al. 2017, arXiv:1607.01759), whose autotune searches for some seconds."""

    seconds: float
    title: str = "fastText, autotuned"

    def settings(self, corpus: str) -> Settings:  # noqa: ARG002 — the same for every corpus
        """How long it searches for its settings."""
        return {"seconds": self.seconds}

    def measure(self, split: Split, seed: int) -> Result:
        """Has it search for settings by its accuracy on the validation texts."""
        import fasttext  # noqa: PLC0415 — of an extra, for this row alone

        ids = fasttext_ids(split.train)
        start = time.process_time()
        with TemporaryDirectory() as scratch:
            train, validation = (
                fasttext_file(Path(scratch) / f"{name}.txt", rows, ids)
                for name, rows in (("train", split.train), ("validation", split.validation))
            )
            model = fasttext.train_supervised(
                input=str(train),
                autotuneValidationFile=str(validation),
                autotuneDuration=max(1, round(self.seconds)),
                thread=1,
                seed=seed,
                verbose=0,
            )
        seconds = time.process_time() - start
        names = ("lr", "dim", "epoch", "wordNgrams", "minn", "maxn", "bucket")
        chosen = ", ".join(f"{name}={getattr(model, name)}" for name in names)
        test, validated = (
            fasttext_accuracy(model, rows, ids) for rows in (split.test, split.validation)
        )
        return Result(test, validated, seconds, chosen)


def fasttext_ids(train: Rows) -> dict[str, str]:
    """What each label is called in fastText's files: labels may hold spaces there."""
    return {name: f"__label__{number}" for number, name in enumerate(sorted(set(train.labels)))}


def fasttext_file(path: Path, rows: Rows, ids: Mapping[str, str]) -> Path:
    """Writes rows as fastText reads them: a line for each text, its label first."""
    with path.open("w", encoding="utf-8") as file:
        for text, label in zip(rows.texts, rows.labels, strict=True):
            file.write(f"{ids[label]} {' '.join(words(text))}\n")
    return path


def fasttext_accuracy(model: Any, rows: Rows, ids: Mapping[str, str]) -> float:
    """Share of the rows that a model of fastText gives their label."""
    answers, _ = model.predict([" ".join(words(text)) for text in rows.texts])
    pairs = zip(answers, rows.labels, strict=True)
    return float(np.mean([bool(answer) and answer[0] == ids[label] for answer, label in pairs]))
