"""Parquet as records, read in small batches.

Values become Python values if the conversion is exact. Others (timestamps in nanoseconds, decimals,
structs) stay `pyarrow.Scalar`s, which can be written to Parquet again without loss.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from gatewise.vocab.corpus.cell_values import is_list_type
from gatewise.vocab.corpus.data_files import DataFile, open_bytes
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Location, Record, is_unicode, not_unicode_reason
from gatewise.vocab.errors import CorpusError

_BATCH_ROWS = 1024
# By name, because the oldest supported pyarrow has no views.
_EXACT_TYPES = {
    *("string", "large_string", "string_view", "binary", "large_binary", "binary_view"),
    *("bool", "null"),
}


def schema_of(file: DataFile) -> pa.Schema:
    """Read the schema from the file's footer.

    Raises:
        CorpusError: The file is not Parquet, or it has two columns of one name.
    """
    with open_bytes(file) as raw, pq.ParquetFile(raw) as table:
        return checked_schema(file, table.schema_arrow)


def checked_schema(file: DataFile, schema: pa.Schema) -> pa.Schema:
    """A schema whose columns have different names.

    Raises:
        CorpusError: Two columns have one name.
    """
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise CorpusError(f"{file}: the schema names the column {twice[0]!r} more than once")
    return schema


def columns_of(file: DataFile) -> tuple[str, ...]:
    """Read the names of the columns.

    Raises:
        CorpusError: The file is not Parquet, or it has two columns of one name.
    """
    return tuple(schema_of(file).names)


def records_of(file: DataFile, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
    """Read the records, one at a time.

    Args:
        file: The file.
        progress: Follows how much of the file has been read: its size times the share of rows read.

    Raises:
        CorpusError: The file cannot be read.
    """
    columns_of(file)
    rows_read = 0

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal rows_read
        for batch in batches:
            rows_read += batch.num_rows
            yield batch

    with open_bytes(file) as raw, pq.ParquetFile(raw) as table, ExitStack() as followers:
        if progress is not None:
            size, rows = raw.size(), max(table.metadata.num_rows, 1)
            followers.enter_context(progress.following(lambda: size * rows_read // rows))
        # pyarrow 18 cannot iterate over a file without row groups.
        batches = table.iter_batches(batch_size=_BATCH_ROWS) if table.num_row_groups else iter(())
        yield from records_of_batches(counted(batches), str(file))


def records_of_batches(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[Record | BadRow]:
    """The records of Arrow batches.

    Args:
        batches: The batches of a file, in order.
        name: The name of the file.
    """
    number = 0
    for batch in batches:
        damaged, columns = False, batch.schema.names
        values: list[list[object]] = []
        for column in batch.columns:
            try:
                values.append(_python_values(column))
            except UnicodeDecodeError:
                damaged = True
                values.append(_escaped_values(column))
        for cells in zip(*values, strict=True):
            number += 1
            record = Record(dict(zip(columns, cells, strict=True)), Location(name, number), raw="")
            yield (_checked(record) if damaged else record)


def _python_values(column: pa.Array) -> list[object]:
    return list(column.to_pylist() if _is_exact_in_python(column.type) else column)


def _is_exact_in_python(kind: pa.DataType) -> bool:
    if kinds.is_dictionary(kind) or is_list_type(kind):
        return _is_exact_in_python(kind.value_type)
    return str(kind) in _EXACT_TYPES or kinds.is_integer(kind) or kinds.is_floating(kind)


def _escaped_values(column: pa.Array) -> list[object]:
    """Decode texts that are not all UTF-8, other bytes as lone surrogates."""
    if kinds.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_list_type(column.type):
        return list(column)
    texts = column.cast(pa.large_binary()).to_pylist()
    return [None if text is None else text.decode(errors="surrogateescape") for text in texts]


def _checked(record: Record) -> Record | BadRow:
    texts = [(name, text) for name, text in record.values.items() if isinstance(text, str)]
    if all(is_unicode(text) for _, text in texts):
        return record
    return record.bad(not_unicode_reason(texts, "".join(text for _, text in texts)))
