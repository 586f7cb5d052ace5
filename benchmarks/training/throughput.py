"""How fast a network is trained: Gatewise, Keras and PyTorch on the same texts, in turns."""

import json
import os
import pickle
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from benchmarks.lib import corpora
from benchmarks.lib.command import (
    DATA,
    AsJson,
    BenchmarkError,
    CorpusFolder,
    TrainingSettings,
    command,
)
from benchmarks.lib.report import Row, report
from benchmarks.lib.subprocesses import last_line
from benchmarks.lib.timing import rotated
from benchmarks.training.frameworks.shared import EncodedTexts, Recipe, TrainingRun
from benchmarks.training.frameworks.worker import FRAMEWORKS, GATEWISE
from gatewise.training.config import config as configs
from gatewise.training.config.config import Config
from gatewise.training.data import corpora as reading
from gatewise.training.data.corpora import Corpora
from gatewise.training.data.examples import Examples
from gatewise.training.network.shape import Shape
from gatewise.training.preparation import prepare
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows


def encode(
    folder: Path, rows: int | None, config: Config, scratch: Path
) -> tuple[EncodedTexts, EncodedTexts, Shape]:
    """Builds the vocabulary and encodes both parts, as `gatewise train` does.

    The test texts stand in place of the validation texts, by which nothing is chosen here, so that
    every training text is trained on.
    """
    corpus = corpora.read(folder)
    train = corpus.train.sample(rows).write(scratch / "train.csv")
    test = corpus.test.sample(rows).write(scratch / "test.csv")
    stop = StopAtBadRows()
    found = reading.read(Corpora(train, validation=test), config, stop, scratch)
    prepared = prepare(found, config, stop, scratch)
    encoded = prepared.corpus
    train_texts = _in_memory(encoded.train)
    return train_texts, _in_memory(encoded.validation.examples), prepared.blueprint.shape


def _in_memory(examples: Examples) -> EncodedTexts:
    rows = np.arange(len(examples))
    return EncodedTexts(examples.ids(rows), examples.targets(rows).astype(np.int32))


def recipe_of(config: Config, shape: Shape, cell: Literal["gru", "lstm"]) -> Recipe:
    """The recipe with the sizes of Gatewise's default network."""
    rate, epochs = config.training.learning_rate, config.training.epochs
    if rate == "auto" or epochs == "auto":
        raise BenchmarkError("expected numbers for learning_rate and epochs, received auto")
    return Recipe(
        cell,
        vocab_size=shape.vocab_size,
        classes=shape.classes,
        embedding_size=config.network.embedding_size,
        units=config.network.units,
        dropout=config.network.dropout,
        batch_size=config.training.batch_size,
        epochs=epochs,
        learning_rate=rate,
        weight_decay=config.training.weight_decay,
        seed=config.training.seed,
    )


def measure(
    recipe: Recipe,
    train: EncodedTexts,
    test: EncodedTexts,
    frameworks: Sequence[str],
    rounds: int,
) -> list[Row]:
    """Trains in every framework once a round, each round with another seed."""
    runs: dict[str, list[TrainingRun]] = {framework: [] for framework in frameworks}
    for framework in rotated(frameworks, rounds):
        seeded = replace(recipe, seed=recipe.seed + len(runs[framework]))
        runs[framework].append(run(framework, seeded, train, test))
    own = _rates(runs[GATEWISE], len(train))
    return [summary(name, each, len(train), own) for name, each in runs.items()]


def run(framework: str, recipe: Recipe, train: EncodedTexts, test: EncodedTexts) -> TrainingRun:
    """Trains in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arguments.pickle"
        file.write_bytes(pickle.dumps((recipe, train, test)))
        try:
            line = last_line("benchmarks.training.frameworks.worker", [framework, str(file)])
        except BenchmarkError as error:
            raise BenchmarkError(f"{framework}: {error}") from None
    return TrainingRun(**json.loads(line))


def summary(name: str, runs: Sequence[TrainingRun], texts: int, own: Sequence[float]) -> Row:
    """The rounds of one framework, which trained on so many texts in each epoch.

    The first epoch of each is left out; the ratio is to `own`, Gatewise's rates.
    """
    rates = _rates(runs, texts)
    processor = [statistics.median(run.processor_seconds[1:]) for run in runs]
    accuracies = [run.accuracy for run in runs]
    return {
        "what": name,
        "texts/s": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "ratio": statistics.median(rates) / statistics.median(own),
        "processor, ms a text": 1000 * statistics.median(processor) / texts,
        "first epoch, s": statistics.median(run.seconds[0] for run in runs),
        "accuracy": statistics.mean(accuracies),
        "lowest accuracy": min(accuracies),
        "highest accuracy": max(accuracies),
        "parameters": runs[0].parameters,
    }


def _rates(runs: Sequence[TrainingRun], texts: int) -> list[float]:
    return [texts / statistics.median(run.seconds[1:]) for run in runs]


@command
def main(
    folder: CorpusFolder = DATA / "trec6",
    cell: Annotated[Literal["gru", "lstm"], typer.Option(help="The recurrent cell.")] = "lstm",
    epochs: Annotated[int, typer.Option(min=2, help="Epochs; the first is not counted.")] = 5,
    rows: Annotated[
        int | None, typer.Option(min=2, help="Most rows of train and of test; by default all.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, each of another seed.")] = 3,
    only: Annotated[list[str] | None, typer.Option(help="Gatewise and these only.")] = None,
    settings: TrainingSettings = None,
    as_json: AsJson = False,
) -> None:
    """Train the same network in every framework, and print how fast."""
    load = os.getloadavg()[0]
    frameworks = [name for name in FRAMEWORKS if name == GATEWISE or not only or name in only]
    if find_spec("torch") is None:
        typer.echo('PyTorch is left out: pip install "gatewise[peers]"', err=True)
        frameworks = [name for name in frameworks if not name.startswith("PyTorch")]
    fixed = ["corpus.duplicates=ignore", f"training.epochs={epochs}"]
    config = configs.load(assignments=[*fixed, *(settings or [])])
    with tempfile.TemporaryDirectory() as scratch:
        train, test, shape = encode(folder, rows, config, Path(scratch))
    measured = measure(recipe_of(config, shape, cell), train, test, frameworks, rounds)
    tokens = float(train.lengths.mean())
    facts = {"corpus": folder.name, "texts": len(train), "tokens a text": tokens, "cell": cell}
    rest = {"epochs": epochs, "rounds": rounds, "load before": load}
    report({"training": measured}, facts={**facts, **rest}, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
