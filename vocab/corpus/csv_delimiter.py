"""The delimiter of a CSV or TSV file, and whether its cells are quoted, found in its first rows."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gatewise.vocab.corpus.csv_records import Parser, separator_of
from gatewise.vocab.corpus.data_files import DataFile

_DELIMITERS = (",", ";", "\t", "|")
_ROWS = 1000
# The share of the rows that must have as many cells as the header.
_CLEAR_SHARE = 0.9


def find_delimiters(file: DataFile, lines: Sequence[str]) -> tuple[str, ...]:
    """The delimiter of a file, or the candidates if it is doubtful.

    The line `sep=;` before the header decides. Otherwise the usual delimiter of the file's format
    is kept if every row has the same number of cells with it, two at least, or if no other one
    clearly fits: it cuts the header, and of a file of one column nine rows of ten.

    Args:
        file: The file.
        lines: Its first lines, with their line ends.
    """
    if lines and (named := separator_of(lines[0])):
        return (named,)
    usual = file.format.delimiter
    width, share = _fit(file, usual, lines)
    if width > 1 and share == 1:
        return (usual,)
    shares = {usual: share if width > 1 else 0.0}
    for delimiter in _DELIMITERS:
        if delimiter != usual:
            other_width, other_share = _fit(file, delimiter, lines)
            shares[delimiter] = other_share if other_width > 1 else 0.0
    best = max(shares.values())
    is_one_column = width == 1 and share == 1
    if best == 0 or (is_one_column and best < _CLEAR_SHARE):
        return (usual,)
    return tuple(delimiter for delimiter, share in shares.items() if share >= best / 2)


def is_quoted(file: DataFile, lines: Sequence[str]) -> bool:
    """Whether cells in double quotes are meant as quoted cells, rather than as texts with quotes.

    In TSV they are not if every line is a row by itself, and quotes would join some of them or be
    malformed. In CSV they always are.

    Args:
        file: The file, with its delimiter.
        lines: Its first lines, with their line ends.
    """
    if file.cell_delimiter != "\t" or not any('"' in line for line in lines):
        return True
    rows = [line for line in lines if not line.isspace()][:_ROWS]
    width = rows[0].count("\t") + 1
    if width == 1 or any(line.count("\t") + 1 != width for line in rows):
        return True
    return Counter(_rows(file, rows)) == {width: len(rows)}


def _fit(file: DataFile, delimiter: str, lines: Sequence[str]) -> tuple[int, float]:
    """The number of cells of the header, and the share of the rows with as many."""
    widths = list(_rows(replace(file, delimiter=delimiter), lines))
    if len(widths) < 2:
        return (widths[0] if widths else 0), 1.0
    return widths[0], widths[1:].count(widths[0]) / (len(widths) - 1)


def _rows(file: DataFile, lines: Sequence[str]) -> Iterator[int]:
    """The number of cells of the header and of each row after it; 0 for a malformed row."""
    parser = Parser(iter(lines), file)
    rows = 0
    while rows <= _ROWS:
        try:
            cells = parser.step()
        except StopIteration:
            return
        except csv.Error:
            # A quote that is open at the end may be closed beyond the first lines.
            if not rows or parser.start + len(parser.lines) > len(lines):
                return
            yield 0
            parser.skip_line()
        else:
            if parser.lines[0].isspace():
                continue
            yield len(cells)
        rows += 1
