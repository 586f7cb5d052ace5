"""How much memory scoring takes, and that it does not grow with the rows.

Scores a corpus again and again, as a folder of many files, in a process of its own, which notes the
peak of its memory after so many rows each.
"""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.lib import corpora
from benchmarks.lib.command import DATA, AsJson, BenchmarkError, CorpusFolder, Model, command
from benchmarks.lib.report import MIB, Row, report
from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring.score_file import Parallelism, score_file
from gatewise.service.scoring.summary import RowCounts
from gatewise.service.threads import available_cpus

_GROWTH = 0.02  # share by which the second half's highest peak may be above the first half's
_SELF = Path("/proc/self")


@dataclass(frozen=True)
class Sample:
    """The process at one moment."""

    rows: int  # that it had scored
    seconds: float  # since it began to score
    peak: int  # the most bytes of memory since the sample before
    pss: int  # bytes of memory now, shared pages divided among those that share them


def sample(rows: int, start: float) -> Sample:
    """A sample of this process; Linux then counts a new peak."""
    peak = _bytes(_SELF / "status", "VmHWM")
    pss = _bytes(_SELF / "smaps_rollup", "Pss")
    # proc_pid_clear_refs(5): 5 sets the peak back to what is held now.
    (_SELF / "clear_refs").write_text("5")
    return Sample(rows, time.perf_counter() - start, peak, pss)


def _bytes(path: Path, name: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def score(model: Path, folder: Path, out: Path, every: int, workers: int) -> list[Sample]:
    """Scores a folder in this process, with a sample after each `every` rows and at the end."""
    classifier = Classifier.load(model)
    samples: list[Sample] = []
    start = time.perf_counter()

    def on_progress(counts: RowCounts, _: float | None) -> None:
        if counts.rows >= every * (len(samples) + 1):
            samples.append(sample(counts.rows, start))

    done = score_file(
        classifier,
        folder,
        out,
        rejects=out.with_name("rejects.jsonl"),
        parallelism=Parallelism(workers),
        on_progress=on_progress,
    )
    return [*samples, sample(done.rows, start)]


def peaks(samples: Sequence[Sample]) -> tuple[int, int]:
    """The highest peak of the first half of the rows, without the first sample, and of the second.

    The last sample is taken after the output was delivered, and does not count.

    Raises:
        BenchmarkError: If there are too few samples.
    """
    # Until the first sample caches fill and allocators take what the longest texts need.
    warm = [each.peak for each in samples[1:-1]]
    if len(warm) < 2:
        raise BenchmarkError(
            f"expected 4 samples at least, received {len(samples)}: score more rows, or sample "
            "more often with --every"
        )
    half = len(warm) // 2
    return max(warm[:half]), max(warm[half:])


def rows_of(samples: Sequence[Sample]) -> list[Row]:
    """The samples in the table; the last one has no rate."""
    rows: list[Row] = []
    before = Sample(0, 0.0, 0, 0)
    for each in samples:
        last = each is samples[-1]
        rate = None if last else (each.rows - before.rows) / (each.seconds - before.seconds)
        memory = {"peak, MiB": each.peak / MIB, "PSS then, MiB": each.pss / MIB}
        rows.append({"rows": each.rows, "rows/s": rate, **memory})
        before = each
    return rows


@command
def main(
    model: Model,
    folder: CorpusFolder = DATA / "nsmc",
    rows: Annotated[int, typer.Option(min=1, help="Rows at least.")] = 10_000_000,
    every: Annotated[int, typer.Option(min=1, help="Rows between two samples.")] = 1_000_000,
    suffix: Annotated[str, typer.Option(help="Of the output: .csv, .jsonl.gz, .parquet.")] = ".csv",
    workers: Annotated[int | None, typer.Option(min=1, help="Cores to use.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a corpus again and again, and print whether memory grows."""
    workers = workers or available_cpus()
    with tempfile.TemporaryDirectory() as name:
        source = corpora.find(folder, "all", "test", "train")
        count = corpora.repeat([source], Path(name, "input"), rows)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            out = Path(name, f"out{suffix}")
            arguments = (model, Path(name, "input"), out, every, workers)
            samples = pool.submit(score, *arguments).result()
    first, second = peaks(samples)
    flat = f"the second half's peak within {_GROWTH:.0%} of the first's"
    report(
        {"samples": rows_of(samples)},
        facts={"corpus": folder.name, "rows": count, "output": suffix, "workers": workers},
        verdicts={flat: second <= first * (1 + _GROWTH)},
        as_json=as_json,
    )


if __name__ == "__main__":
    typer.run(main)
