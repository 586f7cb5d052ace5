"""Records of data files, rows that are bad, and the location of each."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Files without lines, whose rows are counted.
_ROW_SUFFIXES = (".parquet", ".arrow", ".xlsx")
MEMORY_NAMES = ("training rows", "validation rows", "test rows", "rows")
"""The names of rows that are in memory, where a file would have its own."""

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a record starts.

    Attributes:
        file: The name of the file.
        line: Counted from 1. A text file counts its lines, so that a CSV header is line 1;
            Parquet, Arrow and Excel count their rows. Rows in memory have their position,
            counted from 0.
    """

    file: str
    line: int

    @property
    def place(self) -> str:
        """The location inside its file, such as `line 17`, or `row 17` in Parquet.

        >>> Location("train.csv", 17).place, Location("training rows", 16).place
        ('line 17', 'position 16')
        """
        # Derived from the name: a third field would slow reading down by a tenth.
        if self.file in MEMORY_NAMES:
            return f"position {self.line}"
        unit = "row" if self.file.lower().endswith(_ROW_SUFFIXES) else "line"
        return f"{unit} {self.line}"

    def __str__(self) -> str:
        return f"{self.file}, {self.place}"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, with the reason.

    Attributes:
        location: Where the row starts.
        reason: What was expected and what was received, without the location.
        content: The row as in the file, without its line end; for Parquet, its values
            as JSON. A byte that is not UTF-8 is a lone surrogate (`surrogateescape`).
    """

    location: Location
    reason: str
    content: str


# Not frozen: there is one per row, and freezing would slow reading down by a seventh.
@dataclass(slots=True)
class Record:
    """A record of a data file; its values are not checked yet.

    Attributes:
        values: Column to value, in the order of the file: strings of CSV and TSV, JSON values, and
            Parquet values as Python values or, where that is not exact, `pyarrow.Scalar`s.
        location: Where the record starts.
        raw: The text that the record was parsed from; empty for Parquet.
    """

    values: Mapping[str, object]
    location: Location
    raw: str

    def bad(self, reason: str) -> BadRow:
        """The record as a bad row."""
        content = self.raw
        if not content:
            # Imports pyarrow, which texts alone do without.
            from gatewise.vocab.corpus.cell_values import json_text  # noqa: PLC0415

            content = json_text(dict(self.values))
        return BadRow(self.location, reason, content.rstrip("\r\n"))


def is_unicode(text: str) -> bool:
    """Whether a text can be encoded as UTF-8: it has no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(name: str) -> str:
    r"""A file name as text that can be written: it need not be Unicode.

    >>> readable("f\udcfcr.csv") == "f\N{REPLACEMENT CHARACTER}r.csv"
    True
    """
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", name)


def not_unicode_reason(cells: Iterable[tuple[str, str]], raw: str, encoding: str = "UTF-8") -> str:
    r"""The reason why a row is not Unicode, with the cell.

    Args:
        cells: Columns and their texts; at least one holds a lone surrogate.
        raw: The line, to distinguish a byte from an escape such as `\ud800`.
        encoding: The encoding of the file.
    """
    for column, text in cells:
        for part, where in ((text, f"column {column!r}"), (column, f"the column name {column!r}")):
            if (found := _SURROGATE.search(part)) is None:
                continue
            code = ord(found[0])
            if found[0] in raw and _is_byte(code):
                return f"{where} holds the byte 0x{code - 0xDC00:02x}, which is not {encoding}"
            return f"{where} holds \\u{code:04x}, half of a surrogate pair"
    stray = _SURROGATE.search(raw)
    byte = f"the byte 0x{ord(stray[0]) - 0xDC00:02x}" if stray else "a byte"
    return f"the row holds {byte}, which is not {encoding}"


def _is_byte(code: int) -> bool:
    """Whether a lone surrogate stands for a byte (PEP 383) and is not half of a pair."""
    return 0xDC80 <= code <= 0xDCFF
