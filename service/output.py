"""Tables written whole or not at all, in the format the file's name asks for.

Owns how a value looks in CSV, TSV, JSON Lines and Parquet. Knows nothing of where the rows come
from or what their columns mean.
"""

import csv
import datetime
import decimal
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from vocab.errors import CorpusError
from vocab.files import DataFile, Format, writing, written_whole

# A row group of Parquet is closed at whichever comes first.
_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 * 1024 * 1024

Row = Mapping[str, object]


class TableWriter(Protocol):
    """Takes rows until the block that opened it ends."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows.

        Args:
            rows: Column to value. CSV, TSV and Parquet write the columns of the schema and leave
                a missing one empty; JSON Lines writes each row's own keys.

        Raises:
            CorpusError: A value cannot be written in this format.
        """


@contextmanager
def open_output(path: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """Open a table for writing; it appears under its name when the block has ended well.

    Text formats write UTF-8 with LF line ends. CSV and TSV quote as RFC 4180 says, leave null
    empty and write what is not a string as JSON. JSON has no NaN, no infinity, no dates: the
    first two become null, the last strings in ISO 8601's order.

    Args:
        path: The file; its suffixes choose the format and the compression.
        schema: The columns in order. Only Parquet uses the types; what does not fit a column of
            strings goes there as JSON text.

    Raises:
        CorpusError: The suffix is unknown, or the file cannot be written.
    """
    file = DataFile.named(path)
    with writing(path), written_whole(path) as temporary:
        if file.format is Format.PARQUET:
            with _ParquetWriter(temporary, schema) as parquet:
                yield parquet
        else:
            with _text_stream(temporary, file.compression) as stream:
                yield _text_writer(stream, file.format, schema.names)


@contextmanager
def _text_stream(path: Path, compression: str | None) -> Iterator[TextIO]:
    with (
        pa.output_stream(str(path), compression=compression) as raw,
        io.BufferedWriter(raw) as buffered,
        io.TextIOWrapper(buffered, encoding="utf-8", newline="\n") as stream,
    ):
        yield stream


def _text_writer(stream: TextIO, form: Format, columns: Sequence[str]) -> TableWriter:
    if form is Format.JSON_LINES:
        return _JsonLinesWriter(stream)
    return _DelimitedWriter(stream, columns, "\t" if form is Format.TSV else ",")


class _JsonLinesWriter:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        self._stream.writelines(json_text(row) + "\n" for row in rows)


class _DelimitedWriter:
    def __init__(self, stream: TextIO, columns: Sequence[str], delimiter: str) -> None:
        self._columns = columns
        self._writer = csv.writer(_LineFeeds(stream), delimiter=delimiter)
        self._writer.writerow(columns)

    def write(self, rows: Sequence[Row]) -> None:
        self._writer.writerows([cell_text(row.get(name)) for name in self._columns] for row in rows)


class _LineFeeds:
    r"""Ends a row with `\n` where `csv` ended it with `\r\n`.

    Told to end rows with `\n` itself, `csv` would leave a cell with a lone `\r` unquoted, which
    no strict reader accepts.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> int:
        return self._stream.write(row[:-2] + "\n")


class _ParquetWriter:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(str(path), schema)
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                self._flush()
        finally:
            self._writer.close()

    def write(self, rows: Sequence[Row]) -> None:
        arrays = [
            self._array(field, [row.get(field.name) for row in rows]) for field in self._schema
        ]
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        waiting = self._waiting
        if (
            sum(batch.num_rows for batch in waiting) >= _GROUP_ROWS
            or sum(batch.nbytes for batch in waiting) >= _GROUP_BYTES
        ):
            self._flush()

    def _array(self, field: pa.Field, values: list[object]) -> pa.Array:
        if kinds.is_string(field.type):
            values = [value if value is None else cell_text(value) for value in values]
        try:
            return pa.array(values, type=field.type)
        except (pa.ArrowException, TypeError) as error:
            raise CorpusError(
                f"column {field.name!r}: expected values of type {field.type}: {error}"
            ) from error

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, schema=self._schema))
            self._waiting.clear()


def cell_text(value: object) -> str:
    """Write a value into a cell of text: a string as it is, null as nothing, the rest as JSON.

    Example:
        `cell_text([1, "a"])` is `'[1, "a"]'`.

    Raises:
        CorpusError: JSON cannot hold the value.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    text = json_text(value)
    # What JSON can only hold as a string needs no quotes in a cell; nor does a null of Arrow's.
    bare = json.loads(text) if isinstance(value, pa.Scalar) else value
    if bare is None:
        return ""
    return bare if isinstance(bare, str) else text


def json_text(value: object) -> str:
    """Write a value as JSON on one line.

    Raises:
        CorpusError: JSON cannot hold the value, for instance bytes.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_value)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_json_value)
    except RecursionError:
        raise CorpusError("a value is nested too deeply to be written as JSON") from None


def _json_value(value: object) -> object:
    """Find the nearest thing in JSON to a value that has no form of its own there."""
    if isinstance(value, pa.Scalar):
        if not value.is_valid:
            return None
        if kinds.is_timestamp(value.type) or kinds.is_date(value.type) or kinds.is_time(value.type):
            # Arrow's own spelling, for Python's stops at microseconds.
            return value.cast(pa.string()).as_py()
        try:
            return _finite(value.as_py())
        except (ValueError, ArithmeticError):
            pass
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    kind = value.type if isinstance(value, pa.Scalar) else type(value).__name__
    raise CorpusError(f"a value of type {kind} cannot be written as text; write .parquet instead")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
