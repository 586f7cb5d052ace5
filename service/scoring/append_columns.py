"""Appends new columns to the unchanged text of CSV, TSV or JSON Lines rows.

No value of a row is parsed and formatted again, so none changes: neither `1.10` nor quotes.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from gatewise.service.scoring import row_format
from gatewise.service.scoring.output_columns import Column
from gatewise.vocab.corpus.cell_values import cell_text, json_text

_LINE_END = "\r\n"


def append_cells(raws: Sequence[str], columns: Sequence[Column], delimiter: str) -> str:
    r"""Appends cells to rows of CSV or TSV.

    >>> append_cells(["a,1.10\r\n"], [["spam"], np.array([0.9], dtype=np.float32)], ",")
    'a,1.10,spam,0.9\n'
    """
    cells = [list(_cells(column, delimiter)) for column in columns]
    rows = zip(raws, zip(*cells, strict=True), strict=True)
    return "".join(
        [f"{raw.rstrip(_LINE_END)}{delimiter}{delimiter.join(values)}\n" for raw, values in rows]
    )


def append_keys(raws: Sequence[str], names: Sequence[str], columns: Sequence[Column]) -> str:
    r"""Appends keys to JSON objects.

    >>> append_keys(['{"a": 1.10}\n', "{}"], ["label"], [["spam", "ham"]])
    '{"a": 1.10, "label": "spam"}\n{"label": "ham"}\n'
    """
    keys = [f"{json_text(name)}: " for name in names]
    values = [
        [key + value for value in _json(column)] for key, column in zip(keys, columns, strict=True)
    ]
    lines = []
    for raw, members in zip(raws, zip(*values, strict=True), strict=True):
        # The text before the closing brace is not changed.
        before = raw.rstrip()[:-1].rstrip()
        comma = "" if before.lstrip() == "{" else ", "
        lines.append(f"{before}{comma}{', '.join(members)}}}\n")
    return "".join(lines)


def _cells(column: Column, delimiter: str) -> Iterator[str]:
    if isinstance(column, np.ndarray):
        yield from map(str, column)
        return
    quoted: dict[str, str] = {}
    for text in map(cell_text, column):
        if (cell := quoted.get(text)) is None:
            # With another cell before it, because `csv` quotes an empty cell that is alone.
            cell = quoted[text] = row_format.delimited([["", text]], delimiter)[1:-1]
        yield cell


def _json(column: Column) -> Iterator[str]:
    if isinstance(column, np.ndarray):
        return map(str, column)
    return map(json_text, column)
