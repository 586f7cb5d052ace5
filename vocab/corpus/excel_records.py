"""A sheet of an Excel workbook (`.xlsx`) as records; its first row that is not empty is the header.

The workbook is read into memory, by python-calamine of the extra `excel`.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gatewise.vocab.corpus.data_files import DataFile, open_bytes
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.records import BadRow, Location, Record
from gatewise.vocab.errors import CorpusError

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook


def sheet_note(file: DataFile) -> str | None:
    """Which sheet is read, if none is named and there are several.

    Raises:
        CorpusError: The file is not a workbook.
    """
    names = _workbook(file).sheet_names
    if file.sheet is not None or len(names) < 2:
        return None
    others = ", ".join(map(repr, names[1:]))
    return f"the first sheet, {names[0]!r}, is read; the others are {others}"


def columns_of(file: DataFile) -> tuple[str, ...]:
    """Read the header.

    Raises:
        CorpusError: The file is not a workbook, or has no such sheet; or its header is missing, has
            an empty cell between others, or names a column twice.
    """
    return _header(file, _rows(file))


def records_of(file: DataFile, progress: ReadProgress | None = None) -> Iterator[Record | BadRow]:
    """Read the records below the header; empty rows are skipped.

    Whole numbers are integers; an empty cell is None.

    Args:
        file: The file.
        progress: Follows how much of the file has been read: all of it before the first record.

    Raises:
        CorpusError: See `columns_of`.
    """
    rows = _rows(file)
    columns = _header(file, rows)
    name, width = str(file), len(columns)
    size = file.size or 0
    with (progress or ReadProgress()).following(lambda: size):
        for number, cells in rows:
            record = Record(dict(zip(columns, cells, strict=False)), Location(name, number), raw="")
            if any(cell is not None for cell in cells[width:]):
                yield record.bad(f"expected {width} cells, received {len(cells)}")
            else:
                yield record


def _header(file: DataFile, rows: Iterator[tuple[int, list[object]]]) -> tuple[str, ...]:
    number, cells = next(rows, (0, []))
    while cells and cells[-1] is None:
        cells.pop()
    if not cells:
        raise CorpusError(f"{file}: the sheet is empty; expected a header row")
    names = ["" if cell is None else str(cell) for cell in cells]
    for name in names:
        if not name or names.count(name) > 1:
            what = f"names the column {name!r} more than once" if name else "has an empty cell"
            raise CorpusError(f"{file}, row {number}: the header {what}")
    return tuple(names)


def _rows(file: DataFile) -> Iterator[tuple[int, list[object]]]:
    """The rows that are not empty, each with its number in the sheet."""
    workbook = _workbook(file)
    names = workbook.sheet_names
    if not names or (file.sheet is not None and file.sheet not in names):
        found = ", ".join(map(repr, names)) or "none"
        raise CorpusError(
            f"{file}: no sheet {file.sheet!r}; the sheets are: {found}", option="sheet"
        )
    sheet = workbook.get_sheet_by_name(names[0] if file.sheet is None else file.sheet)
    for number, row in enumerate(sheet.iter_rows(), start=1):
        cells = list(map(_value, row))
        if any(cell is not None for cell in cells):
            yield number, cells


def _value(cell: object) -> object:
    if cell == "":
        return None
    # Excel has no integers.
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _workbook(file: DataFile) -> "CalamineWorkbook":
    try:
        from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise CorpusError(
            f"{file}: Excel files need the package 'python-calamine', which is not installed: run "
            "pip install 'gatewise[excel]'"
        ) from None
    with open_bytes(file) as raw:
        contents = io.BytesIO(raw.read())
    try:
        return CalamineWorkbook.from_filelike(contents)
    except CalamineError as error:
        raise CorpusError(f"{file}: cannot be read as an Excel workbook: {error}") from error
