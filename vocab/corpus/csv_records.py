"""CSV and TSV as records; a malformed row is reported with the line it starts on.

Cells may stand in double quotes (RFC 4180), unless the file is one without quotes, as many tools
write TSV. The line `sep=;`, which Excel understands, may stand before the header.

Python's `csv` parses in strict mode. Blank lines are skipped; NUL is an ordinary character.

A quote that is never closed would swallow the rows after it. So the lines of the current record are
kept: if they form no record, only the first is bad, and parsing continues with the second.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

from gatewise.vocab.corpus.data_files import LINE_LIMIT, DataFile, open_lines, too_long
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Location, Record, is_unicode, not_unicode_reason
from gatewise.vocab.errors import CorpusError, EmptyFileError

# A quote that is open for so many characters or lines counts as malformed.
RECORD_LIMIT = LINE_LIMIT
RECORD_LINES = 500_000
_SEPARATOR_LINE = re.compile(r'"?sep=([^"])"?', re.IGNORECASE)
_ROWS_IN_QUOTES = (
    "a quoted cell holds line ends and tabs, and each of its lines is a row by itself; if quotes "
    "are characters like others in this file, set quoting to none"
)


class _RecordTooLongError(Exception):
    """The current record exceeds `RECORD_LIMIT` or `RECORD_LINES`."""


class Parser:
    """Parses one record a step, and keeps its lines.

    Attributes:
        lines: The lines of the current record, with their line ends.
        start: The number of the first of them, from 1.
    """

    def __init__(self, lines: Iterator[str], file: DataFile) -> None:
        self.lines: list[str] = []
        self.start = 0
        self._source = lines
        self._replay: deque[str] = deque()
        self._file = file
        # The limit is global, 131,072 characters by default; it is only raised here.
        csv.field_size_limit(max(csv.field_size_limit(), RECORD_LIMIT))
        self._restart(lines_done=0)

    def step(self) -> list[str]:
        """Parse the next record; a blank line has no cells.

        Raises:
            StopIteration: The file has ended.
            csv.Error: The lines form no record. Call `skip_line` next.
        """
        self.lines.clear()
        self.start = self._lines_done + self._reader.line_num + 1
        try:
            return next(self._reader)
        except _RecordTooLongError as error:
            raise csv.Error("unexpected end of data") from error

    def skip_line(self) -> None:
        """After an error, continue with the second line of the current record."""
        self._replay.extendleft(reversed(self.lines[1:]))
        self._restart(lines_done=self.start)

    def _restart(self, lines_done: int) -> None:
        self._lines_done = lines_done
        delimiter = self._file.cell_delimiter
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self._file.quoted else csv.QUOTE_NONE
        self._reader = csv.reader(self._feed(), delimiter=delimiter, quoting=quoting, strict=True)

    def _feed(self) -> Iterator[str]:
        lines, size, limit = self.lines, 0, LINE_LIMIT
        for line in chain(self._drain(), self._source):
            if len(line) == limit:
                raise too_long(self._file, self.start + len(lines))
            # Sizes are added up only for a record of several lines, for speed.
            size = size + len(line) if lines else 0
            lines.append(line)
            if size and (size > RECORD_LIMIT or len(lines) > RECORD_LINES):
                raise _RecordTooLongError
            yield line

    def _drain(self) -> Iterator[str]:
        while self._replay:
            yield self._replay.popleft()


def columns_of(file: DataFile) -> tuple[str, ...]:
    """Read the header.

    Raises:
        CorpusError: There is no header, it cannot be parsed, or it names a column twice.
    """
    with open_lines(file) as lines:
        return _header(Parser(lines, file), file)


def records_of(file: DataFile, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
    """Read the records below the header, one at a time.

    Args:
        file: The file.
        progress: Follows how much of the file has been read.

    Raises:
        CorpusError: The header is unusable, the file cannot be read or decompressed, or a line
            is too long.
    """
    name = str(file)
    with open_lines(file, progress) as source:
        parser = Parser(source, file)
        columns = _header(parser, file)
        width, lines = len(columns), parser.lines
        while True:
            try:
                cells = parser.step()
            except StopIteration:
                return
            except csv.Error as error:
                reason = _quote_reason(error, len(lines))
                yield BadRow(Location(name, parser.start), reason, lines[0].rstrip("\r\n"))
                parser.skip_line()
                continue
            location = Location(name, parser.start)
            if len(lines) > 1 and holds_rows(lines, width, file.cell_delimiter):
                yield BadRow(location, _ROWS_IN_QUOTES, lines[0].rstrip("\r\n"))
                parser.skip_line()
                continue
            raw = lines[0] if len(lines) == 1 else "".join(lines)
            if len(cells) != width or width == 1:
                if raw.isspace():
                    continue
                if len(cells) != width:
                    reason = f"expected {width} cells, received {len(cells)}"
                    yield BadRow(location, reason, raw.rstrip("\r\n"))
                    continue
            record = Record(dict(zip(columns, cells)), location, raw)  # noqa: B905 (as many)
            if raw.isascii() or is_unicode(raw):
                yield record
            else:
                cells_by_column = zip(columns, cells, strict=True)
                yield record.bad(not_unicode_reason(cells_by_column, raw, file.encoding))


def separator_of(line: str) -> str | None:
    """The delimiter that the line `sep=;` names; None for any other line.

    >>> separator_of("sep=;"), separator_of("text;label")
    (';', None)

    Args:
        line: The first line of a file.
    """
    found = _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n"))
    return found[1] if found else None


def holds_rows(lines: Sequence[str], width: int, delimiter: str) -> bool:
    """Whether every line of a record that spans several is a row by itself.

    Then a quote was a character of the text. A cell of TSV hardly ever holds a tab; one of CSV may
    well hold commas and line ends.

    Args:
        lines: The lines of the record.
        width: Number of columns.
        delimiter: The delimiter.
    """
    return delimiter == "\t" and width > 1 and all(line.count("\t") == width - 1 for line in lines)


def _header(parser: Parser, file: DataFile) -> tuple[str, ...]:
    cells: list[str] = []
    while not cells or parser.lines[0].isspace() or separator_of(parser.lines[0]):
        try:
            cells = parser.step()
        except StopIteration:
            raise EmptyFileError(f"{file}: the file is empty; expected a header line") from None
        except csv.Error as error:
            reason = _quote_reason(error, len(parser.lines))
            raise CorpusError(
                f"{file}, line {parser.start}: the header cannot be read: {reason}"
            ) from error
    place = f"{file}, line {parser.start}"
    if not is_unicode("".join(cells)):
        raise CorpusError(f"{place}: the header is not {file.encoding}. Save the file as UTF-8")
    if cells.count("") > 1:
        empty = [str(number) for number, cell in enumerate(cells, start=1) if not cell]
        raise CorpusError(
            f"{place}: {len(empty)} cells of the header are empty, those of the columns "
            f"{', '.join(empty)}: name these columns, or remove them"
        )
    if twice := sorted({cell for cell in cells if cells.count(cell) > 1}):
        raise CorpusError(f"{place}: the header names the column {twice[0]!r} more than once")
    return tuple(cells)


def _quote_reason(error: Exception, lines: int) -> str:
    """Describe an error of `csv` in terms of the file."""
    message = str(error)
    if lines > 1 or "unexpected end" in message:
        return "a quote is opened and not closed correctly"
    if "expected after" in message:
        return "a quoted cell has text after its closing quote"
    if "new-line character" in message:
        return "a carriage return outside quotes; lines should end in LF or CRLF"
    return message
