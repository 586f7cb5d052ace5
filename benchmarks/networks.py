"""Every network on one corpus: each cell, direction and read-out, trained as any user would.

One run trains them one after the other and prints a Markdown table of how often each is right,
what it weighs and how long one text takes. Owns the measuring and its table; training, evaluating
and answering are Gatewise's own.
"""

import csv
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import typer
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_folder import ModelFolder
from gatewise.training.config import config as configs
from gatewise.training.config.config import Config
from gatewise.training.config.network_section import Cell, Direction, Readout
from gatewise.training.data.corpora import Corpora
from gatewise.training.network.parameters import parameters
from gatewise.training.network.shape import Shape
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import GatewiseError

CELLS, DIRECTIONS, READOUTS = (get_args(kind) for kind in (Cell, Direction, Readout))


@dataclass(frozen=True)
class Row:
    """What was measured of one network.

    Attributes:
        cell: The recurrent cell.
        direction: Which way the text is read.
        readout: What of the states is read.
        accuracy: Share of the test texts whose label was right.
        macro_f1: Mean F1 of the labels on the test texts.
        formula: How the parameters of the recurrent layer are counted.
        recurrent: What the formula comes to.
        parameters: Numbers in the whole network.
        model_bytes: Size of `onnx/model.onnx`.
        median_ms: Median time of one text, from the string to its scores.
        seconds: Time of the whole training run.
    """

    cell: str
    direction: str
    readout: str
    accuracy: float
    macro_f1: float
    formula: str
    recurrent: int
    parameters: int
    model_bytes: int
    median_ms: float
    seconds: float


HEAD = (
    "| cell | direction | read-out | accuracy | macro-F1 | recurrent layer | parameters of it | "
    "parameters | model.onnx, MB | one text, ms | training, s |\n"
    "|---|---|---|--:|--:|---|--:|--:|--:|--:|--:|"
)


def in_markdown(row: Row) -> str:
    """A row of the table."""
    return (
        f"| {row.cell} | {row.direction} | {row.readout} | {row.accuracy:.3f} | "
        f"{row.macro_f1:.3f} | {row.formula} | {row.recurrent:,} | {row.parameters:,} | "
        f"{row.model_bytes / 1e6:.2f} | {row.median_ms:.3f} | {row.seconds:.0f} |"
    )


def trained(config: Config, corpora: Corpora, texts: Sequence[str]) -> Row:
    """Trains one network and measures it.

    Args:
        config: Every setting.
        corpora: What to learn from, and what to test on.
        texts: Texts to time, one at a time.
    """
    with tempfile.TemporaryDirectory() as parent:
        out = Path(parent) / "model"
        start = time.perf_counter()
        run = train(corpora, out, config, StopAtBadRows(), lambda _: None)
        seconds = time.perf_counter() - start
        median = median_ms(Classifier.load(out, threads=1), texts)
        model_bytes = ModelFolder(out).model.stat().st_size
    if run.test is None:
        raise GatewiseError("expected a test corpus")
    network = config.network
    shape = Shape(run.tokens, run.labels, network.ngram_lengths(config.tokens.unit))
    recurrent = next(
        layer for layer in parameters(network, shape) if layer.layer.startswith("recurrent")
    )
    return Row(
        network.cell,
        network.direction,
        network.readout,
        accuracy=run.test.accuracy,
        macro_f1=run.test.macro_f1,
        formula=recurrent.formula,
        recurrent=recurrent.count,
        parameters=run.parameters,
        model_bytes=model_bytes,
        median_ms=median,
        seconds=seconds,
    )


def median_ms(classifier: Classifier, texts: Sequence[str]) -> float:
    """Median milliseconds of a text, asked for alone; the first round is not counted."""
    times = []
    for counted in (False, True):
        for text in texts:
            start = time.perf_counter()
            classifier.predict_proba([text])
            if counted:
                times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def networks(only: Sequence[str]) -> Iterator[list[str]]:
    """The assignments of each network; of those that are named, if any are."""
    for cell, direction, readout in itertools.product(CELLS, DIRECTIONS, READOUTS):
        if only and not {cell, direction, readout} & set(only):
            continue
        yield [
            f"network.cell={cell}",
            f"network.direction={direction}",
            f"network.readout={readout}",
        ]


def main(
    folder: Annotated[
        Path, typer.Argument(help="Folder with train.csv and test.csv, columns text and label.")
    ] = Path("../shared/data/trec6"),
    epochs: Annotated[int, typer.Option(min=1, help="Most epochs of each.")] = 5,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of every run.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only networks with this cell, direction or read-out.")
    ] = None,
) -> None:
    """Train every cell, direction and read-out on one corpus, and print one table."""
    corpora = Corpora(train=folder / "train.csv", test=folder / "test.csv")
    try:
        with (folder / "test.csv").open(encoding="utf-8", newline="") as file:
            texts = [row["text"] for row in csv.DictReader(file)][:500]
        typer.echo(HEAD)
        for choice in networks(only or []):
            settings = [f"training.epochs={epochs}", *(assignments or []), *choice]
            typer.echo(in_markdown(trained(configs.load(assignments=settings), corpora, texts)))
    except (GatewiseError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
