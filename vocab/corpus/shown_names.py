"""Names of columns and labels in messages, quoted where they would be misread."""

import re
import unicodedata
from collections.abc import Iterable

from gatewise.vocab.errors import CorpusError

_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


def shown_name(name: str) -> str:
    """A name in a message: quoted unless it is plain, letters that look alike as codes.

    >>> print(shown_name("text"), shown_name(" text"), shown_name("größe"))
    text ' text' 'größe'
    """
    if _PLAIN.fullmatch(name):
        return name
    scripts = {
        unicodedata.name(letter, "").partition(" ")[0] for letter in name if letter.isalpha()
    }
    return repr(name) if name.isprintable() and len(scripts) <= 1 else ascii(name)


def shown_names(names: Iterable[str]) -> str:
    """Names in a message, separated by commas.

    >>> shown_names(["id", "text "])
    "id, 'text '"
    """
    return ", ".join(map(shown_name, names))


def no_column(source: str, column: str, columns: Iterable[str], option: str) -> CorpusError:
    """The error of a source that lacks a column; `option` is the parameter that names it."""
    return CorpusError(
        f"{source}: no column {column!r}; the columns are: {shown_names(columns)}. "
        f"Name the {option.replace('_', ' ')}",
        option=option,
    )
