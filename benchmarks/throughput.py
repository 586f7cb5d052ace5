"""How fast a network is trained: Gatewise, Keras and PyTorch on the same texts, in turns.

Prints one table of texts a second and one of the time from raw texts to a classifier. Owns the
rounds and the tables; what is trained is in `recipe`, and each framework has a module of its own.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import raw
import texts as sets
import typer
from gatewise.training.config import config as configs
from gatewise.training.config.config import Config
from gatewise.vocab.errors import GatewiseError
from process import FailedError
from recipe import Recipe, Trained, write
from trainer import GATEWISE, WAYS, run

WITHIN = 0.003
"""How far from Gatewise's the mean accuracy of another framework may be to be called equal."""

_IDLE = 0.5
"""Processes, on average, that others may run meanwhile: waiting threads cost PyTorch a lot."""

_MISSING = {"torch": "PyTorch", "fasttext": "fastText"}

HEAD = (
    "| what | texts/s | lowest–highest | ratio | processor, ms a text | first epoch, s | "
    "accuracy | lowest–highest |\n|---|--:|--:|--:|--:|--:|--:|--:|"
)
RAW_HEAD = "| what | seconds | processor, s | accuracy |\n|---|--:|--:|--:|"


@dataclass(frozen=True)
class Row:
    """What was measured of one way, over all rounds.

    Attributes:
        name: The way, one of `trainer.WAYS`.
        rates: Texts a second of each round: the median of its epochs, without the first one.
        processor_ms: Median milliseconds of the processor for a text, the same epochs.
        first_seconds: Median seconds of the first epoch, in which functions are traced.
        accuracies: On the test texts after the last epoch, of each round.
        parameters: Numbers in the network.
    """

    name: str
    rates: tuple[float, ...]
    processor_ms: float
    first_seconds: float
    accuracies: tuple[float, ...]
    parameters: int

    @property
    def rate(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.rates)

    @property
    def accuracy(self) -> float:
        """Mean of the rounds."""
        return statistics.mean(self.accuracies)


def summed_up(name: str, runs: Sequence[Trained], count: int) -> Row:
    """The rounds of one way; `count` texts were learnt from in each epoch."""
    later = [(run.seconds[1:] or run.seconds) for run in runs]
    processor = [run.processor_seconds[1:] or run.processor_seconds for run in runs]
    medians = [statistics.median(seconds) for seconds in processor]
    return Row(
        name,
        rates=tuple(count / statistics.median(seconds) for seconds in later),
        processor_ms=1000 * statistics.median(medians) / count,
        first_seconds=statistics.median(run.seconds[0] for run in runs),
        accuracies=tuple(run.accuracy for run in runs),
        parameters=runs[0].parameters,
    )


def in_markdown(row: Row, ours: Row) -> str:
    """A row of the table; the ratio is to Gatewise's texts a second."""
    return (
        f"| {row.name} | {row.rate:,.0f} | {min(row.rates):,.0f}–{max(row.rates):,.0f} | "
        f"{row.rate / ours.rate:.2f} | {row.processor_ms:.3f} | {row.first_seconds:.1f} | "
        f"{row.accuracy:.4f} | {min(row.accuracies):.4f}–{max(row.accuracies):.4f} |"
    )


def measure(recipe: Recipe, prepared: sets.Prepared, ways: Sequence[str], rounds: int) -> list[Row]:
    """Trains every way once a round, each time beginning with another, each round another seed."""
    runs: dict[str, list[Trained]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), prepared.parts)
        for number in range(rounds):
            seeded = replace(recipe, seed=recipe.seed + number)
            for place in range(len(ways)):
                way = ways[(number + place) % len(ways)]
                runs[way].append(run(way, Path(folder), seeded))
    return [summed_up(way, trained, len(prepared.parts["train"])) for way, trained in runs.items()]


def measure_raw(texts: sets.Texts, ways: Sequence[str], rounds: int) -> dict[str, raw.Made]:
    """Makes a classifier of every kind once a round; medians of the rounds."""
    made: dict[str, list[raw.Made]] = {way: [] for way in ways}
    for number in range(rounds):
        for place in range(len(ways)):
            way = ways[(number + place) % len(ways)]
            made[way].append(raw.run(way, texts.corpora.train.parent))
    return {way: raw.median(runs) for way, runs in made.items()}


def installed(ways: Sequence[str]) -> list[str]:
    """The ways whose packages are there."""
    absent = [name for package, name in _MISSING.items() if find_spec(package) is None]
    return [way for way in ways if not any(way.startswith(name) for name in absent)]


