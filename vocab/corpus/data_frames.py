"""Columns and tables that a Python caller holds in memory, of whatever library, as lists.

Recognized by their attributes, so that no library is imported: lists, arrays of NumPy, columns and
tables of pandas, polars, pyarrow and Hugging Face `datasets`, and mappings of columns.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gatewise.vocab.errors import CorpusError

# Attributes of tables of pandas, polars, pyarrow and Hugging Face datasets, but of none of their
# columns. Iterating over a table would yield the names of its columns, or its rows.
_TABLE_ATTRIBUTES = ("columns", "column_names")


def is_table(value: object) -> bool:
    """Whether a value is a table with named columns.

    >>> is_table({"text": ["one"]}), is_table(["one"])
    (True, False)
    """
    # Asking a lazy table for its columns may run a query.
    if isinstance(value, Mapping) or _is_lazy(value):
        return True
    return any(hasattr(value, name) for name in _TABLE_ATTRIBUTES)


def _is_lazy(value: object) -> bool:
    return type(value).__name__ == "LazyFrame"  # of polars


def is_missing(value: object) -> bool:
    """Whether a value stands for a missing one: None, NaN, or NA and NaT of pandas."""
    # NA and NaT can be neither compared nor converted to a boolean.
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def column_names(table: Any) -> list[object]:
    """The names of a table's columns, in order.

    Raises:
        CorpusError: The table is a query of polars that has not run.
    """
    if _is_lazy(table):
        raise CorpusError("expected a table in memory, received a LazyFrame: call collect() first")
    if isinstance(table, Mapping):
        return list(table)
    # The `columns` of a pyarrow table are its columns.
    return list(table.column_names if hasattr(table, "column_names") else table.columns)


def column_values(column: Iterable[object]) -> list[Any]:
    """The values of a column as Python values, missing ones as None.

    >>> column_values(["one", float("nan")])
    ['one', None]

    Raises:
        CorpusError: It is one value, such as a string, whose letters would be the values.
    """
    if isinstance(column, str | bytes) or not isinstance(column, Iterable):
        raise CorpusError(
            f"expected a column of values, received one of type {type(column).__name__}"
        )
    converters = ("to_pylist", "to_list", "tolist")
    found: Sequence[Callable[[], Any]] = [
        getattr(column, name) for name in converters if hasattr(column, name)
    ]
    values = found[0]() if found else column
    return [None if is_missing(value) else _python_value(value) for value in values]


def class_names(table: Any) -> dict[str, tuple[str, ...]]:
    """The names of the labels that a `datasets` table holds as numbers, by column."""
    features = getattr(table, "features", None)
    if not isinstance(features, Mapping):
        return {}
    inner = {name: getattr(feature, "feature", feature) for name, feature in features.items()}
    names = {name: getattr(feature, "names", None) for name, feature in inner.items()}
    return {str(name): tuple(map(str, found)) for name, found in names.items() if found}


def _python_value(value: Any) -> Any:
    """A scalar of NumPy as a Python value, an array or a column in a cell as a list."""
    if isinstance(value, str | bytes | int | float | list | tuple):
        return value
    return value.tolist() if hasattr(value, "tolist") else value
