"""Texts that a Python caller hands in: a sequence of strings, each checked by its position."""

import math
from collections.abc import Iterable, Mapping
from typing import cast

from gatewise.vocab.corpus.records import is_unicode
from gatewise.vocab.errors import TextsError

# Attributes of tables of pandas, polars, pyarrow and Hugging Face datasets, but of none of their
# columns. Iterating over a table would yield the names of its columns, or its rows.
_TABLE_ATTRIBUTES = ("columns", "column_names")


def checked_texts(texts: Iterable[object], *, missing: str | None = None) -> list[str]:
    """The texts as a list of strings.

    >>> checked_texts(("one", "two"))
    ['one', 'two']

    Args:
        texts: A list, a tuple, an array, a column of a data frame, or an iterator.
        missing: The text to take for a missing one (None, NaN, pandas' NA and NaT); None to refuse
            it.

    Raises:
        TextsError: They are one string, a table, a mapping or another value that is not a sequence
            of texts; or a text is missing, not a string, or has a lone surrogate.
    """
    if isinstance(texts, str | bytes):
        raise TextsError("expected a sequence of texts, received one string: wrap it in a list")
    is_table = any(hasattr(texts, name) for name in _TABLE_ATTRIBUTES)
    if is_table or isinstance(texts, Mapping) or getattr(texts, "ndim", 1) != 1:
        raise TextsError(
            f"expected one column of texts, received a table of type {type(texts).__name__}: "
            'choose one, such as frame["text"]'
        )
    # A set has no order that the answers could be in.
    if isinstance(texts, set | frozenset) or not isinstance(texts, Iterable):
        raise TextsError(
            f"expected a sequence of texts, received a value of type {type(texts).__name__}"
        )
    # The elements of pyarrow's columns are scalars, not strings.
    values = texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts)
    for index, text in enumerate(values):
        if not isinstance(text, str):
            if missing is None or not _is_missing(text):
                expected = "a string" if missing is None else "a string or None"
                raise TextsError(f"{_name(index)}: expected {expected}, received {_kind(text)}")
            values[index] = missing
        elif not is_unicode(text):
            raise TextsError(f"{_name(index)}: expected Unicode, received a lone surrogate")
    return cast(list[str], values)


def _name(index: int) -> str:
    return f"text {index}, counted from 0"


def _kind(value: object) -> str:
    return "a missing value" if _is_missing(value) else f"a value of type {type(value).__name__}"


def _is_missing(value: object) -> bool:
    # NA and NaT can be neither compared nor converted to a boolean.
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )
