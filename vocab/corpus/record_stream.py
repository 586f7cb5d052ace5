"""Inputs as one stream of records, each file read with the reader of its format."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from gatewise.vocab.corpus import (
    annotation_records,
    arrow_records,
    class_folders,
    csv_records,
    excel_records,
    fasttext_records,
    json_records,
    parquet_records,
)
from gatewise.vocab.corpus.data_files import DataFile, Format
from gatewise.vocab.corpus.excel_records import sheet_note
from gatewise.vocab.corpus.input_files import data_files
from gatewise.vocab.corpus.json_types import column_types
from gatewise.vocab.corpus.read_options import ReadOptions
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Record
from gatewise.vocab.corpus.shown_names import no_column
from gatewise.vocab.corpus.standard_input import NAME as STANDARD_INPUT
from gatewise.vocab.corpus.text_dialect import dialect_note, with_dialect
from gatewise.vocab.corpus.uris import redact
from gatewise.vocab.errors import EmptyFileError

# How many of several inputs a message names.
_MAX_NAMED = 3

_READERS = {
    Format.CSV: csv_records,
    Format.TSV: csv_records,
    Format.JSON_LINES: json_records,
    Format.PARQUET: parquet_records,
    Format.FASTTEXT: fasttext_records,
    Format.EXCEL: excel_records,
    Format.ARROW: arrow_records,
    Format.CLASS_FOLDERS: class_folders,
    Format.ANNOTATIONS: annotation_records,
}


@dataclass(frozen=True, slots=True)
class Table:
    """One data file and its columns.

    Attributes:
        file: The file.
        columns: Its columns in order; for JSON, those of the first records, or none if no record
            is good.
        types: Of JSON Lines, the types of the columns in the first records.
        class_names: The names of labels that a column holds as numbers from 0 on, as data sets of
            Hugging Face do.
    """

    file: DataFile
    columns: tuple[str, ...]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    types: Mapping[str, pa.DataType] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the file, for messages."""
        return str(self.file)

    def records(self, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
        """Read the file's records from the first.

        Args:
            progress: Follows how much of the file has been read.

        Raises:
            CorpusError: The file cannot be read.
        """
        # JSON without a good record has no columns, but bad rows.
        if not self.columns and self.file.format not in (Format.JSON_LINES, Format.ANNOTATIONS):
            return iter(())
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
            raise no_column(self.name, column, self.columns, option)


@dataclass(frozen=True, slots=True)
class RecordStream:
    """The records of one or several data files; each iteration reads them again.

    Standard input can be iterated once.

    Attributes:
        path: The inputs, for messages.
        tables: The files in reading order, one at least.
        notes: What was found out about how to read them, one line each, for the user.
    """

    path: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()

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


def open_records(
    *paths: str | os.PathLike[str],
    standard_input: str | None = None,
    options: ReadOptions | None = None,
) -> RecordStream:
    """Find the files behind paths and read their columns, but no records yet.

    Args:
        paths: Data files (CSV, TSV, JSON Lines, Parquet, fastText, Excel), text also in `.gz` or
            `.zst`, folders of such files, patterns, URIs of all these, or `-` alone for standard
            input; see `gatewise.vocab.corpus.input_files.data_files`.
        standard_input: The format of standard input, such as `csv` or `jsonl.gz`.
        options: How the files are to be read.

    Raises:
        CorpusError: A file is missing, of no known kind or damaged, or its header is; all of them
            are empty; the encoding or the delimiter of one is doubtful; a pattern matches nothing;
            a file is named twice.
    """
    options = options or ReadOptions()
    files = data_files(*paths, standard_input=standard_input)
    tables = _tables(files, options)
    names = [STANDARD_INPUT if path == "-" else redact(os.fspath(path)) for path in paths]
    return RecordStream(_shortened(names), tables, tuple(_notes(tables, options)))


def _tables(files: Iterable[DataFile], options: ReadOptions) -> tuple[Table, ...]:
    """The files with their columns; an empty file is one without rows if another has columns."""
    tables, empty = [], None
    for file in files:
        try:
            tables.append(_open_table(file, options))
        except EmptyFileError as error:
            empty = empty or error
            tables.append(Table(file, ()))
    if empty and not any(table.columns for table in tables):
        raise empty
    return tuple(tables)


def _open_table(file: DataFile, options: ReadOptions) -> Table:
    if file.format.is_text:
        file = with_dialect(file, options)
    elif file.format is Format.EXCEL:
        file = replace(file, sheet=options.sheet)
    if file.format is Format.JSON_LINES:
        file = annotation_records.recognized(file)
    if file.format is Format.JSON_LINES:
        types = column_types(json_records.first_records(file))
        return Table(file, tuple(types), types=types)
    columns = _READERS[file.format].columns_of(file)
    has_schema = file.format in (Format.PARQUET, Format.ARROW)
    return Table(file, columns, arrow_records.class_names(file) if has_schema else {})


def _notes(tables: Iterable[Table], options: ReadOptions) -> Iterator[str]:
    files: dict[str, list[str]] = {}
    for table in tables:
        excel = table.file.format is Format.EXCEL
        if note := sheet_note(table.file) if excel else dialect_note(table.file, options):
            files.setdefault(note, []).append(str(table.file))
    for note, names in files.items():
        yield f"{_shortened(names)}: {note}"


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
