"""Answers put behind rows as they stand in the input.

For rows of a text format that stay in it: nothing of a row is written anew, so nothing of it can
change, neither `1.10` nor the quotes around a cell. Knows nothing of where rows come from.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from gatewise.service.scoring import row_format
from gatewise.service.scoring.cell_values import cell_text, json_text
from gatewise.service.scoring.output_columns import Column


def delimited(raws: Sequence[str], columns: Sequence[Column], delimiter: str) -> str:
    r"""Rows of CSV or TSV with further cells behind them.

    >>> delimited(["a,1.10\r\n"], [["spam"], np.array([0.9], dtype=np.float32)], ",")
    'a,1.10,spam,0.9\n'

    Args:
        raws: The rows as they stand in the file.
        columns: The cells of each further column, as many as there are rows.
        delimiter: What stands between cells.
    """
    cells = [list(_cells(column, delimiter)) for column in columns]
    rows = zip(map(_bare, raws), zip(*cells, strict=True), strict=True)
    return "".join([f"{raw}{delimiter}{delimiter.join(answers)}\n" for raw, answers in rows])


def _bare(raw: str) -> str:
    return raw.rstrip("\r\n")


def json_lines(raws: Sequence[str], names: Sequence[str], columns: Sequence[Column]) -> str:
    r"""JSON objects with further keys at their end.

    >>> json_lines(['{"a": 1.10}\n', "{}"], ["label"], [["spam", "ham"]])
    '{"a": 1.10, "label": "spam"}\n{"label": "ham"}\n'

    Args:
        raws: The objects as they stand in the file, one line each.
        names: The further keys; no object has one of them.
        columns: The values of each, as many as there are objects.
    """
    keys = [f"{json_text(name)}: " for name in names]
    values = [
        [key + value for value in _json(column)] for key, column in zip(keys, columns, strict=True)
    ]
    lines = []
    for raw, answers in zip(raws, zip(*values, strict=True), strict=True):
        # An object ends with its brace; what stands before it is left as it is.
        before = raw.rstrip()[:-1].rstrip()
        comma = "" if before.lstrip() == "{" else ", "
        lines.append(f"{before}{comma}{', '.join(answers)}}}\n")
    return "".join(lines)


def _cells(column: Column, delimiter: str) -> Iterator[str]:
    if isinstance(column, np.ndarray):
        yield from map(str, column)
        return
    quoted: dict[str, str] = {}
    for text in map(cell_text, column):
        if (cell := quoted.get(text)) is None:
            # Beside another cell, for an empty one that is alone in its row is quoted.
            cell = quoted[text] = row_format.delimited([["", text]], delimiter)[1:-1]
        yield cell


def _json(column: Column) -> Iterator[str]:
    if isinstance(column, np.ndarray):
        return map(str, column)
    return map(json_text, column)
