"""Parquet put together from the parts of a table, which are streams of Arrow.

Owns how large a row group is. Knows nothing of what the columns mean.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

# A row group is closed at whichever comes first.
_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 * 1024 * 1024


class Assembler:
    """Writes Parquet from parts, in row groups of one size; a context manager.

    The same rows in the same parts give the same bytes.

    Args:
        target: A path, or something to write bytes to.
        schema: The columns.
    """

    def __init__(self, target: object, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(target, schema)
        self._waiting: list[pa.RecordBatch] = []

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
        """Appends the rows of the parts that a file holds, from where it stands to its end."""
        for batch in _batches(parts):
            self._waiting.append(batch)
            waiting = self._waiting
            if (
                sum(batch.num_rows for batch in waiting) >= _GROUP_ROWS
                or sum(batch.nbytes for batch in waiting) >= _GROUP_BYTES
            ):
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, schema=self._schema))
            self._waiting.clear()


def _batches(parts: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    while parts.tell() < parts.size():
        with pa.ipc.open_stream(parts) as stream:
            yield from stream
