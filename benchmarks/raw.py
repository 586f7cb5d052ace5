"""From raw texts to a classifier, by Gatewise's default settings and by two that are no network.

    python benchmarks/raw.py WAY FOLDER

What a process does, from its first import on, is timed; the folder holds `train.csv` and
`test.csv`. Prints one JSON object.
"""

import csv
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from process import FailedError, last_line

Rows = Sequence[tuple[str, str]]

_FASTTEXT_GOOD = {"epoch": 25, "lr": 0.5, "wordNgrams": 2}


@dataclass(frozen=True)
class Made:
    """What one run gave.

    Attributes:
        seconds: By the clock, from the first import to the trained classifier; for Gatewise with
            everything that `gatewise train` does, export, evaluation and report.
        processor_seconds: The same by the processor, its cores added up.
        accuracy: Share of the test texts whose label was right.
    """

    seconds: float
    processor_seconds: float
    accuracy: float


class _Watch:
    def __init__(self) -> None:
        self._began, self._processor = time.perf_counter(), time.process_time()

    def made(self, accuracy: Callable[[], float]) -> Made:
        """What was made until now; the accuracy is counted after the clock has stopped."""
        seconds = time.perf_counter() - self._began
        processor = time.process_time() - self._processor
        return Made(seconds, processor, accuracy())


def gatewise(folder: Path) -> Made:
    """`gatewise train` without any setting."""
    watch = _Watch()
    from gatewise.training.config import config as configs  # noqa: PLC0415 — imports are part of what is timed
    from gatewise.training.data.corpora import Corpora  # noqa: PLC0415
    from gatewise.training.pipeline import train  # noqa: PLC0415
    from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows  # noqa: PLC0415

    corpora = Corpora(folder / "train.csv", test=folder / "test.csv")
    with TemporaryDirectory() as out:
        run = train(corpora, Path(out) / "model", configs.load(), StopAtBadRows(), lambda _: None)
    if run.test is None:
        raise ValueError("expected a test corpus")
    accuracy = run.test.accuracy
    return watch.made(lambda: accuracy)


def fasttext_default(folder: Path) -> Made:
    """What fastText does without any setting."""
    return _fasttext(folder, {})


def fasttext_good(folder: Path) -> Made:
    """More epochs, a higher rate and pairs of words."""
    return _fasttext(folder, _FASTTEXT_GOOD)


def tfidf(folder: Path) -> Made:
    """Words and pairs of them, weighted by TF-IDF, and a logistic regression."""
    watch = _Watch()
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415

    texts, labels = zip(*_rows(folder / "train.csv"), strict=True)
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]"),
        LogisticRegression(C=10, max_iter=1000),
    )
    model.fit(texts, labels)

    def accuracy() -> float:
        texts, labels = zip(*_rows(folder / "test.csv"), strict=True)
        return float(model.score(texts, labels))

    return watch.made(accuracy)


WAYS = {
    "Gatewise, default settings": gatewise,
    "fastText, its own settings": fasttext_default,
    "fastText, 25 epochs, rate 0.5, pairs of words": fasttext_good,
    "TF-IDF and logistic regression": tfidf,
}


def run(way: str, folder: Path) -> Made:
    """Makes a classifier in a process of its own.

    Raises:
        FailedError: If the process failed.
    """
    try:
        return Made(**json.loads(last_line(Path(__file__).name, [way, str(folder)])))
    except FailedError as error:
        raise FailedError(f"{way}: {error}") from None


def median(runs: Sequence[Made]) -> Made:
    """The median of each figure."""
    return Made(
        seconds=statistics.median(made.seconds for made in runs),
        processor_seconds=statistics.median(made.processor_seconds for made in runs),
        accuracy=statistics.median(made.accuracy for made in runs),
    )


def _fasttext(folder: Path, options: dict[str, float]) -> Made:
    watch = _Watch()
    import fasttext  # noqa: PLC0415

    labels: dict[str, str] = {}
    with TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "train.txt"
        with corpus.open("w", encoding="utf-8") as file:
            for text, label in _rows(folder / "train.csv"):
                number = labels.setdefault(label, f"__label__{len(labels)}")
                file.write(f"{number} {_in_words(text)}\n")
        # More threads than texts to share leave one without any, and it fails.
        threads = 1 if corpus.stat().st_size < 100_000 else os.cpu_count() or 1
        model = fasttext.train_supervised(str(corpus), thread=threads, verbose=0, **options)

    def accuracy() -> float:
        rows = _rows(folder / "test.csv")
        (answers, _) = model.predict([_in_words(text) for text, _ in rows])
        right: int = sum(a[0] == labels.get(row[1]) for a, row in zip(answers, rows, strict=True))
        return right / len(rows)

    return watch.made(accuracy)


def _in_words(text: str) -> str:
    return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))


def _rows(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(WAYS[sys.argv[1]](Path(sys.argv[2])))) + "\n")
