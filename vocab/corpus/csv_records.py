"""CSV and TSV as records, with every broken row named by the line it starts on.

Python's `csv` parses, in strict mode: it gives one record a step and tells a broken quote from a
text. Both formats quote a cell that holds a separator, a quote or a line end (RFC 4180). Blank
lines are skipped; a NUL is a character like any other.

A quote that is opened and never closed would swallow the fine rows after it. The lines of the
record in progress are therefore kept: when they turn out to be no record, the first of them alone
is bad, and reading resumes with the second.
"""

import csv
from collections import deque
from collections.abc import Iterator
from itertools import chain

from gatewise.vocab.corpus.data_files import LINE_LIMIT, DataFile, Format, open_lines, too_long
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Location, Record, is_unicode, not_unicode_reason
from gatewise.vocab.errors import CorpusError

# A quote still open after so many characters or lines is taken for a broken one.
RECORD_LIMIT = LINE_LIMIT
RECORD_LINES = 500_000


class _RecordTooLongError(Exception):
    """The record in progress has grown past `RECORD_LIMIT` or `RECORD_LINES`."""


class _Parser:
    """Cells out of lines, one record a step, with the lines of the record in progress kept.

    Attributes:
        lines: The lines of the latest record, with their line ends.
        start: The number of the first of them, from 1.
    """

    def __init__(self, lines: Iterator[str], file: DataFile) -> None:
        self.lines: list[str] = []
        self.start = 0
        self._source = lines
        self._replay: deque[str] = deque()
        self._file = file
        # The limit is one for the whole process, 131,072 characters at first; it is only raised.
        csv.field_size_limit(max(csv.field_size_limit(), RECORD_LIMIT))
        self._restart(lines_done=0)

    def step(self) -> list[str]:
        """Parse the next record; no cells stand for a blank line.

        Raises:
            StopIteration: The file is at its end.
            csv.Error: The record in progress is none. `skip_line` must follow.
        """
        self.lines.clear()
        self.start = self._lines_done + self._reader.line_num + 1
        try:
            return next(self._reader)
        except _RecordTooLongError as error:
            raise csv.Error("unexpected end of data") from error

    def skip_line(self) -> None:
        """After an error, resume with the line after the first of the record in progress."""
        self._replay.extendleft(reversed(self.lines[1:]))
        self._restart(lines_done=self.start)

    def _restart(self, lines_done: int) -> None:
        self._lines_done = lines_done
        delimiter = "\t" if self._file.format is Format.TSV else ","
        self._reader = csv.reader(self._feed(), delimiter=delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        lines, size, limit = self.lines, 0, LINE_LIMIT
        for line in chain(self._drain(), self._source):
            if len(line) == limit:
                raise too_long(self._file, self.start + len(lines))
            # Lines are added up only where a record goes on over several of them.
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
        return _header(_Parser(lines, file), file)


def records_of(file: DataFile, meter: ReadProgress | None = None) -> Iterator[Record | BadRow]:
    """Read the records below the header, one at a time.

    Args:
        file: The file.
        meter: Told how much of the file has been read.

    Raises:
        CorpusError: The header is unusable, the file cannot be read or decompressed, or a line
            is beyond all measure.
    """
    name = str(file)
    with open_lines(file, meter) as source:
        parser = _Parser(source, file)
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
                yield record.bad(not_unicode_reason(zip(columns, cells, strict=True), raw))


def _header(parser: _Parser, file: DataFile) -> tuple[str, ...]:
    cells: list[str] = []
    while not cells or parser.lines[0].isspace():
        try:
            cells = parser.step()
        except StopIteration:
            raise CorpusError(f"{file}: the file is empty; expected a header line") from None
        except csv.Error as error:
            reason = _quote_reason(error, len(parser.lines))
            raise CorpusError(
                f"{file}, line {parser.start}: the header cannot be read: {reason}"
            ) from error
    place = f"{file}, line {parser.start}"
    if not is_unicode("".join(cells)):
        raise CorpusError(f"{place}: the header is not UTF-8. Save the file as UTF-8")
    if twice := sorted({cell for cell in cells if cells.count(cell) > 1}):
        raise CorpusError(f"{place}: the header names the column {twice[0]!r} more than once")
    return tuple(cells)


def _quote_reason(error: Exception, lines: int) -> str:
    """Say in the words of the file what `csv` says in the words of its parser."""
    said = str(error)
    if lines > 1 or "unexpected end" in said:
        return "a quote is opened and not closed as it should be"
    if "expected after" in said:
        return "a quoted cell goes on after its closing quote"
    if "new-line character" in said:
        return "a carriage return stands outside quotes; lines should end in LF or CRLF"
    return said
