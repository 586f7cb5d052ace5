"""The rows of a corpus on disk, so that they need not fit in memory.

A corpus is parsed once and its valid rows are written to one Arrow file (IPC format,
https://arrow.apache.org/docs/format/Columnar.html), which is then read as often as needed. Of a
text that is longer than the network reads, only a part that gives the same tokens is written.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.local_files import open_local
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.tokenizer.text_limit import TextLimit

_WINDOW = 4096
"""Rows written and read at a time."""

_SCHEMA = pa.schema(
    [
        ("text", pa.large_string()),
        ("labels", pa.large_list(pa.large_string())),
        ("probabilities", pa.large_list(pa.float64())),
        ("values", pa.large_list(pa.float64())),
        ("weight", pa.float64()),
        # A file name need not be UTF-8.
        ("file", pa.large_binary()),
        ("line", pa.int64()),
    ]
)


@dataclass(frozen=True)
class StoredRows:
    """Some rows of a file, in its order.

    Attributes:
        path: The file.
        kept: Which of the file's rows these are, `(rows of the file,)`.
        lengths: Characters of the file's texts before they were cut, `(rows of the file,)`.
    """

    path: Path
    kept: NDArray[np.bool_]
    lengths: NDArray[np.int64]

    @property
    def characters(self) -> NDArray[np.int64]:
        """Characters of these texts before they were cut, `(rows,)`."""
        return self.lengths[self.kept]

    def __len__(self) -> int:
        return int(np.count_nonzero(self.kept))

    def __iter__(self) -> Iterator[Row]:
        for window in self.windows():
            yield from window

    def windows(self) -> Iterator[list[Row]]:
        """The rows, thousands at a time."""
        for _, batch in self._batches():
            yield _rows(batch)

    def texts(self) -> Iterator[list[str]]:
        """The texts only, thousands at a time."""
        for _, batch in self._batches():
            yield batch.column("text").to_pylist()

    def at(self, numbers: Sequence[int]) -> list[Row]:
        """The rows with these numbers, counted from zero among these rows."""
        places = np.flatnonzero(self.kept)[np.asarray(numbers, dtype=np.int64)]
        found: dict[int, Row] = {}
        with open_local(self.path) as file, pa.ipc.open_file(file) as reader:
            for window in np.unique(places // _WINDOW):
                batch = reader.get_batch(int(window))
                wanted = places[places // _WINDOW == window]
                rows = _rows(batch.take(pa.array(wanted % _WINDOW)))
                found.update(zip(wanted.tolist(), rows, strict=True))
        return [found[place] for place in places.tolist()]

    def only(self, chosen: NDArray[np.bool_]) -> "StoredRows":
        """Some of the rows.

        Args:
            chosen: Which, `(rows,)`.
        """
        kept = self.kept.copy()
        kept[np.flatnonzero(self.kept)] = chosen
        return replace(self, kept=kept)

    def sample(self, count: int) -> "StoredRows":
        """Evenly spaced rows, so many at most."""
        step = -(-len(self) // count) or 1
        return self.only(np.arange(len(self)) % step == 0)

    def _batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        # Read and not mapped: pages of a mapped file would count as this process's memory.
        with open_local(self.path) as file, pa.ipc.open_file(file) as reader:
            for window in range(reader.num_record_batches):
                chosen = self.kept[window * _WINDOW : (window + 1) * _WINDOW]
                if chosen.any():
                    yield window, reader.get_batch(window).filter(pa.array(chosen))


def store(rows: Iterable[Row], path: Path, limit: TextLimit | None = None) -> StoredRows:
    """Writes rows to a file, in their order.

    Args:
        rows: The rows, read once and in a stream.
        path: The file; an earlier one is replaced.
        limit: Cuts texts that are longer than a model reads; None keeps every text as it is.
    """
    lengths = array("q")

    def short() -> Iterator[Row]:
        for row in rows:
            lengths.append(len(row.text))
            yield replace(row, text=limit.cut(row.text)) if limit else row

    stream = short()
    with open_local(path, "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
        while window := list(islice(stream, _WINDOW)):
            writer.write_batch(
                pa.record_batch(
                    [
                        [row.text for row in window],
                        [row.labels for row in window],
                        [row.probabilities for row in window],
                        [row.values for row in window],
                        [row.weight for row in window],
                        [os.fsencode(row.location.file) for row in window],
                        [row.location.line for row in window],
                    ],
                    schema=_SCHEMA,
                )
            )
    return StoredRows(path, np.ones(len(lengths), dtype=np.bool_), np.array(lengths, np.int64))


def _rows(batch: pa.RecordBatch) -> list[Row]:
    columns = (batch.column(name).to_pylist() for name in _SCHEMA.names)
    return [
        Row(
            text=text,
            labels=tuple(labels),
            location=Location(os.fsdecode(file), line),
            probabilities=None if probabilities is None else tuple(probabilities),
            values=None if values is None else tuple(values),
            weight=weight,
        )
        for text, labels, probabilities, values, weight, file, line in zip(*columns, strict=True)
    ]
