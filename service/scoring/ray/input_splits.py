"""Input splits: ranges of rows, each scored in one call and written as one part of the output.

Small files are read together, as one group of files; a large file is a group of its own. Where a
split begins depends on nothing but the input. Every reader of a group reads it from its beginning,
because neither CSV nor a compressed file can be entered in the middle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from gatewise.service.scoring.chunks import CHUNK_ROWS, Items, chunked, num_characters
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import Table
from gatewise.vocab.corpus.records import BadRow, Record

Group = tuple[Table, ...]
"""Files that are read one after the other."""


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """How an input is divided."""

    chunk: int = CHUNK_ROWS  # the largest number of rows in a chunk
    split: int = 65_536  # the number of rows in a split, and so in a part of the output
    group: int = 64 * 2**20  # the largest size in bytes of a group of several files


@dataclass(frozen=True, slots=True, order=True)
class Split:
    """A range of rows. Splits are ordered as their rows are in the input."""

    group: int
    number: int

    def __str__(self) -> str:
        return f"{self.group:05}-{self.number:05}"


def file_groups(tables: Sequence[Table], size: int) -> tuple[Group, ...]:
    """Groups neighbouring files, so that small ones share parts of the output."""
    groups: list[list[Table]] = []
    filled = 0
    for table in tables:
        bytes_ = size if table.file.size is None else table.file.size
        if not groups or filled + bytes_ > size:
            groups.append([])
            filled = 0
        groups[-1].append(table)
        filled += bytes_
    return tuple(map(tuple, groups))


class SplitReader:
    """Reads splits. A later split of the same group is reached by reading on, not anew."""

    def __init__(self) -> None:
        self._next: Split | None = None  # the position of the open files
        self._records: Iterator[Record | BadRow] = iter(())
        self._meter = ReadProgress()

    @property
    def bytes_read(self) -> int:
        """Bytes read of the current group, as stored on disk."""
        return self._meter.done

    def chunks(self, group: Group, split: Split, sizes: SplitSizes) -> Iterator[Items]:
        """The records of a split, in chunks. A split beyond the end of its group has none."""
        start = self._next
        if start is None or start.group != split.group or start > split:
            start = Split(split.group, 0)
            self._meter = ReadProgress()
            self._records = _records(group, self._meter)
        # Only a split that is read to its end leaves the files at the start of the next one.
        self._next = None
        skipped = (split.number - start.number) * sizes.split
        next(islice(self._records, skipped, skipped), None)
        records = islice(self._records, sizes.split)
        yield from chunked(records, num_characters, sizes.chunk)
        self._next = Split(split.group, split.number + 1)


def _records(group: Group, meter: ReadProgress) -> Iterator[Record | BadRow]:
    for table in group:
        yield from table.records(meter)
