"""Records in windows: as many as are worth being scored together, and no more than memory bears.

Owns where one window ends and the next begins, which depends on nothing but the records. Knows
nothing of what is done with them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import Table
from gatewise.vocab.corpus.records import BadRow, Record

ROWS = 4096
"""Most rows of a window."""

# A window of long texts is closed early: so memory has a bound whatever the texts are, and few long
# texts are enough windows for many cores.
_CHARACTERS = 1024 * 1024

T = TypeVar("T")
Items = list[Record | BadRow]


@dataclass(frozen=True, slots=True)
class Position:
    """How far an input has been read, always to the end of a window.

    Attributes:
        table: Which file is being read, counted from 0.
        records: How many of its records have been read, bad rows among them.
    """

    table: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records to be scored together, all of one file.

    Attributes:
        items: The records, and bad rows among them.
        end: Where the next window begins.
        characters: How long the records are together.
    """

    items: Items
    end: Position
    characters: int


def chunks(
    tables: tuple[Table, ...],
    start: Position | None = None,
    rows: int = ROWS,
    meter: ReadProgress | None = None,
) -> Iterator[Chunk]:
    """Cuts files into windows.

    Args:
        tables: The files.
        start: Where to begin: an `end` of an earlier run, for the same windows from there on;
            None for the beginning.
        rows: Most rows of a window.
        meter: Told how much of the files has been read.
    """
    start = start or Position()
    for number, table in enumerate(tables[start.table :], start=start.table):
        skipped = start.records if number == start.table else 0
        items = islice(table.records(meter), skipped, None)
        done = skipped
        for window, characters in cut(items, size_of, rows):
            done += len(window)
            yield Chunk(window, Position(number, done), characters)


def cut(
    items: Iterable[T], size: Callable[[T], int], rows: int = ROWS
) -> Iterator[tuple[list[T], int]]:
    """Cuts items into stretches that are worth being scored together.

    Args:
        items: Records or texts.
        size: How many characters one has.
        rows: Most items of a stretch.

    Yields:
        A stretch, and its characters.
    """
    stretch: list[T] = []
    characters = 0
    for item in items:
        stretch.append(item)
        characters += size(item)
        if len(stretch) >= rows or characters >= _CHARACTERS:
            yield stretch, characters
            stretch, characters = [], 0
    if stretch:
        yield stretch, characters


def size_of(item: Record | BadRow) -> int:
    """The characters of a row."""
    if isinstance(item, BadRow):
        return len(item.content)
    return len(item.raw) or sum(len(v) for v in item.values.values() if isinstance(v, str))
