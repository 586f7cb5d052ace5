"""A linear baseline on the language corpus, optionally compared with a model folder.

TF-IDF over one to three characters and a linear support vector machine with default settings,
fitted on `train.csv` and scored on `test.csv`. Nothing is tuned, so `validation.csv` is not read.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from gatewise.service.model.classifier import Classifier
from gatewise.training.evaluation.evaluate import evaluate
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import Row, read_rows
from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer.encoded_rows import encode_rows


@dataclass(frozen=True)
class Score:
    """Quality on the test rows.

    Attributes:
        accuracy: Share of texts with the right label, 0 to 1.
        macro_f1: F1 of each label, averaged with equal weight, 0 to 1.
        rows: Number of texts scored.
    """

    accuracy: float
    macro_f1: float
    rows: int


def linear(train: list[Row], test: list[Row]) -> Score:
    """Fits the baseline on the training rows and scores it on the test rows."""
    classifier = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True),
        LinearSVC(random_state=0),
    )
    classifier.fit([row.text for row in train], [row.label for row in train])
    predicted = classifier.predict([row.text for row in test])
    expected = [row.label for row in test]
    return Score(
        accuracy=float(accuracy_score(expected, predicted)),
        macro_f1=float(f1_score(expected, predicted, average="macro")),
        rows=len(test),
    )


def gatewise(model: Path, test: list[Row]) -> Score:
    """Scores a model folder on the same rows."""
    classifier = Classifier.load(model)
    encoded = StopAtBadRows().keep(encode_rows(classifier.encode, test))
    report = evaluate(classifier, encoded)
    return Score(report.accuracy, report.macro_f1, report.rows)


def main(
    data: Annotated[
        Path, typer.Argument(help="Folder with train.csv and test.csv.", file_okay=False)
    ],
    model: Annotated[Path | None, typer.Option(help="A model folder to compare with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Fit the linear baseline on train.csv and score it on test.csv."""
    try:
        train, test = (
            list(read_rows(data / name, bad_rows=StopAtBadRows()))
            for name in ("train.csv", "test.csv")
        )
        scores = {"TF-IDF, 1-3 characters, LinearSVC": linear(train, test)}
        if model:
            scores["Gatewise"] = gatewise(model, test)
    except GatewiseError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        documents = [{"name": name, **asdict(score)} for name, score in scores.items()]
        typer.echo(json.dumps(documents[0] if len(documents) == 1 else documents))
        return
    table = Table("classifier", "accuracy", "macro F1", title=f"{len(test)} test texts")
    for name, score in scores.items():
        table.add_row(name, f"{score.accuracy:.2%}", f"{score.macro_f1:.2%}")
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    typer.run(main)
