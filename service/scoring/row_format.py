"""Encodes rows as CSV, TSV, JSON Lines or Parquet, in parts that can be concatenated.

Each part of a compressed file is a gzip member (RFC 1952, 2.2) or a Zstandard frame (RFC 8878, 3.1)
of its own. Parquet has its index at the end and cannot be concatenated: its parts are Arrow IPC
streams, which `ParquetAssembler` assembles.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from gatewise.vocab.corpus.cell_values import cell_text, json_text, labels_text
from gatewise.vocab.corpus.columns import LABELS
from gatewise.vocab.corpus.csv_records import holds_rows
from gatewise.vocab.corpus.data_files import OUTPUT_SUFFIXES, DataFile, Format
from gatewise.vocab.errors import OutputError

Row = Mapping[str, object]

# A row group ends at whichever limit is reached first.
_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 * 1024 * 1024
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class RowFormat:
    """The format of an output.

    Text formats are UTF-8 with LF line ends. CSV and TSV quote as in RFC 4180; null is an empty
    cell, infinity `inf`, the list of the column `labels` is written as corpora have it, and other
    values than strings are JSON. In JSON, NaN and infinity become null, dates, durations and
    decimals become strings, and bytes become strings in base64.
    """

    format: Format
    compression: str | None  # `gzip` or `zstd`
    # The columns in order. Only Parquet uses the types; in a column of strings it writes
    # other values as JSON text.
    schema: pa.Schema

    @classmethod
    def named(cls, path: str | os.PathLike[str], schema: pa.Schema) -> "RowFormat":
        """The format that the suffixes of a file name choose."""
        file = DataFile.named(path, OUTPUT_SUFFIXES)
        return cls(file.format, file.compression, schema)

    @property
    def delimiter(self) -> str:
        """The delimiter of CSV and TSV."""
        return self.format.delimiter

    def header(self) -> bytes:
        """The header row of CSV and TSV; empty for other formats."""
        if self.format not in (Format.CSV, Format.TSV):
            return b""
        return self.compress(delimited([self.schema.names], self.delimiter))

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Encodes rows, to be appended to the earlier ones.

        Args:
            rows: Mappings of column to value. CSV, TSV and Parquet write the columns of the schema,
                a missing one as null; JSON Lines writes the keys of each row.
        """
        if self.format is Format.PARQUET:
            return self._arrow_stream(rows)
        if self.format is Format.JSON_LINES:
            return self.compress("".join([json_text(row) + "\n" for row in rows]))
        names = self.schema.names
        formats = [labels_text if name == LABELS else cell_text for name in names]
        cells = (
            [to_text(row.get(name)) for to_text, name in zip(formats, names, strict=True)]
            for row in rows
        )
        return self.compress(delimited(cells, self.delimiter))

    def compress(self, text: str) -> bytes:
        """Encodes text in UTF-8, compressed if the output is; empty text stays empty."""
        contents = text.encode()
        if self.compression is None or not contents:
            return contents
        compressed: bytes = pa.Codec(self.compression).compress(contents, asbytes=True)
        return compressed

    def _arrow_stream(self, rows: Sequence[Row]) -> bytes:
        arrays = [_array(field, [row.get(field.name) for row in rows]) for field in self.schema]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema) as stream:
            stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        contents: bytes = sink.getvalue().to_pybytes()
        return contents


def delimited(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    r"""Formats rows of cells as CSV or TSV, with LF line ends.

    The line end is replaced afterwards, because `csv` with `lineterminator="\n"` does not quote a
    cell with a lone `\r`, which strict readers refuse.

    Raises:
        OutputError: A row of TSV would be read as several by tools that know no quotes, and here.
    """
    lines = _Lines()
    writer = csv.writer(lines, delimiter=delimiter)
    for cells in rows:
        writer.writerow(cells)
        if delimiter == "\t" and any("\n" in cell for cell in cells):
            _check_row(lines.lines[-1], len(cells))
    return "\n".join([*(line[:-2] for line in lines.lines), ""])


def _check_row(row: str, width: int) -> None:
    lines = row[:-2].split("\n")
    if holds_rows(lines, width, "\t"):
        raise OutputError(
            f"a row of TSV has tabs and line ends in a cell, each line of which would be read as a "
            f"row: {lines[0][:_MAX_SHOWN]!r}: write .csv, .jsonl or .parquet instead"
        )


class _Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.write = self.lines.append


def _array(field: pa.Field, values: list[object]) -> pa.Array:
    try:
        if any(isinstance(value, pa.Scalar) for value in values) and not kinds.is_string(
            field.type
        ):
            # Arrow scalars are concatenated: `pa.array` refuses a null in a list of them, and is
            # slow for long lists.
            return pa.concat_arrays([pa.repeat(_scalar(value, field.type), 1) for value in values])
        if kinds.is_string(field.type):
            values = [
                value if isinstance(value, str) else cell_text(value) or None for value in values
            ]
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise OutputError(
            f"column {field.name!r}: expected values of type {field.type}: {error}"
        ) from error


def _scalar(value: object, kind: pa.DataType) -> pa.Scalar:
    """A value as a scalar of a type; files of one input may differ in their types."""
    if not isinstance(value, pa.Scalar):
        return pa.scalar(value, type=kind)
    if value.type == kind:
        return value
    if not value.is_valid:
        return pa.scalar(None, type=kind)
    try:
        return value.cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return pa.scalar(value.as_py(), type=kind)


class ParquetAssembler:
    """Writes a Parquet file from parts; a context manager. The same parts give the same bytes."""

    def __init__(self, target: object, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(target, schema)
        self._pending: list[pa.RecordBatch] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()

    def add(self, parts: pa.NativeFile) -> None:
        """Appends the parts in a file, from its position to its end."""
        for batch in _batches(parts):
            self._pending.append(batch)
            if (
                sum(batch.num_rows for batch in self._pending) >= _GROUP_ROWS
                or sum(batch.nbytes for batch in self._pending) >= _GROUP_BYTES
            ):
                self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending, schema=self._schema))
            self._pending.clear()


def _batches(parts: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    while parts.tell() < parts.size():
        with pa.ipc.open_stream(parts) as stream:
            yield from stream
