"""What the rows of a scored file look like: bytes that follow one another, in every format.

Owns how rows are laid out in CSV, TSV, JSON Lines and Parquet, part by part, so that a part can be
made on its own and by anyone. Knows nothing of where rows come from, what their columns mean or
where the bytes go.

A part of a compressed file is compressed by itself, as a member of gzip (RFC 1952, 2.2) or a frame
of Zstandard (RFC 8878, 3.1): one after another they are a file of that kind. Parquet keeps its
index at the end and cannot be written in parts: its parts are streams of Arrow (IPC), which
`gatewise.service.scoring.parquet_output` puts together.
"""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as kinds
from gatewise.service.scoring.cell_values import cell_text, json_text
from gatewise.vocab.corpus.data_files import DataFile, Format
from gatewise.vocab.errors import OutputError

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RowFormat:
    """A table that is written part by part.

    Text formats are UTF-8 with LF line ends. CSV and TSV quote as RFC 4180 says, leave null empty
    and write what is not a string as JSON. JSON has no NaN, no infinity, no dates: the first two
    become null, the last strings in ISO 8601's order.

    Attributes:
        format: How rows are written down.
        compression: `gzip`, `zstd` or None.
        schema: The columns in order. Only Parquet uses the types; what does not fit a column of
            strings goes there as JSON text.
    """

    format: Format
    compression: str | None
    schema: pa.Schema

    @classmethod
    def named(cls, path: str | os.PathLike[str], schema: pa.Schema) -> "RowFormat":
        """Reads format and compression off a file's name.

        Raises:
            CorpusError: The suffix is unknown.
        """
        file = DataFile.named(path)
        return cls(file.format, file.compression, schema)

    @property
    def delimiter(self) -> str:
        """What stands between the cells of CSV and TSV."""
        return "\t" if self.format is Format.TSV else ","

    def head(self) -> bytes:
        """What stands before the first row: the header of CSV and TSV, else nothing."""
        if self.format not in (Format.CSV, Format.TSV):
            return b""
        return self.packed(delimited([self.schema.names], self.delimiter))

    def part(self, rows: Sequence[Row]) -> bytes:
        """Some rows as bytes, to be put after what came before.

        Args:
            rows: Column to value. CSV, TSV and Parquet write the columns of the schema and leave
                a missing one empty; JSON Lines writes each row's own keys.

        Raises:
            OutputError: A value cannot be written in this format.
        """
        if self.format is Format.PARQUET:
            return self._stream(rows)
        if self.format is Format.JSON_LINES:
            return self.packed("".join([json_text(row) + "\n" for row in rows]))
        names = self.schema.names
        cells = ([cell_text(row.get(name)) for name in names] for row in rows)
        return self.packed(delimited(cells, self.delimiter))

    def packed(self, text: str) -> bytes:
        """Text as bytes, compressed if the table is; nothing stays nothing."""
        contents = text.encode()
        if self.compression is None or not contents:
            return contents
        compressed: bytes = pa.Codec(self.compression).compress(contents, asbytes=True)
        return compressed

    def _stream(self, rows: Sequence[Row]) -> bytes:
        arrays = [_array(field, [row.get(field.name) for row in rows]) for field in self.schema]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema) as stream:
            stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        contents: bytes = sink.getvalue().to_pybytes()
        return contents


def delimited(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    r"""Rows of cells as lines of CSV or TSV, each ended by `\n`.

    Told to end rows with `\n` itself, `csv` would leave a cell with a lone `\r` unquoted, which
    no strict reader accepts.
    """
    lines = _Lines()
    csv.writer(lines, delimiter=delimiter).writerows(rows)
    return "\n".join([*(line[:-2] for line in lines.lines), ""])


class _Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.write = self.lines.append


def _array(field: pa.Field, values: list[object]) -> pa.Array:
    try:
        if any(isinstance(value, pa.Scalar) and value.type == field.type for value in values):
            # Out of Arrow's own values an array is put together, and not built: a null in a list of
            # them is an error to `pa.array`, and long lists take it long.
            return pa.concat_arrays(
                [
                    pa.repeat(pa.scalar(None, field.type) if value is None else value, 1)
                    for value in values
                ]
            )
        if kinds.is_string(field.type):
            values = [
                value if isinstance(value, str) else cell_text(value) or None for value in values
            ]
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError) as error:
        raise OutputError(
            f"column {field.name!r}: expected values of type {field.type}: {error}"
        ) from error
