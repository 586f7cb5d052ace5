"""A path as one stream of records, whatever its files are written in.

Knows which reader serves which format; knows no format itself and no meaning of a column.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from vocab import csv_records, json_records, parquet_records
from vocab.errors import CorpusError
from vocab.files import DataFile, Format, data_files
from vocab.records import BadRow, Record

_READERS = {
    Format.CSV: csv_records,
    Format.TSV: csv_records,
    Format.JSON_LINES: json_records,
    Format.PARQUET: parquet_records,
}


@dataclass(frozen=True, slots=True)
class Table:
    """One data file and its columns.

    Attributes:
        file: The file.
        columns: Its columns in order. JSON Lines has those of its first records; it has none
            where no record can be read.
    """

    file: DataFile
    columns: tuple[str, ...]

    def records(self) -> Iterator[Record | BadRow]:
        """Read the file's records, from the first one on.

        Raises:
            CorpusError: The file cannot be read.
        """
        records: Iterator[Record | BadRow] = _READERS[self.file.format].records_of(self.file)
        return records

    def require(self, column: str, option: str) -> None:
        """Refuse a file without a certain column.

        Args:
            column: The column's name.
            option: The command's option that names it, for the message.

        Raises:
            CorpusError: The column is missing.
        """
        if self.columns and column not in self.columns:
            raise CorpusError(
                f"{self.file}: no column {column!r}; the columns are: {', '.join(self.columns)}. "
                f"Name it with {option} NAME"
            )


@dataclass(frozen=True, slots=True)
class RecordStream:
    """The records of one or several data files, read anew by every iteration.

    Attributes:
        path: The file or folder as it was given.
        tables: The files in reading order, one at least.
    """

    path: str
    tables: tuple[Table, ...]

    def __iter__(self) -> Iterator[Record | BadRow]:
        for table in self.tables:
            yield from table.records()

    def require(self, column: str, option: str) -> None:
        """Refuse the stream unless every file has the column.

        Raises:
            CorpusError: A file lacks it.
        """
        for table in self.tables:
            table.require(column, option)


def open_records(path: str | os.PathLike[str]) -> RecordStream:
    """Find the files behind a path and read their columns, but no records yet.

    Args:
        path: A CSV, TSV, JSON Lines or Parquet file, the first three also in `.gz` or `.zst`, or
            a folder of such files.

    Raises:
        CorpusError: A file is missing, empty, of no known kind or damaged, or its header is.
    """
    files = data_files(path)
    return RecordStream(
        os.fspath(path),
        tuple(Table(file, _READERS[file.format].columns_of(file)) for file in files),
    )
