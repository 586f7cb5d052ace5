"""What a data file is made of: records that can be read, bad rows that cannot, and where each is.

Knows nothing of formats, nor of what the columns mean.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a record starts.

    Attributes:
        file: The path of the file as it was given.
        line: Counted from 1. A text file counts its lines, so that a CSV header is line 1;
            Parquet has no lines and counts its rows.
    """

    file: str
    line: int

    @property
    def place(self) -> str:
        """The location inside its file, such as `line 17`, or `row 17` in Parquet."""
        # Told by the name: a third field would cost a tenth of the reading speed.
        unit = "row" if self.file.lower().endswith(".parquet") else "line"
        return f"{unit} {self.line}"

    def __str__(self) -> str:
        return f"{self.file}, {self.place}"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, with the reason.

    Attributes:
        location: Where the row starts.
        reason: What was expected and what was received, without the location.
        content: The row as it stands in the file, without its line end; for Parquet, its values
            as JSON. A byte that is not UTF-8 is a lone surrogate (`surrogateescape`).
    """

    location: Location
    reason: str
    content: str


# Not frozen: one is made for every row, and freezing it would cost a seventh of the reading speed.
@dataclass(slots=True)
class Record:
    """One record of a data file, its values not yet looked at.

    Attributes:
        values: Column to value, in the order of the file. CSV and TSV give strings, JSON Lines
            what JSON gives; a Parquet value without an exact counterpart in Python (a timestamp
            in nanoseconds, a struct) stays a `pyarrow.Scalar`.
        location: Where the record starts.
        raw: The text the record was parsed from; empty for Parquet, which has none.
    """

    values: Mapping[str, object]
    location: Location
    raw: str

    def bad(self, reason: str) -> BadRow:
        """Give this record up for a reason that parsing could not see."""
        content = self.raw or json.dumps(dict(self.values), ensure_ascii=False, default=str)
        return BadRow(self.location, reason, content.rstrip("\r\n"))


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written as UTF-8, which a lone surrogate cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_unicode_reason(cells: Iterable[tuple[str, str]], raw: str) -> str:
    r"""Say which cell is not Unicode.

    Args:
        cells: Columns and their texts; one at least should hold a lone surrogate.
        raw: The undecoded line, which tells a stray byte from an escape such as `\ud800`.
    """
    for column, text in cells:
        for part, where in ((text, f"column {column!r}"), (column, f"the column name {column!r}")):
            if (found := _SURROGATE.search(part)) is None:
                continue
            code = ord(found[0])
            if found[0] in raw:
                return f"{where} holds the byte 0x{code - 0xDC00:02x}, which is not UTF-8"
            return f"{where} holds \\u{code:04x}, half of a surrogate pair"
    stray = _SURROGATE.search(raw)
    byte = f"the byte 0x{ord(stray[0]) - 0xDC00:02x}" if stray else "a byte"
    return f"the row holds {byte}, which is not UTF-8"
