"""Splits an input into chunks: records that are scored together, limited in rows and characters.

Where a chunk ends depends on the records only, so a resumed run has the same chunks.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import Table
from gatewise.vocab.corpus.records import BadRow, Record

CHUNK_ROWS = 4096
"""The largest number of rows in a chunk."""

# A chunk of long texts ends earlier: this limits memory, and gives many workers something to do.
_CHUNK_CHARACTERS = 512 * 1024

T = TypeVar("T")
Items = list[Record | BadRow]


@dataclass(frozen=True, slots=True)
class Position:
    """A position in the input, always at the end of a chunk."""

    table: int = 0  # index of the file that is being read
    records: int = 0  # number of its records that have been read, bad rows included


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one file that are scored together."""

    items: Items
    end: Position


def chunks(
    tables: tuple[Table, ...],
    start: Position | None = None,
    rows: int = CHUNK_ROWS,
    meter: ReadProgress | None = None,
) -> Iterator[Chunk]:
    """Reads files in chunks, from the `end` of a chunk on; the meter counts the bytes."""
    start = start or Position()
    for number, table in enumerate(tables[start.table :], start=start.table):
        done = start.records if number == start.table else 0
        for items in chunked(islice(table.records(meter), done, None), num_characters, rows):
            done += len(items)
            yield Chunk(items, Position(number, done))


def chunked(
    items: Iterable[T], size: Callable[[T], int], rows: int = CHUNK_ROWS
) -> Iterator[list[T]]:
    """Splits items into lists of limited length and size."""
    chunk: list[T] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += size(item)
        if len(chunk) >= rows or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def num_characters(item: Record | BadRow) -> int:
    """The number of characters of a row."""
    if isinstance(item, BadRow):
        return len(item.content)
    return len(item.raw) or sum(len(v) for v in item.values.values() if isinstance(v, str))
