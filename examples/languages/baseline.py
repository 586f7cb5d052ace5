"""Score a linear classifier on the language corpus: the number a neural one has to beat.

This file owns one fixed recipe, TF-IDF over one to three characters and a linear support vector
machine with default settings, fitted on `train.csv` and scored on `test.csv`. Nothing is tuned,
so `validation.csv` is not read. It does not know where the corpus comes from; any folder with
these two files and the columns `text` and `label` will do.
"""

import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

COLUMNS = ["text", "label"]


class DataError(Exception):
    """A data file is missing or is not what was expected."""


@dataclass(frozen=True)
class Examples:
    """Texts and their labels, of equal length."""

    texts: list[str]
    labels: list[str]


@dataclass(frozen=True)
class Score:
    """Quality on the test split.

    Attributes:
        accuracy: Share of texts with the right label, 0 to 1.
        macro_f1: F1 of each label, averaged with equal weight, 0 to 1.
        rows: Number of texts scored.
        seconds: Time for fitting and scoring together.
    """

    accuracy: float
    macro_f1: float
    rows: int
    seconds: float


def read_examples(path: Path) -> Examples:
    """Read a CSV file with the columns `text` and `label`.

    Raises:
        DataError: The file is missing, empty, or has other columns.
    """
    if not path.is_file():
        raise DataError(f"Expected a data file at {path}, found none; run prepare.py first.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if header != COLUMNS:
            raise DataError(f"{path}, line 1: expected the columns {COLUMNS}, received {header}.")
        rows = []
        for row in reader:
            if len(row) != len(COLUMNS):
                raise DataError(
                    f"{path}, line {reader.line_num}: expected {len(COLUMNS)} fields, "
                    f"received {len(row)}."
                )
            rows.append(row)
    if not rows:
        raise DataError(f"{path}: expected at least one row below the header, received none.")
    return Examples([text for text, _ in rows], [label for _, label in rows])


def make_classifier() -> Pipeline:
    """Compose the vectorizer and the classifier, not fitted yet."""
    return make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, lowercase=True),
        LinearSVC(random_state=0),
    )


def evaluate(train: Examples, test: Examples) -> Score:
    """Fit on one split and score on the other.

    >>> train = Examples(["guten Tag", "gute Nacht", "good day"], ["de", "de", "en"])
    >>> evaluate(train, Examples(["gute Tage", "good days"], ["de", "en"])).accuracy
    1.0
    """
    start = time.perf_counter()
    classifier = make_classifier().fit(train.texts, train.labels)
    predicted = classifier.predict(test.texts)
    return Score(
        accuracy=float(accuracy_score(test.labels, predicted)),
        macro_f1=float(f1_score(test.labels, predicted, average="macro")),
        rows=len(test.texts),
        seconds=time.perf_counter() - start,
    )


def main(
    data: Annotated[
        Path, typer.Argument(help="Folder with train.csv and test.csv.", file_okay=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Fit the linear baseline on train.csv and score it on test.csv."""
    try:
        score = evaluate(read_examples(data / "train.csv"), read_examples(data / "test.csv"))
    except DataError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        shown = {"accuracy": score.accuracy, "macro_f1": score.macro_f1, "rows": score.rows}
        typer.echo(json.dumps(shown))
        return
    typer.echo(f"accuracy {score.accuracy:.2%}   macro-F1 {score.macro_f1:.2%}")
    typer.echo(f"{score.rows} test texts, {score.seconds:.1f} s")


if __name__ == "__main__":
    typer.run(main)