def recipe_of(config: Config, prepared: sets.Prepared, cell: Literal["gru", "lstm"]) -> Recipe:
    """The recipe with the sizes of Gatewise's default network."""
    rate = config.training.learning_rate
    if rate == "auto":
        raise GatewiseError("expected training.learning_rate to be a number, received auto")
    epochs = config.training.epochs
    if epochs == "auto":
        raise GatewiseError("expected training.epochs to be a number, received auto")
    return Recipe(
        cell,
        vocab_size=prepared.vocab_size,
        classes=prepared.classes,
        embedding_size=config.network.embedding_size,
        units=config.network.units,
        dropout=config.network.dropout,
        batch_size=config.training.batch_size,
        epochs=epochs,
        rate=rate,
        weight_decay=config.training.weight_decay,
        seed=config.training.seed,
    )


def _told(rows: Sequence[Row]) -> str:
    """What the targets come to."""
    ours = next(row for row in rows if row.name == GATEWISE)
    lines = []
    for row in rows:
        if row is not ours:
            apart = abs(row.accuracy - ours.accuracy)
            equal = "within" if apart <= WITHIN else "not within"
            lines.append(
                f"{row.name}: Gatewise is {ours.rate / row.rate:.2f} times as fast; accuracies are "
                f"{100 * apart:.2f} points apart, {equal} {100 * WITHIN:.1f}."
            )
    return "\n".join(lines)


def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    folder: Annotated[
        Path, typer.Option("--set-folder", help="Folder with train.csv and test.csv, or .csv.gz.")
    ] = Path("../shared/data/trec6"),
    cell: Annotated[Literal["gru", "lstm"], typer.Option(help="The recurrent cell.")] = "lstm",
    epochs: Annotated[int, typer.Option(min=2, help="Epochs; the first is not counted.")] = 5,
    rows: Annotated[
        int | None, typer.Option(min=2, help="Most rows of either file; by default all.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, each of another seed.")] = 3,
    only: Annotated[list[str] | None, typer.Option(help="Gatewise and these ways only.")] = None,
    table: Annotated[
        Literal["both", "throughput", "raw"], typer.Option(help="Which table to measure.")
    ] = "both",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A size or another setting of the recipe.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Train the same network in every framework, and tell how fast."""
    ways = [way for way in WAYS if way == GATEWISE or not only or way in only]
    load = os.getloadavg()[0]
    try:
        config = configs.load(
            assignments=[
                "corpus.duplicates=ignore",
                f"training.epochs={epochs}",
                *(assignments or []),
            ]
        )
        with tempfile.TemporaryDirectory() as scratch:
            texts = sets.read(folder, rows, Path(scratch))
            prepared = sets.encode(texts, config, Path(scratch))
            recipe = recipe_of(config, prepared, cell)
            measured = made = None
            if table != "raw":
                measured = measure(recipe, prepared, installed(ways), rounds)
            if table != "throughput":
                made = measure_raw(texts, installed(list(raw.WAYS)), rounds)
    except (GatewiseError, FailedError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        document = {
            "set": folder.name,
            "texts": len(texts.train),
            "tokens": prepared.tokens,
            "rounds": rounds,
            "load_before": load,
            "recipe": asdict(recipe),
            "ways": [asdict(row) for row in measured or ()],
            "raw": {way: asdict(figures) for way, figures in (made or {}).items()},
        }
        typer.echo(json.dumps(document))
        return
    typer.echo(
        f"{folder.name}: {len(texts.train):,} texts of {prepared.tokens:.1f} tokens, {cell}, "
        f"{rounds} rounds of {epochs} epochs, batches of {recipe.batch_size}."
    )
    if load > _IDLE:
        typer.echo(
            f"The machine was busy: a load of {load:.1f} before the first round. What the clock "
            "says is no measure then, of threads that wait for each other least of all."
        )
    if measured:
        ours = next(row for row in measured if row.name == GATEWISE)
        typer.echo("\n".join(["", HEAD, *(in_markdown(row, ours) for row in measured)]))
        typer.echo(f"\n{_told(measured)}")
    if made:
        typer.echo(f"\n{RAW_HEAD}")
        for way, figures in made.items():
            typer.echo(
                f"| {way} | {figures.seconds:.1f} | {figures.processor_seconds:.1f} | "
                f"{figures.accuracy:.4f} |"
            )


if __name__ == "__main__":
    typer.run(main)
