"""The delimiter of a CSV or TSV file, found in its first rows."""

import csv
from collections.abc import Sequence
from dataclasses import replace

from gatewise.vocab.corpus.csv_records import Parser
from gatewise.vocab.corpus.data_files import DataFile

_DELIMITERS = (",", ";", "\t", "|")
_ROWS = 1000
# The share of the rows that must have as many cells as the header.
_CLEAR_SHARE = 0.9


def find_delimiters(file: DataFile, lines: Sequence[str]) -> tuple[str, ...]:
    """The delimiter of a file, or the candidates if it is doubtful.

    The usual delimiter of the file's format is kept if every row has the same number of cells with
    it, two at least, or if no other one cuts the header.

    Args:
        file: The file.
        lines: Its first lines, with their line ends.
    """
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


def _fit(file: DataFile, delimiter: str, lines: Sequence[str]) -> tuple[int, float]:
    """The number of cells of the header, and the share of the rows with as many."""
    parser = Parser(iter(lines), replace(file, delimiter=delimiter))
    width = rows = fitting = 0
    while rows < _ROWS:
        try:
            cells = parser.step()
        except StopIteration:
            break
        except csv.Error:
            # A quote that is open at the end may be closed beyond the first lines.
            if not width or parser.start + len(parser.lines) > len(lines):
                break
            rows += 1
            parser.skip_line()
            continue
        if parser.lines[0].isspace():
            continue
        if not width:
            width = len(cells)
            continue
        rows += 1
        fitting += len(cells) == width
    return width, fitting / rows if rows else 1.0
