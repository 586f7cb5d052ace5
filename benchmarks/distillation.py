"""What soft labels are worth: a small model that learns from the averaged answers of larger ones.

Trains the larger models and averages their probabilities, trains the small model once on the labels
and once on the averages, and compares the two on rows that neither saw.
"""

import csv
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora
from gatewise.training.pipeline import train
from gatewise.training.run_metrics import RunMetrics
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows, read_texts
from numpy.typing import NDArray

import gatewise

PREFIX = "probability_"
LARGE = ("network.units=128", "network.embedding_size=128")
SMALL = ("network.units=16", "network.embedding_size=16", "network.ngrams=[]")

Probabilities = NDArray[np.float64]


def trained(corpora: Corpora, out: Path, settings: Sequence[str]) -> RunMetrics:
    """One model, with a line for each epoch."""
    run = train(corpora, out, config.load(assignments=settings), StopAtBadRows(), lambda _: None)
    if run.test is None:
        raise ValueError("a test corpus is needed")
    typer.echo(f"{out.name}: {run.parameters:,} parameters, test {run.test.accuracy:.4f}", err=True)
    return run


def averaged(models: Sequence[Path], texts: Sequence[str]) -> tuple[list[str], Probabilities]:
    """Labels, and the mean of the models' probabilities for each text, `(texts, labels)`."""
    classifiers = [gatewise.load(model) for model in models]
    answers = [classifier.predict_proba(texts).astype(np.float64) for classifier in classifiers]
    return classifiers[0].classes_, np.mean(answers, axis=0)


def write_soft(
    path: Path, labels: Sequence[str], texts: Sequence[str], soft: Probabilities
) -> Path:
    """A corpus of soft labels."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", *(f"{PREFIX}{label}" for label in labels)])
        writer.writerows([text, *shares] for text, shares in zip(texts, soft.tolist(), strict=True))
    return path


def sentences(path: Path, count: int) -> Iterator[str]:
    """Sentences of texts without labels, of five words to forty."""
    for text in read_texts(path, bad_rows=StopAtBadRows()):
        for sentence in text.replace("<br />", " ").split(". "):
            if 5 <= len(sentence.split()) <= 40:
                yield sentence
                count -= 1
                if not count:
                    return


def main(
    data: Annotated[Path, typer.Argument(help="Folder with train.csv, valid.csv and test.csv.")],
    unlabelled: Annotated[
        Path | None, typer.Option(help="A corpus whose sentences the larger models label too.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many of those sentences.")] = 20_000,
    large_set: Annotated[
        list[str] | None, typer.Option(help="A further setting of the larger models.")
    ] = None,
    teachers: Annotated[int, typer.Option(help="Larger models.")] = 5,
    seeds: Annotated[int, typer.Option(help="Small models of each kind.")] = 3,
) -> None:
    """Prints the accuracy on test.csv with and without soft labels."""
    hard = Corpora(data / "train.csv", data / "valid.csv", data / "test.csv")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        models = [folder / f"large-{seed}" for seed in range(1, teachers + 1)]
        alone = [
            trained(hard, model, [*LARGE, *(large_set or ()), f"training.seed={seed}"])
            for seed, model in enumerate(models, 1)
        ]
        texts = [row.text for row in read_rows(hard.train, bad_rows=StopAtBadRows())]
        if unlabelled:
            texts += sentences(unlabelled, count)
        soft = Corpora(
            write_soft(folder / "soft.csv", *_with_texts(models, texts)), hard.validation, hard.test
        )
        test = list(read_rows(hard.test or data, bad_rows=StopAtBadRows()))
        labels, answers = averaged(models, [row.text for row in test])
        best = np.array(labels)[answers.argmax(axis=1)]
        together = float(np.mean(best == np.array([row.label for row in test])))
        small = {
            name: [
                trained(
                    corpora, folder / f"small-{name}-{seed}", [*settings, f"training.seed={seed}"]
                )
                for seed in range(1, seeds + 1)
            ]
            for name, corpora, settings in (
                ("labels", hard, SMALL),
                ("soft", soft, (*SMALL, f"corpus.probability_prefix={PREFIX}")),
            )
        }
    typer.echo(f"| model | parameters | test accuracy, median of {seeds} |")
    typer.echo("|---|--:|--:|")
    typer.echo(f"| one large | {alone[0].parameters:,} | {_median(alone):.4f} |")
    typer.echo(f"| the {teachers} large averaged | | {together:.4f} |")
    for name, runs in small.items():
        typer.echo(f"| small, from {name} | {runs[0].parameters:,} | {_median(runs):.4f} |")


def _with_texts(
    models: Sequence[Path], texts: Sequence[str]
) -> tuple[list[str], Sequence[str], Probabilities]:
    labels, soft = averaged(models, texts)
    return labels, texts, soft


def _median(runs: Sequence[RunMetrics]) -> float:
    return statistics.median(run.test.accuracy for run in runs if run.test)


if __name__ == "__main__":
    typer.run(main)
