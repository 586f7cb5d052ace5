"""Inputs as one stream of records, each file read with the reader of its format."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from gatewise.vocab.corpus import csv_records, json_records, parquet_records
from gatewise.vocab.corpus.data_files import DataFile, Format
from gatewise.vocab.corpus.input_files import data_files
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.corpus.standard_input import NAME as STANDARD_INPUT
from gatewise.vocab.corpus.uris import redact
from gatewise.vocab.errors import CorpusError

# How many of several inputs a message names.
_MAX_NAMED = 3

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
        columns: Its columns in order; for JSON Lines, those of the first records, or none if no
            record is good.
    """

    file: DataFile
    columns: tuple[str, ...]

    def records(self, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
        """Read the file's records from the first.

        Args:
            progress: Follows how much of the file has been read.

        Raises:
            CorpusError: The file cannot be read.
        """
        records: Iterator[Record | BadRow] = _READERS[self.file.format].records_of(
            self.file, progress
        )
        return records

    def require(self, column: str, option: str) -> None:
        """Check that the file has a column.

        Args:
            column: The column's name.
            option: The parameter that names it, such as `text_column`.

        Raises:
            CorpusError: The column is missing.
        """
        if self.columns and column not in self.columns:
            raise CorpusError(
                f"{self.file}: no column {column!r}; the columns are: {', '.join(self.columns)}. "
                f"Name the {option.replace('_', ' ')}",
                option=option,
            )


@dataclass(frozen=True, slots=True)
class RecordStream:
    """The records of one or several data files; each iteration reads them again.

    Standard input can be iterated once.

    Attributes:
        path: The inputs, for messages.
        tables: The files in reading order, one at least.
    """

    path: str
    tables: tuple[Table, ...]

    def __iter__(self) -> Iterator[Record | BadRow]:
        return self.records()

    def records(self, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
        """Read the records of all files.

        Args:
            progress: Follows how much of the files has been read.

        Raises:
            CorpusError: A file cannot be read.
        """
        for table in self.tables:
            yield from table.records(progress)

    @property
    def size(self) -> int | None:
        """Bytes of all files as stored; None if the size of one is unknown."""
        sizes = [table.file.size for table in self.tables]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def require(self, column: str, option: str) -> None:
        """Check that every file has a column.

        Raises:
            CorpusError: A file lacks it.
        """
        for table in self.tables:
            table.require(column, option)


def open_records(*paths: str | os.PathLike[str], standard_input: str | None = None) -> RecordStream:
    """Find the files behind paths and read their columns, but no records yet.

    Args:
        paths: CSV, TSV, JSON Lines or Parquet files, the first three also in `.gz` or `.zst`,
            folders of such files, patterns, URIs of all these, or `-` alone for standard input;
            see `gatewise.vocab.corpus.input_files.data_files`.
        standard_input: The format of standard input, such as `csv` or `jsonl.gz`.

    Raises:
        CorpusError: A file is missing, empty, of no known kind or damaged, or its header is; a
            pattern matches nothing; a file is named twice.
    """
    files = data_files(*paths, standard_input=standard_input)
    names = [STANDARD_INPUT if path == "-" else redact(os.fspath(path)) for path in paths]
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return RecordStream(
        ", ".join(names[:_MAX_NAMED]) + more,
        tuple(Table(file, _READERS[file.format].columns_of(file)) for file in files),
    )
