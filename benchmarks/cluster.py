"""How fast files are scored on Ray: one worker, two, and the local engine beside them, in turns.

Prints one table: rows a second, what a run takes before, and whether the rows are those that the
local engine writes. Owns the rounds, the input and the table; what is measured is the library's.
"""

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import typer
from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring.ray.input_splits import SplitSizes
from gatewise.service.scoring.ray.output_parts import PartitionedOutput
from gatewise.service.scoring.ray.ray_pool import Cluster
from gatewise.service.scoring.ray.score_folder import score_folder
from gatewise.service.scoring.score_file import Parallelism, score_file
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import Record

SPLIT = 8192
"""Rows of a part: small enough for the first of them to come soon after the workers have begun."""

HEAD = (
    "| what | rows/s | lowest–highest | until the first rows, s | in all, s | the same rows |\n"
    "|---|--:|--:|--:|--:|:-:|"
)


@dataclass(frozen=True)
class Ran:
    """One run.

    Attributes:
        rate: Rows a second, from the first ones on that were told to be done.
        first: Seconds until then.
        seconds: What it took in all.
        digest: Of all rows that it wrote.
    """

    rate: float
    first: float
    seconds: float
    digest: str


class Clock:
    """When how many rows were done."""

    def __init__(self) -> None:
        self.since = time.perf_counter()
        self.moments: list[tuple[float, int]] = []

    def __call__(self, counts: RowCounts, _: float | None) -> None:
        """Told of a run's progress."""
        self.moments.append((time.perf_counter() - self.since, counts.rows))

    def ran(self, digest: str) -> Ran:
        """The run, once it is over."""
        seconds = time.perf_counter() - self.since
        (first, before), (last, rows) = self.moments[0], self.moments[-1]
        return Ran((rows - before) / max(last - first, 1e-9), first, seconds, digest)


def local(model: Path, source: Path, folder: Path, workers: int) -> Ran:
    """A run of the local engine."""
    out, clock = folder / "out.csv", Clock()
    classifier = Classifier.load(model)
    score_file(classifier, source, out, parallelism=Parallelism(workers), on_progress=clock)
    return clock.ran(digest_of(out))


def on_ray(model: Path, source: Path, folder: Path, workers: int) -> Ran:
    """A run on a cluster that is started for it."""
    out, clock = folder / "out", Clock()
    score_folder(
        model,
        open_records(source),
        PartitionedOutput.named(out, "csv"),
        cluster=Cluster(workers=workers, sizes=SplitSizes(split=SPLIT)),
        on_progress=clock,
    )
    return clock.ran(digest_of(out))


def digest_of(out: Path) -> str:
    """The SHA-256 of the rows of a file or of all parts of a folder, headers aside."""
    digest = hashlib.sha256()
    for path in sorted(out.iterdir()) if out.is_dir() else [out]:
        with path.open("rb") as file:
            file.readline()
            while stretch := file.read(2**20):
                digest.update(stretch)
    return digest.hexdigest()


def texts(corpus: Path, column: str) -> Iterator[str]:
    """The texts of a corpus, again and again, each on one line."""
    found = [
        str(record.values[column])
        for record in open_records(corpus)
        if isinstance(record, Record) and str(record.values[column]).strip()
    ]
    return (text.replace("\n", " ").replace('"', "'") for text in cycle(found))


def in_markdown(name: str, ran: list[Ran], digest: str) -> str:
    """A row of the table."""
    rates = [one.rate for one in ran]
    same = all(one.digest == digest for one in ran)
    return (
        f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f}–{max(rates):,.0f} | "
        f"{statistics.median(one.first for one in ran):.1f} | "
        f"{statistics.median(one.seconds for one in ran):.1f} | {'yes' if same else 'NO'} |"
    )


def main(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    corpus: Annotated[Path, typer.Argument(help="Where the texts are from.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows to score.")] = 1_000_000,
    text_column: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    rounds: Annotated[int, typer.Option(min=1, help="How often each is run.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="The most workers.")] = 2,
) -> None:
    """Score the same rows by the local engine and on Ray, in turns."""
    ways: dict[str, Callable[[Path, Path], Ran]] = {}
    for number in sorted({1, workers}):
        ways[f"local, --workers {number}"] = partial(_way, local, model, number)
        ways[f"Ray, --workers {number}"] = partial(_way, on_ray, model, number)
    ran: dict[str, list[Ran]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.csv")
        with source.open("w", encoding="utf-8") as file:
            file.write("id,text\n")
            some = islice(texts(corpus, text_column), rows)
            file.writelines(f'{number},"{text}"\n' for number, text in enumerate(some))
        for turn in range(rounds):
            for place in range(len(ways)):
                name = list(ways)[(turn + place) % len(ways)]
                with tempfile.TemporaryDirectory() as out:
                    ran[name].append(ways[name](source, Path(out)))
                typer.echo(f"{name}: {ran[name][-1].rate:,.0f} rows/s", err=True)
    digest = next(iter(ran.values()))[0].digest
    typer.echo(f"{rows:,} rows, {rounds} rounds, load {os.getloadavg()[1]:.1f} on ", nl=False)
    typer.echo(f"{os.cpu_count()} processors\n\n{HEAD}")
    for name, runs in ran.items():
        typer.echo(in_markdown(name, runs, digest))


def _way(
    run: Callable[[Path, Path, Path, int], Ran],
    model: Path,
    workers: int,
    source: Path,
    folder: Path,
) -> Ran:
    return run(model, source, folder, workers)


if __name__ == "__main__":
    typer.run(main)
