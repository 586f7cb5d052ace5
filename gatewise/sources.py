"""What a Python caller trains on or evaluates: a path, a table, or texts with their labels."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatewise.vocab.corpus.columns import (
    LABEL,
    LABELS,
    PROBABILITY_PREFIX,
    SEQUENCE,
    TEXT,
    VALUE,
    WEIGHT,
)
from gatewise.vocab.corpus.data_frames import (
    class_names,
    column_names,
    column_values,
    is_missing,
    is_table,
)
from gatewise.vocab.corpus.memory_records import MemoryTable
from gatewise.vocab.corpus.shown_names import shown_names
from gatewise.vocab.errors import ArgumentError, CorpusError, TextsError

if TYPE_CHECKING:
    from gatewise.vocab.corpus.columns import Columns

_KINDS = {str: "strings", bool: "booleans", int: "integers"}
_EXPECTED_LABELS = (
    "labels: expected a sequence of labels, of lists of labels, of numbers to predict, or of rows "
    "of probabilities"
)


def source_of(
    texts: object,
    labels: object,
    columns: "Columns",
    name: str,
    classes: Sequence[str] | None = None,
) -> Path | MemoryTable:
    """The corpus that a caller hands in.

    Args:
        texts: A path or a table, which hold the labels too; or the texts alone, or sequences of
            numbers.
        labels: The labels of the texts: strings, integers or booleans; lists of labels; a matrix of
            indicators or probabilities, with a column for each label. Floats that are no whole
            numbers, and all floats and integers if `columns` is of a regression, are numbers to
            predict; of a regression also rows of several.
        columns: The columns that a table is expected to have.
        name: The name of the rows in messages, one of `records.MEMORY_NAMES`.
        classes: The labels of a model that is there already, which are those of a matrix without
            names; None for its numbers of columns.

    Raises:
        CorpusError: The labels are not of one kind, or not as many as the texts.
        TextsError: The texts are one string, or a table beside labels.
    """
    if labels is None:
        if isinstance(texts, str | os.PathLike):
            return Path(texts)
        if is_table(texts):
            return _table(texts, columns, name)
        raise CorpusError(f"{_EXPECTED_LABELS}; received none")
    column, found = _inputs(texts, columns)
    labels = _checked_labels(labels)
    if columns.task == "regression" or columns.numbers_in(()):
        of_labels = _number_columns(labels, columns, name)
    else:
        of_labels = _label_columns(labels, columns, name, classes)
    count = len(next(iter(of_labels.values())))
    if len(found) != count:
        raise CorpusError(
            f"{name}: expected a label or labels for each text, received {len(found):,} texts and "
            f"{count:,} of labels"
        )
    if not found:
        raise CorpusError(f"{name}: expected one text at least, received none")
    if column in of_labels:
        raise CorpusError(f"{name}: expected labels by another name than {column!r}, the texts'")
    values = {column: found, **of_labels}
    return MemoryTable(name, tuple(values), values)


def are_numbers(labels: MemoryTable, columns: "Columns") -> bool:
    """Whether the labels that a caller handed in beside texts are numbers to predict."""
    found = labels.values.get(columns.label or VALUE)
    return found is not None and _are_continuous(list(found))


def pair_source(rows: object, columns: "Columns", name: str) -> Path | MemoryTable | None:
    """The corpus of validation or test rows: a path, a table, or a pair of texts and labels."""
    if rows is None:
        return None
    if isinstance(rows, tuple) and len(rows) == 2:
        return source_of(*rows, columns, name)
    if not (is_table(rows) or isinstance(rows, str | os.PathLike)):
        raise CorpusError(
            f"{name}: expected a path, a table, or a pair of texts and labels, received a value of "
            f"type {type(rows).__name__}"
        )
    return source_of(rows, None, columns, name)


def _inputs(texts: Any, columns: "Columns") -> tuple[str, list[object]]:
    """The texts, or the sequences of numbers, and the name of the column that a file would have."""
    is_array = getattr(texts, "ndim", 1) in (2, 3) and not is_table(texts)
    # The arrays of a list stay as they are: as lists they would take many times the memory.
    as_they_are = is_array or isinstance(texts, list | tuple)
    found = list(texts) if as_they_are else text_values(texts)
    first = next((each for each in found if not is_missing(each)), None)
    if not is_sequence(first) or columns.input == "text":
        return columns.text, text_values(texts) if as_they_are else found
    sequences = [None if is_missing(each) else each for each in found]
    return (SEQUENCE if columns.text == TEXT else columns.text), sequences


def is_sequence(value: object) -> bool:
    """Whether a value that a caller hands in is a list or an array, as a sequence of numbers is."""
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) in (1, 2)


def with_weights(rows: Path | MemoryTable, weights: Any) -> Path | MemoryTable:
    """Rows in memory with a column of weights; without one if all are equal and above 0.

    Raises:
        ArgumentError: The rows are in a file.
        CorpusError: The weights are not as many as the rows.
    """
    if isinstance(rows, Path):
        raise ArgumentError(
            "sample_weight: expected rows in memory, received a path: set weight_column to the "
            "column of the file that holds the weights"
        )
    if is_table(weights) or not hasattr(weights, "__iter__"):
        raise CorpusError(
            "sample_weight: expected a column of values, received one of type "
            f"{type(weights).__name__}"
        )
    values = column_values(weights)
    count = len(next(iter(rows.values.values())))
    if len(values) != count:
        raise CorpusError(
            f"sample_weight: expected a weight for each of {count:,} texts, received "
            f"{len(values):,}"
        )
    if all(value == 0 for value in values):
        raise CorpusError(
            "sample_weight: expected a weight above zero for some of the texts, received zeros"
        )
    first = values[0]
    if isinstance(first, int | float) and 0 < first < math.inf and values == [first] * count:
        return rows
    return replace(rows, columns=(*rows.columns, WEIGHT), values={**rows.values, WEIGHT: values})


def text_values(texts: Any) -> list[object]:
    """The texts as a list, missing ones as None; each is checked as a row of a file is.

    Raises:
        TextsError: They are no sequence of texts.
    """
    if isinstance(texts, str | bytes | os.PathLike):
        raise TextsError("texts: expected a sequence of texts, received one string")
    if is_table(texts) or getattr(texts, "ndim", 1) != 1:
        raise TextsError(
            f"texts: expected one column of texts, received a table of type "
            f'{type(texts).__name__}: choose one, such as frame["text"]'
        )
    if isinstance(texts, set | frozenset) or not hasattr(texts, "__iter__"):
        raise TextsError(
            f"texts: expected a sequence of texts, received a value of type {type(texts).__name__}"
        )
    return column_values(texts)


def table_name(column: object) -> str:
    """The name of a column as a string; a data frame may name columns by numbers."""
    return column if isinstance(column, str) else str(column)


def table_keys(table: Any, name: str) -> dict[str, object]:
    """The keys of a table's columns by their names.

    Raises:
        CorpusError: Two columns have one name.
    """
    by_name: dict[str, object] = {}
    for key in column_names(table):
        column = table_name(key)
        if column in by_name:
            raise CorpusError(
                f"{name}: expected columns with different names, received two called {column!r}"
            )
        by_name[column] = key
    return by_name


def names_of_columns(table: object) -> tuple[str, ...]:
    """The names of a table's columns, if it has several and names them by strings; else none.

    >>> names_of_columns({"price": [1.5], "age": [2]}), names_of_columns([[1.5, 2]])
    (('price', 'age'), ())
    """
    names = column_names(table) if is_table(table) else []
    are_names = len(names) > 1 and all(isinstance(name, str) for name in names)
    return tuple(map(str, names)) if are_names else ()


def table_columns(table: Any, name: str, expected: Sequence[str] = ()) -> dict[str, list[Any]]:
    """The values of a table's columns by their names.

    Args:
        table: The table.
        name: What it is in messages.
        expected: The order of the columns, wherever they stand; it has no effect on a table without
            names, which gives them by their places.

    Raises:
        CorpusError: Two columns have one name, or they have others than expected.
    """
    keys, given = table_keys(table, name), names_of_columns(table)
    if expected and given and set(expected) != set(given):
        raise CorpusError(
            f"{name}: expected columns called {shown_names(expected)}, received "
            f"{shown_names(given)}: an array gives them by their places"
        )
    order = expected if expected and given else keys
    return {column: column_values(table[keys[column]]) for column in order}


def _table(table: Any, columns: "Columns", name: str) -> MemoryTable:
    keys = table_keys(table, name)
    text = SEQUENCE if columns.text == TEXT and TEXT not in keys else columns.text
    labels = columns.numbers_in(keys) or columns.label_names
    prefix = columns.probability_prefix
    read = [
        column
        for column in keys
        if column in (text, *labels, columns.weight)
        or (prefix is not None and column.startswith(prefix))
    ]
    values = {column: column_values(table[keys[column]]) for column in read}
    for column in labels:
        is_regression = columns.numbers_in(keys) or columns.task_of(column) == "regression"
        if column in values and not is_regression:
            values[column] = label_values(values[column], f"column {column!r}")
    if len(lengths := {len(found) for found in values.values()}) > 1:
        raise CorpusError(
            f"{name}: expected columns of one length, received {min(lengths):,} and "
            f"{max(lengths):,} rows"
        )
    if lengths == {0}:
        raise CorpusError(f"{name}: expected one row at least, received none")
    return MemoryTable(name, tuple(keys), values, class_names(table))


def _label_columns(
    labels: Any, columns: "Columns", rows_name: str, classes: Sequence[str] | None
) -> dict[str, list[Any]]:
    """The labels as the columns that a file of such rows would have."""
    single, several = columns.label or LABEL, columns.label or LABELS
    if is_table(labels):
        cells = table_columns(labels, rows_name)
        return _matrix(list(zip(*cells.values(), strict=True)), list(cells), columns, rows_name)
    if getattr(labels, "ndim", 1) == 2:
        names = list(classes or map(str, range(labels.shape[1])))
        return _matrix(labels.tolist(), names, columns, rows_name)
    values = column_values(labels)
    if columns.task == "auto" and _are_continuous(values):
        return {columns.label or VALUE: values}
    first: Any = next((value for value in values if value is not None), None)
    if isinstance(first, Mapping):
        for position, row in enumerate(values):
            if not isinstance(row, Mapping):
                raise CorpusError(
                    f"labels: position {position}: expected a mapping of labels, received "
                    f"{_received(row)}"
                )
        names = list(dict.fromkeys(name for row in values for name in row))
        rows = [[row.get(name, 0) for name in names] for row in values]
        return _matrix(rows, [table_name(name) for name in names], columns, rows_name)
    is_soft = isinstance(first, list | tuple) and first and isinstance(first[0], float)
    if is_soft or _is_indicators(values):
        names = list(classes or map(str, range(len(first))))
        return _matrix(values, names, columns, rows_name)
    is_list = isinstance(first, list | tuple | set | frozenset)
    return {several if is_list else single: label_values(values, "labels")}


def _checked_labels(labels: Any) -> Any:
    """Labels as a table, a list or an array; a matrix of one column as that column."""
    if isinstance(labels, str | bytes):
        raise CorpusError(f"{_EXPECTED_LABELS}; received one string")
    is_set = isinstance(labels, set | frozenset)  # of no order
    is_column = hasattr(labels, "__iter__") and getattr(labels, "ndim", 1) <= 2
    if not is_table(labels) and (is_set or not is_column):
        raise CorpusError(f"{_EXPECTED_LABELS}; received a value of type {type(labels).__name__}")
    if hasattr(labels, "toarray"):  # a sparse matrix of SciPy
        labels = labels.toarray()
    is_column = getattr(labels, "ndim", 1) == 2 and not is_table(labels) and labels.shape[1] == 1
    return labels.ravel() if is_column else labels


def _number_columns(labels: Any, columns: "Columns", rows_name: str) -> dict[str, list[Any]]:
    """Numbers to predict, or rows of several, as the columns that a file of them would have."""
    if is_table(labels):
        expected = columns.numbers_in(()) or columns.names
        cells = [*table_columns(labels, rows_name, expected).values()]
        values = cells[0] if len(cells) == 1 else [list(row) for row in zip(*cells, strict=True)]
    else:
        values = labels.tolist() if getattr(labels, "ndim", 1) == 2 else column_values(labels)
    names = columns.numbers_in(())
    if not names:
        return {columns.label or VALUE: values}
    _check_widths(values, len(names), f"each of {shown_names(names)}")
    return {name: [row[place] for row in values] for place, name in enumerate(names)}


def _are_continuous(values: list[Any]) -> bool:
    """Whether labels are numbers to predict: floats, and not all of them whole.

    A column of integers with missing ones becomes one of whole floats, which stay labels.
    """
    numbers = [value for value in values if value is not None]
    return all(isinstance(value, float) for value in numbers) and any(
        not value.is_integer() for value in numbers
    )


def _is_indicators(values: list[Any]) -> bool:
    """Whether lists are the rows of a matrix of 0 and 1, and not lists of labels."""
    if not values or not all(isinstance(row, list | tuple) for row in values):
        return False
    length = len(values[0])
    return length > 1 and all(len(row) == length and all(map(_is_bit, row)) for row in values)


def _is_bit(cell: Any) -> bool:
    """Whether a cell is the number 0 or 1, or a boolean, also of NumPy."""
    value = cell.item() if hasattr(cell, "item") else cell
    return isinstance(value, int | float) and value in (0, 1)


def _check_widths(rows: Sequence[Any], width: int, what: str) -> None:
    """Checks that every row of a matrix has a number for each of what its columns stand for."""
    for position, row in enumerate(rows):
        if not isinstance(row, list | tuple) or len(row) != width:
            found = len(row) if isinstance(row, list | tuple) else _received(row)
            raise CorpusError(
                f"labels: position {position}: expected {width} numbers, one for {what}, "
                f"received {found}"
            )


def _matrix(
    rows: Sequence[Any], names: Sequence[str], columns: "Columns", rows_name: str
) -> dict[str, list[Any]]:
    """Indicators as a column of lists of labels; probabilities as a column for each label."""
    _check_widths(rows, len(names), "each label")
    if any(isinstance(cell, float) for row in rows for cell in row):
        prefix = columns.probability_prefix or PROBABILITY_PREFIX
        return {prefix + name: [row[index] for row in rows] for index, name in enumerate(names)}
    for position, row in enumerate(rows):
        if wrong := [cell for cell in row if cell not in (0, 1)]:
            raise CorpusError(
                f"labels: position {position}: expected 0 or 1 for each label, or probabilities, "
                f"received {wrong[0]!r}"
            )
    lists = [[name for name, cell in zip(names, row, strict=True) if cell] for row in rows]
    given = {name for row in lists for name in row}
    # Validation and test rows may lack a rare label.
    empty = [name for name in names if name not in given] if rows_name == "training rows" else []
    if rows and empty:
        raise CorpusError(
            f"labels: expected a row of each label, but the column {empty[0]!r} has none: leave it "
            "out, or give rows that have the label"
        )
    return {columns.label or "labels": lists}


def _received(value: object) -> str:
    return "a missing value" if value is None else f"a value of type {type(value).__name__}"


def label_values(values: list[Any], name: str) -> list[Any]:
    """Labels as strings, integers, or lists of them; other values stay, to be refused as a row is.

    Raises:
        CorpusError: They are of different types.
    """
    converted: list[Any] = []
    first: dict[str, str] = {}
    for position, value in enumerate(values):
        several = isinstance(value, list | tuple | set | frozenset)
        items = [_label(item) for item in value] if several else [_label(value)]
        for item in items:
            if type(item) in _KINDS:
                first.setdefault(_KINDS[type(item)], f"position {position}: {item!r}")
        named = [str(item) if isinstance(item, bool) else item for item in items]
        converted.append(named if several else named[0])
    if len(first) > 1:
        examples = ", ".join(f"{kind} ({place})" for kind, place in first.items())
        raise CorpusError(f"{name}: expected labels of one type, received {examples}")
    return converted


def _label(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "item"):
        value = value.item()
    # A column of integers with missing ones becomes one of floats.
    return int(value) if isinstance(value, float) and value.is_integer() else value
