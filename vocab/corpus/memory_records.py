"""Records of rows that are in memory: the same interface as `record_stream` gives files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gatewise.vocab.corpus.records import (
    BadRow,
    Location,
    Record,
    is_unicode,
    not_unicode_reason,
)
from gatewise.vocab.corpus.shown_names import no_column


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """A table in memory.

    Attributes:
        name: Its name in messages, one of `records.MEMORY_NAMES`.
        columns: The names of its columns.
        values: The values of the columns that are read; each column has as many.
        class_names: The names of the labels that a column holds as numbers, by column.
    """

    name: str
    columns: tuple[str, ...]
    values: Mapping[str, Sequence[object]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def records(self) -> Iterator[Record | BadRow]:
        """Read the rows from the first."""
        names = tuple(self.values)
        for position, cells in enumerate(zip(*self.values.values(), strict=True)):
            record = Record(dict(zip(names, cells, strict=True)), Location(self.name, position), "")
            texts = [
                (name, part)
                for name, cell in record.values.items()
                for part in (cell if isinstance(cell, list) else [cell])
                if isinstance(part, str)
            ]
            if all(is_unicode(text) for _, text in texts):
                yield record
            else:
                # Without a line to look into: a lone surrogate is no byte of a file.
                yield record.bad(not_unicode_reason(texts, ""))

    def require(self, column: str, option: str) -> None:
        """Check that there is a column; `option` is the parameter that names it.

        Raises:
            CorpusError: There is none.
        """
        if column not in self.columns:
            raise no_column(self.name, column, self.columns, option)


@dataclass(frozen=True, slots=True)
class MemoryRecords:
    """The records of a table in memory; each iteration reads them again.

    Attributes:
        table: The table.
        notes: Nothing has to be found out about how to read it.
    """

    table: MemoryTable
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Its name in messages."""
        return self.table.name

    @property
    def tables(self) -> tuple[MemoryTable]:
        """The only table."""
        return (self.table,)

    def __iter__(self) -> Iterator[Record | BadRow]:
        return self.table.records()

    def require(self, column: str, option: str) -> None:
        """Check that there is a column; see `MemoryTable.require`."""
        self.table.require(column, option)
