"""A whole input of texts through the classifier, into a file of answers.

Owns the walk: files in windows, windows to rows, rows in their order into the output. Knows no
network, no format and no layout of rows.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring.chunks import ROWS, Chunk, Position, chunks
from gatewise.service.scoring.destination import Destination
from gatewise.service.scoring.journaled_output import JournaledOutput, Progress
from gatewise.service.scoring.options import ScoringOptions, ScoringPlan
from gatewise.service.scoring.ordered_pool import in_order, required_workers
from gatewise.service.scoring.overlap_check import refuse_overlap
from gatewise.service.scoring.score_chunk import ScoredChunk, bad_rows_error, score_records
from gatewise.service.scoring.stdout_output import StdoutOutput
from gatewise.service.scoring.summary import RowCounts, Summary
from gatewise.vocab.corpus.input_files import require_unchanged
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import RecordStream, open_records
from gatewise.vocab.errors import CorpusError, GatewiseError, OutputError

# What is written between two of these moments is written again after a kill.
_COMMIT_SECONDS = 1.0

_PACKAGES = ("gatewise", "onnxruntime", "tokenizers")

OnProgress = Callable[[RowCounts, float | None], None]
"""Told what became of the rows so far, and the share of the input they are if that is known."""


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How much is done at a time.

    Attributes:
        workers: Windows that are scored side by side; None for one on each core.
        rows: Most rows of a window. A run that was broken off is gone on with by the same.
    """

    workers: int | None = None
    rows: int = ROWS


class InterruptedRunError(GatewiseError):
    """A run that ended before its input did, and left what it had done for another to go on."""


def score_file(
    classifier: Classifier,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    wishes: ScoringOptions | None = None,
    *,
    rejects: str | os.PathLike[str] | None = None,
    resume: bool = False,
    pace: Parallelism | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Scores every text of an input; see `score`.

    Args:
        classifier: The model.
        source: Files, folders, patterns or URIs; see
        `gatewise.vocab.corpus.record_stream.open_records`.
        output: The file or the object to write; its suffixes choose format and compression.
        wishes: What the output is to hold.
        rejects: A file for bad rows, in JSON Lines, each with its file, line and reason.
        resume: Whether to go on with a run that was broken off, if there is one.
        pace: How much is done at a time.
        on_progress: Called after every window.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    records = open_records(*sources)
    destination = Destination.named(output, rejects)
    refuse_overlap(sources, records, destination.names, destination.rejects)
    return score(
        classifier, records, destination, wishes, resume=resume, pace=pace, on_progress=on_progress
    )


def score(
    classifier: Classifier,
    records: RecordStream,
    destination: Destination,
    wishes: ScoringOptions | None = None,
    *,
    resume: bool = False,
    pace: Parallelism | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Scores every text of an input; rows and columns keep their order.

    A text without a single token has no class and is a bad row. So is a JSON record with a key
    that the output has no column for: the columns of CSV, TSV and Parquet are settled by the
    input's first records. A bad row ends the run, unless there is a file for it.

    The output appears when it is whole. A run that is broken off leaves a folder `.NAME.partial`
    beside it, from which another can go on; the output is then the same, byte for byte.

    Args:
        classifier: The model.
        records: The input.
        destination: The output. From Parquet to Parquet the input's columns keep their types; a
            row that stays in a text format stays as it is, and the answers come behind it.
        wishes: What the output is to hold.
        resume: Whether to go on with a run that was broken off, if there is one.
        pace: How much is done at a time.
        on_progress: Called after every window.

    Raises:
        CorpusError: The input cannot be read or holds no row that can be scored, or the output
            cannot be written.
        BadRowsError: A row is bad and there is no file for it.
        InterruptedRunError: One of these, after so much work that it was kept.
    """
    started = time.perf_counter()
    wishes, pace = wishes or ScoringOptions(), pace or Parallelism()
    workers = required_workers(pace.workers)
    plan = ScoringPlan.of(classifier, records, destination.file, wishes)
    given = conditions(classifier, records, wishes, pace.rows)
    meter = ReadProgress()
    with destination.open(given, resume=resume) as output:
        earlier = output.progress.counts
        refuse_lost_rejects(destination.file, earlier, destination.rejects)
        cut = chunks(records.tables, output.progress.position, pace.rows, meter)

        def on_written(counts: RowCounts) -> None:
            if on_progress is not None:
                on_progress(counts, min(meter.done / records.size, 1) if records.size else None)

        with keeping_progress(output, lambda: destination.deliver_rejects(output)):
            with closing(_scored(classifier, plan, cut, workers)) as parts:
                strict = destination.rejects is None
                counts = _written(parts, plan, output, on_written, strict=strict)
            check_result(records, counts, output)
            destination.deliver(output, plan.table)
    return Summary.of(counts, plan, resumed=earlier.rows, seconds=time.perf_counter() - started)


def _scored(
    classifier: Classifier, plan: ScoringPlan, cut: Iterator[Chunk], workers: int
) -> Generator[tuple[Position, ScoredChunk], None, None]:
    def work(window: Chunk) -> tuple[Position, ScoredChunk]:
        return window.end, score_records(classifier, plan, window.items)

    return in_order(work, cut, workers)


def _written(
    parts: Iterator[tuple[Position, ScoredChunk]],
    plan: ScoringPlan,
    output: JournaledOutput | StdoutOutput,
    on_written: Callable[[RowCounts], None],
    *,
    strict: bool,
) -> RowCounts:
    """Writes what was scored, in its order.

    Args:
        parts: What was scored, and where in the input each part ends.
        plan: What the output looks like.
        output: Where they go.
        on_written: Told after each part what became of the rows so far.
        strict: Whether to stop at a bad row.

    Raises:
        BadRowsError: There is one.
        CorpusError: The input cannot be read.
        OutputError: The output cannot be written.
    """
    progress = output.progress
    if not output.kept:
        output.write(plan.table.head(), b"")
    committed = time.monotonic()
    for end, done in parts:
        if done.bad and strict:
            raise bad_rows_error(done, (later for _, later in parts))
        output.write(done.contents, done.rejected)
        progress = Progress(end, progress.counts.plus(done))
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
    """If the block fails, keeps what is done for a later run, or delivers the rejected rows.

    Args:
        output: The output, which says whether anything of it is worth keeping.
        deliver_rejects: Puts the rejected rows under their name.

    Raises:
        InterruptedRunError: The block failed, and its output is kept.
        GatewiseError: The block failed, and nothing is kept.
    """
    try:
        yield
    except GatewiseError as error:
        if output.kept:
            raise InterruptedRunError(
                f"{error}. The rows scored so far are kept: fix this and resume the run",
                option="resume",
            ) from error
        try:
            deliver_rejects()
        except OutputError as further:
            raise OutputError(f"{error}; and {further}") from error
        raise


def refuse_lost_rejects(target: object, earlier: RowCounts, rejects: Path | None) -> None:
    """Refuses to resume a run with rejected rows if there is no file for them any more.

    Args:
        target: The output, for the message.
        earlier: What the earlier run has done.
        rejects: The rejects file of this run.

    Raises:
        OutputError: There is none.
    """
    if earlier.rejected and rejects is None:
        raise OutputError(
            f"{target}: cannot resume: the interrupted run rejected {earlier.rejected:,} rows and "
            "has no rejects file to write them to. Name one, or start again without resuming",
            option="rejects",
        )


def check_result(
    records: RecordStream, counts: RowCounts, output: JournaledOutput | StdoutOutput
) -> None:
    """Checks that a finished run has a result: some rows, of files that have not changed.

    Raises:
        CorpusError: No row was scored, or a file has changed since it was found. Then what is done
            is of no use to a later run either.
    """
    if not counts.scored:
        raise CorpusError(f"{records.path}: holds no rows that can be used")
    try:
        for table in records.tables:
            require_unchanged(table.file)
    except CorpusError:
        output.kept = False
        raise


def conditions(
    classifier: Classifier, records: RecordStream, wishes: ScoringOptions, rows: int
) -> dict[str, object]:
    """What decides the bytes of an output, by names for people.

    Args:
        classifier: The model.
        records: The input.
        wishes: What the output is to hold.
        rows: Most rows of a window.
    """
    loaded, reject = classifier.artifact, classifier.reject
    return {
        "the input": [asdict(table.file.stamp) for table in records.tables],
        "the model": [loaded.sha256, loaded.model_file.name, reject and reject.model_dump()],
        "what is asked for": asdict(wishes),
        "the size of a window": rows,
        "the version of a package": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    """A package's version; None of one that is used as it lies, and is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
