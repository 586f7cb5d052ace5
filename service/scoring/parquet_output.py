"""Assembles a Parquet file from Arrow IPC streams, in row groups of a fixed size."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

# A row group ends at whichever limit is reached first.
_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 * 1024 * 1024


class ParquetAssembler:
    """Writes a Parquet file from parts; a context manager. The same parts give the same bytes.

    Args:
        target: A path or a binary file.
        schema: The columns.
    """

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
