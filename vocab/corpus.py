"""A corpus as rows of text and label, checked one by one.

Owns what makes a text and a label usable. Knows nothing of formats, and nothing of what becomes
of a bad row: that is the policy's (`vocab.bad_rows`).
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from vocab.bad_rows import BadRows, T
from vocab.errors import CorpusError
from vocab.json_records import json_kind
from vocab.records import BadRow, Location, Record
from vocab.streams import RecordStream, open_records

_LABELS_NAMED = 3
_LABEL_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One example.

    Attributes:
        text: The text as it stands in the file; never blank.
        label: Its class; an integer label is its decimal string.
        location: Where the row starts.
    """

    text: str
    label: str
    location: Location


def read_rows(
    path: str | os.PathLike[str],
    *,
    bad_rows: BadRows,
    text_column: str = "text",
    label_column: str = "label",
    known_labels: Collection[str] | None = None,
) -> Iterator[Row]:
    """Read a corpus of texts and labels in a stream.

    The files and their columns are checked at once, the rows as they are taken.

    Args:
        path: A data file or a folder of them; see `vocab.streams.open_records`.
        bad_rows: What happens to a row that cannot be used.
        text_column: The column of the texts.
        label_column: The column of the labels.
        known_labels: If given, any other label makes a bad row.

    Returns:
        The rows in the order of the files, one at least.

    Raises:
        CorpusError: A file cannot be read, a column is missing, or no row is left. All but the
            first check may be raised from the iterator.
        BadRowsError: A row is bad and the policy is to stop there; raised from the iterator.
    """
    records = open_records(path)
    records.require(text_column, "--text-column")
    records.require(label_column, "--label-column")
    known = None if known_labels is None else frozenset(known_labels)
    rows = bad_rows.keep(_rows(records, text_column, label_column, known))
    return at_least_one(rows, records.path)


def read_texts(
    path: str | os.PathLike[str], *, bad_rows: BadRows, text_column: str = "text"
) -> Iterator[str]:
    """Read a corpus of texts in a stream; labels are not looked at and need not be there.

    Args:
        path: A data file or a folder of them; see `vocab.streams.open_records`.
        bad_rows: What happens to a row that cannot be used.
        text_column: The column of the texts.

    Returns:
        The texts in the order of the files, one at least.

    Raises:
        CorpusError: As for `read_rows`.
        BadRowsError: As for `read_rows`.
    """
    records = open_records(path)
    records.require(text_column, "--text-column")
    texts = (
        record if isinstance(record, BadRow) else text_of(record, text_column) for record in records
    )
    return at_least_one(bad_rows.keep(texts), records.path)


def text_of(record: Record, column: str) -> str | BadRow:
    """Take the text out of a record, or the reason why there is none."""
    text = record.values.get(column)
    if isinstance(text, str) and text and not text.isspace():
        return text
    if text is None or isinstance(text, str):
        return record.bad("the text is missing")
    return record.bad(f"expected the text to be a string, received {json_kind(text)}")


def label_of(record: Record, column: str, known: frozenset[str] | None = None) -> str | BadRow:
    """Take the label out of a record, or the reason why there is none."""
    label = record.values.get(column)
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if isinstance(label, str) and label and not label.isspace():
        if known is None or label in known:
            return label
        return record.bad(_unknown_label_reason(label, known))
    if label is None or isinstance(label, str):
        return record.bad("the label is missing")
    kind = json_kind(label)
    return record.bad(f"expected the label to be a string or an integer, received {kind}")


def at_least_one(items: Iterator[T], path: str) -> Iterator[T]:
    """Pass a stream on, and refuse an empty one.

    Raises:
        CorpusError: The stream ends without a single item; raised from the iterator.
    """
    for item in items:
        yield item
        break
    else:
        raise CorpusError(f"{path}: holds no rows that can be used")
    yield from items


def _rows(
    records: RecordStream, text_column: str, label_column: str, known: frozenset[str] | None
) -> Iterator[Row | BadRow]:
    for record in records:
        if isinstance(record, BadRow):
            yield record
            continue
        text = text_of(record, text_column)
        if isinstance(text, BadRow):
            yield text
            continue
        label = label_of(record, label_column, known)
        yield label if isinstance(label, BadRow) else Row(text, label, record.location)


def _unknown_label_reason(label: str, known: frozenset[str]) -> str:
    shown = label if len(label) <= _LABEL_CHARACTERS else label[:_LABEL_CHARACTERS] + "…"
    names = ", ".join(sorted(known)[:_LABELS_NAMED])
    more = f" … ({len(known)})" if len(known) > _LABELS_NAMED else ""
    return f"label {shown!r} was never seen in training; known labels: {names}{more}"
