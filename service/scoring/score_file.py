"""Scores an input into a file: chunks are read, scored in threads, and written in order."""

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring.chunks import CHUNK_ROWS, Chunk, Position, chunks
from gatewise.service.scoring.destination import Destination, StdoutOutput
from gatewise.service.scoring.journaled_output import JournaledOutput, ScoringProgress
from gatewise.service.scoring.options import ScoringOptions, ScoringPlan
from gatewise.service.scoring.ordered_pool import in_order, worker_count
from gatewise.service.scoring.overlap_check import refuse_overlap
from gatewise.service.scoring.score_chunk import ScoredChunk, bad_rows_error, score_records
from gatewise.service.scoring.summary import RowCounts, Summary
from gatewise.vocab.corpus.input_files import require_unchanged
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import RecordStream, open_records
from gatewise.vocab.errors import CorpusError, GatewiseError, OutputError

# After a kill, rows written since the last commit are scored again.
_COMMIT_SECONDS = 1.0

_PACKAGES = ("gatewise", "onnxruntime", "tokenizers")

OnProgress = Callable[[RowCounts, float | None], None]
"""Called with the counts so far, and the fraction of the input that was read; None if unknown."""


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How a run is parallelized."""

    workers: int | None = None  # threads; None for one per CPU
    chunk_rows: int = CHUNK_ROWS  # at most; resuming requires the same


class InterruptedRunError(GatewiseError):
    """A run that failed after a part of the input, and that a later run can resume."""


def score_file(
    classifier: Classifier,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    options: ScoringOptions | None = None,
    *,
    rejects: str | os.PathLike[str] | None = None,
    resume: bool = False,
    parallelism: Parallelism | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Scores every text of an input; see `score`.

    Args:
        classifier: The model.
        source: Files, folders, patterns or URIs; see
            `gatewise.vocab.corpus.record_stream.open_records`.
        output: The file or the object to write; its suffixes are the format and the compression.
        options: How to read the input, and what to write.
        rejects: A file for bad rows, in JSON Lines, each with its file, line and reason.
        resume: Whether to resume an interrupted run, if there is one.
        parallelism: How the run is parallelized.
        on_progress: Called after every chunk.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    options = options or ScoringOptions()
    records = open_records(*sources, options=options.read)
    destination = Destination.named(output, rejects)
    refuse_overlap(sources, records, destination.names, destination.rejects)
    return score(
        classifier,
        records,
        destination,
        options,
        resume=resume,
        parallelism=parallelism,
        on_progress=on_progress,
    )


def score(
    classifier: Classifier,
    records: RecordStream,
    destination: Destination,
    options: ScoringOptions | None = None,
    *,
    resume: bool = False,
    parallelism: Parallelism | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Scores every text of an input; rows and columns keep their order.

    From Parquet to Parquet the columns keep their types; a row that keeps its text format is not
    changed, and the new columns are appended to it.

    A text without a token is a bad row. So is a JSON record with a key that has no column in the
    output, or with a value of another kind than its column: the columns of CSV, TSV and Parquet,
    and the types of Parquet, are those of the input's first records. A bad row ends the run unless
    there is a rejects file. An input without rows gives an output without rows.

    The output appears when it is complete. An interrupted run leaves a folder `.NAME.partial` next
    to it, from which a later run can resume; the output is then the same, byte for byte.

    Raises:
        CorpusError: The input cannot be read, or the output cannot be written.
        BadRowsError: A row is bad and there is no rejects file.
        InterruptedRunError: One of these, and a later run can resume.
    """
    started = time.perf_counter()
    options, parallelism = options or ScoringOptions(), parallelism or Parallelism()
    workers = worker_count(parallelism.workers)
    plan = ScoringPlan.of(classifier, records, destination.file, options)
    conditions = run_conditions(classifier, records, options, parallelism.chunk_rows)
    meter = ReadProgress()
    with destination.open(conditions, resume=resume) as output:
        earlier = output.progress.counts
        check_earlier_rejects(destination.file, earlier, destination.rejects)
        chunk_iterator = chunks(
            records.tables, output.progress.position, parallelism.chunk_rows, meter
        )

        def on_written(counts: RowCounts) -> None:
            if on_progress is not None:
                on_progress(counts, min(meter.done / records.size, 1) if records.size else None)

        with keeping_progress(output, lambda: destination.deliver_rejects(output)):
            with closing(_score_chunks(classifier, plan, chunk_iterator, workers)) as results:
                strict = destination.rejects is None
                counts = _write(results, plan, output, on_written, strict=strict)
            check_unchanged(records, output)
            destination.deliver(output, plan.row_format)
    return Summary.of(counts, plan, resumed=earlier.rows, seconds=time.perf_counter() - started)


