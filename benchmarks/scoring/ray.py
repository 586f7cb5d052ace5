"""How fast files are scored on Ray, by one worker and by more, beside the local engine."""

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.lib.command import AsJson, Model, command
from benchmarks.lib.report import Row, report
from benchmarks.lib.timing import rotated
from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring.ray.input_splits import SplitSizes
from gatewise.service.scoring.ray.output_parts import PartitionedOutput
from gatewise.service.scoring.ray.ray_pool import Cluster
from gatewise.service.scoring.ray.score_folder import score_folder
from gatewise.service.scoring.score_file import Parallelism, score_file
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_texts
from gatewise.vocab.corpus.record_stream import open_records

PART_ROWS = 8192
"""Rows of a part: few enough for the first of them to come soon after the workers have begun."""


@dataclass(frozen=True)
class Run:
    """One run."""

    rate: float  # rows a second, from the first ones on that were reported as done
    first: float  # seconds until then
    seconds: float  # in all
    digest: str  # of all rows that it wrote


class ProgressTimer:
    """When how many rows were done; called with a run's progress."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.moments: list[tuple[float, int]] = []

    def __call__(self, counts: RowCounts, _: float | None) -> None:
        """Notes the progress."""
        self.moments.append((time.perf_counter() - self.start, counts.rows))

    def run(self, out: Path) -> Run:
        """The run, once it is over."""
        seconds = time.perf_counter() - self.start
        (first, before), (last, rows) = self.moments[0], self.moments[-1]
        return Run((rows - before) / max(last - first, 1e-9), first, seconds, digest_of(out))


def local(model: Path, workers: int, source: Path, folder: Path) -> Run:
    """A run of the local engine."""
    out, timer = folder / "out.csv", ProgressTimer()
    score_file(
        Classifier.load(model), source, out, parallelism=Parallelism(workers), on_progress=timer
    )
    return timer.run(out)


def on_ray(model: Path, workers: int, source: Path, folder: Path) -> Run:
    """A run on a cluster that is started for it."""
    out, timer = folder / "out", ProgressTimer()
    score_folder(
        model,
        open_records(source),
        PartitionedOutput.named(out, "csv"),
        cluster=Cluster(workers=workers, sizes=SplitSizes(split=PART_ROWS)),
        on_progress=timer,
    )
    return timer.run(out)


def digest_of(out: Path) -> str:
    """The SHA-256 of the rows of a file or of all parts of a folder, without their headers."""
    digest = hashlib.sha256()
    for path in sorted(out.iterdir()) if out.is_dir() else [out]:
        with path.open("rb") as file:
            file.readline()
            while piece := file.read(2**20):
                digest.update(piece)
    return digest.hexdigest()


def write_input(corpus: Path, path: Path, rows: int) -> Path:
    """The texts of a corpus, again and again, each on one line."""

    def lines() -> Iterator[str]:
        for text in cycle(list(read_texts(corpus, bad_rows=StopAtBadRows()))):
            yield text.replace("\n", " ").replace('"', "'")

    with path.open("w", encoding="utf-8") as file:
        file.write("id,text\n")
        file.writelines(f'{n},"{text}"\n' for n, text in enumerate(islice(lines(), rows)))
    return path


def summary(name: str, runs: Sequence[Run], digest: str) -> Row:
    """The runs of one engine; `digest` is that of the expected rows."""
    rates = [run.rate for run in runs]
    return {
        "what": name,
        "rows/s": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "until the first rows, s": statistics.median(run.first for run in runs),
        "in all, s": statistics.median(run.seconds for run in runs),
        "the same rows": all(run.digest == digest for run in runs),
    }


@command
def main(
    model: Model,
    corpus: Annotated[Path, typer.Argument(help="A corpus with the texts.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows to score.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is run.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="The most workers.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Score the same rows by the local engine and on Ray, in turns."""
    engines: dict[str, Callable[[Path, Path], Run]] = {}
    for number in sorted({1, workers}):
        engines[f"local, --workers {number}"] = partial(local, model, number)
        engines[f"Ray, --workers {number}"] = partial(on_ray, model, number)
    runs: dict[str, list[Run]] = {name: [] for name in engines}
    with tempfile.TemporaryDirectory() as folder:
        source = write_input(corpus, Path(folder, "in.csv"), rows)
        for name in rotated(list(engines), rounds):
            with tempfile.TemporaryDirectory() as out:
                runs[name].append(engines[name](source, Path(out)))
            typer.echo(f"{name}: {runs[name][-1].rate:,.0f} rows/s", err=True)
    digest = next(iter(runs.values()))[0].digest
    table = [summary(name, each, digest) for name, each in runs.items()]
    facts = {"rows": rows, "rounds": rounds, "load": os.getloadavg()[1], "cores": os.cpu_count()}
    report({"engines": table}, facts=facts, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
