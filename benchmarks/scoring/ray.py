"""How fast files are scored on Ray, by one worker and by more, beside the local engine."""

import csv
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
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

LOCAL, RAY = "local", "Ray"

PART_ROWS = 8192
"""Rows of a part: few enough for the first of them to come soon after the workers have begun."""


@dataclass(frozen=True)
class Run:
    """One run."""

    rate: float  # rows a second, from the first ones on that were reported as done
    first: float  # seconds until then
    seconds: float  # in all
    digest: str  # of all rows that it wrote


def score(engine: str, workers: int, model: Path, source: Path, folder: Path) -> Run:
    """Scores a file; a cluster is started for it."""
    out, start = folder / "out.csv", time.perf_counter()
    moments: list[tuple[float, int]] = []

    def on_progress(counts: RowCounts, _: float | None) -> None:
        moments.append((time.perf_counter() - start, counts.rows))

    if engine == LOCAL:
        pace = Parallelism(workers)
        score_file(Classifier.load(model), source, out, parallelism=pace, on_progress=on_progress)
    else:
        cluster = Cluster(workers=workers, sizes=SplitSizes(split=PART_ROWS))
        output = PartitionedOutput.named(out, "csv")
        score_folder(model, open_records(source), output, cluster=cluster, on_progress=on_progress)
    seconds = time.perf_counter() - start
    (first, before), (last, rows) = moments[0], moments[-1]
    return Run((rows - before) / max(last - first, 1e-9), first, seconds, digest_of(out))


def digest_of(out: Path) -> str:
    """The SHA-256 of the rows of a file or of all parts of a folder, without their headers."""
    digest = hashlib.sha256()
    for path in sorted(out.iterdir()) if out.is_dir() else [out]:
        with path.open("rb") as file:
            file.readline()
            digest.update(file.read())
    return digest.hexdigest()


def write_input(corpus: Path, path: Path, rows: int) -> Path:
    """The texts of a corpus, again and again, each on one line."""
    texts = [" ".join(text.split()) for text in read_texts(corpus, bad_rows=StopAtBadRows())]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *enumerate(islice(cycle(texts), rows))])
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
    engines = [(engine, number) for number in sorted({1, workers}) for engine in (LOCAL, RAY)]
    runs: dict[tuple[str, int], list[Run]] = {each: [] for each in engines}
    with tempfile.TemporaryDirectory() as folder:
        source = write_input(corpus, Path(folder, "in.csv"), rows)
        for engine, number in rotated(engines, rounds):
            with tempfile.TemporaryDirectory() as out:
                run = score(engine, number, model, source, Path(out))
            runs[engine, number].append(run)
            typer.echo(f"{engine}, {number}: {run.rate:,.0f} rows/s", err=True)
    digest = runs[engines[0]][0].digest
    table = [
        summary(f"{engine}, --workers {number}", each, digest)
        for (engine, number), each in runs.items()
    ]
    facts = {"rows": rows, "rounds": rounds, "load": os.getloadavg()[1], "cores": os.cpu_count()}
    report({"engines": table}, facts=facts, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