def _score_chunks(
    classifier: Classifier, plan: ScoringPlan, chunk_iterator: Iterator[Chunk], workers: int
) -> Generator[tuple[Position, ScoredChunk], None, None]:
    def work(chunk: Chunk) -> tuple[Position, ScoredChunk]:
        return chunk.end, score_records(classifier, plan, chunk.items)

    return in_order(work, chunk_iterator, workers)


def _write(
    results: Iterator[tuple[Position, ScoredChunk]],
    plan: ScoringPlan,
    output: JournaledOutput | StdoutOutput,
    on_written: Callable[[RowCounts], None],
    *,
    strict: bool,
) -> RowCounts:
    """Writes scored chunks in order."""
    progress = output.progress
    if not output.resumable:
        output.write(plan.row_format.header(), b"")
    committed = time.monotonic()
    for end, chunk in results:
        if chunk.bad and strict:
            raise bad_rows_error(chunk, (later for _, later in results))
        output.write(chunk.contents, chunk.rejected)
        progress = ScoringProgress(end, progress.counts.plus(chunk))
        if (now := time.monotonic()) - committed >= _COMMIT_SECONDS:
            output.commit(progress)
            committed = now
        on_written(progress.counts)
    if progress.counts.scored:
        output.commit(progress)
    return progress.counts


@contextmanager
def keeping_progress(
    output: JournaledOutput | StdoutOutput, deliver_rejects: Callable[[], None]
) -> Iterator[None]:
    """If the block fails, keeps the output for a later run, or delivers the rejected rows."""
    try:
        yield
    except GatewiseError as error:
        if output.resumable:
            raise InterruptedRunError(
                f"{error}. The rows scored so far are kept: fix this and resume the run",
                option="resume",
            ) from error
        try:
            deliver_rejects()
        except OutputError as further:
            raise OutputError(f"{error}; and {further}") from error
        raise


def check_earlier_rejects(target: object, earlier: RowCounts, rejects: Path | None) -> None:
    """Checks that a resumed run with rejected rows has a rejects file."""
    if earlier.rejected and rejects is None:
        raise OutputError(
            f"{target}: cannot resume: the interrupted run rejected {earlier.rejected:,} rows and "
            "has no rejects file to write them to. Name one, or start again without resuming",
            option="rejects",
        )


def check_unchanged(records: RecordStream, output: JournaledOutput | StdoutOutput) -> None:
    """Checks that the inputs have not changed while they were read."""
    try:
        for table in records.tables:
            require_unchanged(table.file)
    except CorpusError:
        output.resumable = False
        raise


def run_conditions(
    classifier: Classifier, records: RecordStream, options: ScoringOptions, chunk_rows: int
) -> dict[str, object]:
    """What determines the bytes of an output, by names for errors; resuming requires the same."""
    loaded, reject = classifier.artifact, classifier.reject
    return {
        "the input": [asdict(table.file.stamp) for table in records.tables],
        "the model": [loaded.sha256, loaded.model_file.name, reject and reject.model_dump()],
        "the set of options": asdict(options),
        "the chunk size": chunk_rows,
        "the version of a package": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    """The version of a package; None if it is used from its source folder, not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
