"""Texts that a Python caller hands in: a sequence of strings, each checked by its position."""

from collections.abc import Iterable
from typing import cast

from gatewise.vocab.corpus.data_frames import is_missing, is_table
from gatewise.vocab.corpus.records import is_unicode
from gatewise.vocab.errors import TextsError


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
    if is_table(texts) or getattr(texts, "ndim", 1) != 1:
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
            if missing is None or not is_missing(text):
                expected = "a string" if missing is None else "a string or None"
                raise TextsError(f"{_name(index)}: expected {expected}, received {_kind(text)}")
            values[index] = missing
        elif not is_unicode(text):
            raise TextsError(f"{_name(index)}: expected Unicode, received a lone surrogate")
    return cast(list[str], values)


def _name(index: int) -> str:
    return f"text {index}, counted from 0"


def _kind(value: object) -> str:
    return "a missing value" if is_missing(value) else f"a value of type {type(value).__name__}"
