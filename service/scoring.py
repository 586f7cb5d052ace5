"""A whole file of texts through the classifier, into a file of answers.

Owns the walk: records in windows, texts to scores, every input column out again beside them;
the columns of the answers are `service.answers`' business. Knows no network.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from service.answers import Answers
from service.classifier import Classifier
from service.output import open_output
from vocab.bad_rows import BadRows, T
from vocab.corpus import at_least_one, text_of
from vocab.encoded_rows import EMPTY_TEXT_REASON
from vocab.encoding import Encoded
from vocab.errors import CorpusError
from vocab.files import DataFile, Format
from vocab.parquet_records import schema_of
from vocab.records import BadRow, Record
from vocab.streams import RecordStream, open_records

# A window of long texts is closed early, so that memory has a bound whatever the texts are.
_WINDOW_CHARACTERS = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of an input.

    Attributes:
        rows: Rows read; `scored` and `rejected` together.
        scored: Rows written to the output.
        rejected: Rows set aside as bad.
        truncated: Scored rows whose text was longer than the model reads.
        seconds: Wall time.
        label_column: The output's column of the best label: `label`, or `predicted_label` where
            the input has a column `label` or `score` of its own. For a model that may give
            several labels, the column of them all: `labels`, or `predicted_labels`.
        score_column: The column of that label's probability, or of theirs, named likewise.
        probability_columns: Number of columns that hold the probability of one label each.
    """

    rows: int
    scored: int
    rejected: int
    truncated: int
    seconds: float
    label_column: str
    score_column: str
    probability_columns: int = 0


@dataclass(frozen=True, slots=True)
class _Scorable:
    record: Record
    encoded: Encoded


def score_file(
    classifier: Classifier,
    input: str | os.PathLike[str],  # noqa: A002 (the counterpart of `output`)
    output: str | os.PathLike[str],
    *,
    bad_rows: BadRows,
    text_column: str = "text",
    probabilities: bool = False,
    window: int = 4096,
    on_progress: Callable[[int], None] | None = None,
) -> Summary:
    """Score every text of a file or folder; rows and columns keep their order.

    A text without a single token has no class and is a bad row. So is a JSON record with a key
    that the output has no column for: the columns of CSV, TSV and Parquet are settled by the
    input's first records.

    Args:
        classifier: The model.
        input: A data file or a folder of them; see `vocab.streams.open_records`.
        output: The file to write; its suffixes choose format and compression. From Parquet to
            Parquet the input's columns keep their types.
        bad_rows: What happens to a row that cannot be scored.
        text_column: The column of the texts.
        probabilities: Whether to add a column `probability_<label>` for every label, which makes
            the output a corpus of soft labels.
        window: Most rows held in memory and scored together.
        on_progress: Called after every window with the number of rows done so far.

    Raises:
        CorpusError: The input cannot be read or holds no row that can be scored, or the output
            cannot be written. No output is left then.
        BadRowsError: A row is bad and the policy is to stop there.
    """
    started, rejected_before = time.perf_counter(), bad_rows.count
    _refuse_overlap(Path(input), Path(output))
    records = open_records(input)
    records.require(text_column, "--text-column")
    columns = _columns(records)
    answers = Answers.among(
        classifier, columns, records.path, Path(output), probabilities=probabilities
    )
    schema = pa.schema([*_input_schema(records, columns), *answers.fields])

    free_keys = DataFile.named(output).format is Format.JSON_LINES
    refused = set(answers.names) if free_keys else None
    checked = _with_known_keys(records, frozenset(columns), refused)
    encoded = _encode(checked, classifier, text_column, window)
    scorable = at_least_one(bad_rows.keep(encoded), records.path)
    scored = truncated = 0
    with open_output(Path(output), schema) as writer:
        for items in _windows(scorable, window, lambda item: _size(item.record)):
            scores = classifier.probabilities([item.encoded for item in items])
            given = answers.rows(scores, classifier.none_labels(scores))
            writer.write(
                [
                    {**item.record.values, **answer}
                    for item, answer in zip(items, given, strict=True)
                ]
            )
            scored += len(items)
            truncated += sum(item.encoded.truncated for item in items)
            if on_progress is not None:
                on_progress(scored + bad_rows.count - rejected_before)
    rejected = bad_rows.count - rejected_before
    return Summary(
        rows=scored + rejected,
        scored=scored,
        rejected=rejected,
        truncated=truncated,
        seconds=time.perf_counter() - started,
        label_column=answers.label_column,
        score_column=answers.score_column,
        probability_columns=len(classifier.classes_) if probabilities else 0,
    )


def _refuse_overlap(source: Path, target: Path) -> None:
    linked = source.exists() and target.exists() and source.samefile(target)
    if linked or target.resolve() == source.resolve():
        raise CorpusError(f"{target}: the output is the input; name another file")
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise CorpusError(
            f"{target}: the output lies in the input folder, where the next run would read it; "
            "name a file elsewhere"
        )


def _columns(records: RecordStream) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for table in records.tables for name in table.columns))


def _input_schema(records: RecordStream, columns: tuple[str, ...]) -> pa.Schema:
    files = [table.file for table in records.tables]
    if any(file.format is not Format.PARQUET for file in files):
        return pa.schema([pa.field(name, pa.string()) for name in columns])
    try:
        return pa.unify_schemas([schema_of(file) for file in files])
    except (pa.ArrowException, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(f"{records.path}: its files differ in their types: {reason}") from error


def _with_known_keys(
    records: Iterable[Record | BadRow], columns: frozenset[str], refused: set[str] | None
) -> Iterator[Record | BadRow]:
    """Give up records with a key the output has no room for.

    Args:
        records: The records.
        columns: The keys that always have room.
        refused: The only further keys without room; None if every further key has none.
    """
    for record in records:
        if isinstance(record, BadRow) or record.values.keys() <= columns:
            yield record
            continue
        strange = [key for key in record.values if key not in columns]
        if refused is not None:
            strange = [key for key in strange if key in refused]
        if strange:
            yield record.bad(
                f"the key {strange[0]!r} is not among those of the first records, and the output "
                "has no column for it"
            )
        else:
            yield record


def _encode(
    records: Iterable[Record | BadRow], classifier: Classifier, column: str, window: int
) -> Iterator[_Scorable | BadRow]:
    for items in _windows(records, window, _size):
        texts = [item if isinstance(item, BadRow) else text_of(item, column) for item in items]
        encoded = iter(classifier.encode([text for text in texts if isinstance(text, str)]))
        for item, text in zip(items, texts, strict=True):
            if isinstance(item, BadRow):
                yield item
            elif isinstance(text, BadRow):
                yield text
            elif (ids := next(encoded)).is_empty:
                yield item.bad(EMPTY_TEXT_REASON)
            else:
                yield _Scorable(item, ids)


def _windows(items: Iterable[T], rows: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    window: list[T] = []
    characters = 0
    for item in items:
        window.append(item)
        characters += size(item)
        if len(window) >= rows or characters >= _WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


def _size(item: Record | BadRow) -> int:
    if isinstance(item, BadRow):
        return len(item.content)
    return len(item.raw) or sum(len(v) for v in item.values.values() if isinstance(v, str))
